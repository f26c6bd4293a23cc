"""How fast the served viewer opens a large store, beside reading all of it.

    python -m benchmarks.viewer [--episodes 5000] [--candidates 24] [--store FOLDER] [--no-baseline]

The store holds demonstrations on the virtual phone: some are recorded, the rest are copies under new ids, in
commits of 64 episodes. `--candidates` gives every step so many samples of 100 prompt tokens, a third of them
subgoals, a third probes, a third actions. `--store` takes a store that is there, or the folder of a training,
whose rewards are then computed for every episode that is opened. Pages are asked for over a socket, as a
browser does, and the best of all rounds counts, but for what happens once. The baseline is what a list costs
that is made of whole episodes.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import httpx
import uvicorn

from devices.phone.device import PhoneFactory
from devices.phone.suites import phone_suite
from eval.live import training_tasks
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.cli.folders import store_folder
from gui_agent.cli.view import run_source
from gui_agent.policy import AgentRole, Completion, FinishReason
from gui_agent.viewer.app import create_viewer
from gui_agent.viewer.listing import ListQuery
from gui_agent.web.access import Access, Guard
from trajectories.collect import collect_episodes, demonstrator_for, group_jobs
from trajectories.records import EpisodeRecord, Step
from trajectories.store import TrajectoryStore
from trajectories.viewer.index import StoreIndex
from trajectories.viewer.shown import action_label

_RECORDED = 100
_PER_COMMIT = 64


async def demonstrations() -> list[EpisodeRecord]:
    """Some episodes of the quickstart's experts."""
    jobs = group_jobs(training_tasks(phone_suite("quickstart"), _RECORDED, seed=0))
    return [record async for record in collect_episodes(jobs, PhoneFactory(), demonstrator_for)]


def with_candidates(record: EpisodeRecord, number: int) -> EpisodeRecord:
    """The episode with so many samples at every step."""
    steps = tuple(
        replace(step, candidates=tuple(candidate(step, place, number) for place in range(number)))
        for step in record.trajectory.steps
    )
    return replace(record, trajectory=replace(record.trajectory, steps=steps))


def candidate(step: Step, place: int, number: int) -> Candidate:
    """A subgoal, a probe or an action, in this order."""
    kind = list(CandidateKind)[place * 3 // number]
    action = None if kind is CandidateKind.SUBGOAL else step.executed
    text = f"tap {place}" if action is None else action_label(action)
    completion = Completion(
        prompt_token_ids=tuple(range(100)),
        image_grids=((1, 16, 8),),
        token_ids=(1, 2, 3, 4),
        logprobs=(-0.5, -0.25, -0.125, -1.0),
        text=text,
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )
    role = AgentRole.PLANNER if kind is CandidateKind.SUBGOAL else AgentRole.ACTOR
    pictures = () if step.screenshot_sha256 is None else (step.screenshot_sha256,)
    return Candidate(
        kind=kind,
        completion=RoleCompletion(role=role, completion=completion, image_sha256s=pictures),
        branch=0 if kind is CandidateKind.ACTION else place % (number // 3),
        sample=place % (number // 3) if kind is CandidateKind.ACTION else 0,
        subgoal="tap it",
        action=action,
    )


def fill(folder: Path, episodes: int, candidates: int = 0) -> Path:
    """A store of so many episodes."""
    store = TrajectoryStore.create(folder)
    source = cycle([with_candidates(record, candidates) for record in asyncio.run(demonstrations())])
    for start in range(0, episodes, _PER_COMMIT):
        store.append(
            replace(
                record,
                trajectory=replace(
                    record.trajectory,
                    episode_id=f"e{number:06d}",
                    group_id=f"g{number // 8:06d}",
                    update=start // _PER_COMMIT,
                ),
            )
            for number, record in enumerate(islice(source, min(_PER_COMMIT, episodes - start)), start=start)
        )
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Milliseconds of wall clock, and of all threads of this process: on a busy machine only these tell."""

    wall_ms: float
    cpu_ms: float

    def __str__(self) -> str:
        return f"{self.wall_ms:10.1f} ms {self.cpu_ms:10.1f} ms of CPU"


def took(call: Callable[[], object]) -> Took:
    """One call."""
    began, spent = time.perf_counter(), time.process_time()
    call()
    return Took(wall_ms=(time.perf_counter() - began) * 1000, cpu_ms=(time.process_time() - spent) * 1000)


def best(rounds: int, call: Callable[[], object]) -> Took:
    """The fastest of some calls."""
    return min((took(call) for _ in range(rounds)), key=lambda each: each.wall_ms)


def measure(folder: Path, rounds: int, *, baseline: bool) -> None:
    """Print the times of the pages of a store."""
    store = store_folder(folder)
    opened = best(rounds, lambda: (TrajectoryStore.open(store), StoreIndex(store)))
    entries = StoreIndex(store).refresh().entries
    steps = sum(entry.num_steps for entry in entries)
    print(f"{len(entries)} episodes, {steps} steps")
    print(f"  open store and list       {opened}", flush=True)
    if baseline:
        print(f"  baseline: read episodes   {took(lambda: list(TrajectoryStore.open(store)))}", flush=True)
    listener = socket.create_server(("127.0.0.1", 0))
    access = Access(port=listener.getsockname()[1])
    app = Guard(create_viewer([run_source(folder)]), access=access)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    base = f"http://127.0.0.1:{access.port}"
    middle = entries[len(entries) // 2]
    pages = {
        "first page of the list": "/episodes",
        "filtered, sorted, page 3": ListQuery(template=middle.template, sort="-steps", page=3).address(),
        "an episode": f"/episode/0/{middle.episode_id}",
        "its siblings": f"/group/0/{middle.group_id}",
        "tasks": "/tasks",
    }
    with httpx.Client(base_url=base, follow_redirects=True, timeout=600) as client:

        def get(path: str) -> None:
            client.get(path).raise_for_status()

        print(f"  very first page           {took(lambda: get(f'{base}/?token={access.token}'))}")
        print(f"  the first episode         {took(lambda: get(pages['an episode']))}")
        for name, path in pages.items():
            print(f"  {name:24}  {best(rounds, lambda path=path: get(path))}", flush=True)  # type: ignore[misc]
    server.should_exit = True
    thread.join()
    listener.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=5000)
    parser.add_argument("--candidates", type=int, default=0, help="a multiple of 3")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--baseline", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    if given.store is not None:
        measure(given.store, given.rounds, baseline=given.baseline)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = fill(Path(folder) / "store", given.episodes, given.candidates)
        measure(store, given.rounds, baseline=given.baseline)


if __name__ == "__main__":
    main()
