"""How fast the served viewer opens a large store, beside reading all of it.

    python -m benchmarks.viewer [--episodes 5000] [--rounds 7] [--store FOLDER]

The store holds demonstrations on the virtual phone: some are recorded, the rest are copies under new ids, in
commits of 64 episodes. `--store` takes one that is there. Pages are asked for over a socket, as a browser
does, and the best of all rounds counts. The baseline is what a list costs that is made of whole episodes.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import httpx
import uvicorn

from devices.phone.device import PhoneFactory
from devices.phone.suites import phone_suite
from eval.live import training_tasks
from gui_agent.cli.view import run_source
from gui_agent.viewer.app import create_viewer
from gui_agent.viewer.listing import ListQuery
from gui_agent.web.access import Access, Guard
from trajectories.collect import collect_episodes, demonstrator_for, group_jobs
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore
from trajectories.viewer.index import StoreIndex

_RECORDED = 100
_PER_COMMIT = 64


async def demonstrations() -> list[EpisodeRecord]:
    """Some episodes of the quickstart's experts."""
    jobs = group_jobs(training_tasks(phone_suite("quickstart"), _RECORDED, seed=0))
    return [record async for record in collect_episodes(jobs, PhoneFactory(), demonstrator_for)]


def fill(folder: Path, episodes: int) -> Path:
    """A store of so many episodes."""
    store = TrajectoryStore.create(folder)
    source = cycle(asyncio.run(demonstrations()))
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


def best_ms(rounds: int, call: Callable[[], object]) -> float:
    """Milliseconds of the fastest of some calls."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times) * 1000


def measure(folder: Path, rounds: int) -> None:
    """Print the times of the pages of a store."""
    opened = best_ms(rounds, lambda: (TrajectoryStore.open(folder), StoreIndex(folder)))
    baseline = best_ms(min(rounds, 2), lambda: list(TrajectoryStore.open(folder)))
    entries = StoreIndex(folder).refresh().entries
    steps = sum(entry.num_steps for entry in entries)
    print(f"{len(entries)} episodes, {steps} steps")
    print(f"  open store and list               {opened:8.1f} ms")
    print(f"  baseline: read all episodes       {baseline:8.1f} ms")
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
    with httpx.Client(base_url=base, follow_redirects=True, timeout=60) as client:
        began = time.perf_counter()
        client.get(f"{base}/?token={access.token}").raise_for_status()
        print(f"  very first page                   {(time.perf_counter() - began) * 1000:8.1f} ms")
        for name, path in pages.items():
            took = best_ms(rounds, lambda path=path: client.get(path).raise_for_status())  # type: ignore[misc]
            print(f"  {name:32}  {took:8.1f} ms")
    server.should_exit = True
    thread.join()
    listener.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    if given.store is not None:
        measure(given.store, given.rounds)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(fill(Path(folder) / "store", given.episodes), given.rounds)


if __name__ == "__main__":
    main()
