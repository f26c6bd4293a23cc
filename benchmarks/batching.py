"""What it is worth that an eager batcher waits for those who are about to ask.

    OMP_NUM_THREADS=1 python benchmarks/batching.py [--phones 4] [--episodes 16] [--rounds 2] [--json]
    python benchmarks/batching.py --simulate

The same episodes on virtual phones, in turns: a tiny model is asked for every action with the screen and the
history, the suite's expert acts. Screens of 112x224, over adb and in this process; "served" are phones over
adb and a model behind the server of `gui-agent serve`, which knows its episodes by their names alone.

    at_once     baseline: whatever waits is served as soon as the model is free
    waiting     the batcher of this project, see gui_agent/policies/patience.py
    lock_step   the batch waits for all episodes; in process only

Printed are rows per batch, CPU milliseconds per action of the model's thread and of the whole process, and
seconds of wall clock; the best of all rounds counts.

With --simulate nothing is measured: a model that takes a second and devices with log-normal pauses, in a time
that is only counted, both ways. Printed are rows per batch, and time of the model and wall clock as multiples
of those of `at_once`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import selectors
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any
from unittest.mock import patch

from devices.farm import DeviceFarm, DeviceSource
from devices.farm.in_process import FactorySource
from devices.farm.phones import AdbPhoneSource
from devices.phone.device import PhoneFactory
from devices.phone.suites import phone_suite
from gui_agent.agent import Agent, Decision, FlatAgent
from gui_agent.device import Demonstrator, Device
from gui_agent.formats.registry import get_format
from gui_agent.observation import Observation
from gui_agent.policies.batcher import Batcher
from gui_agent.policy import Completion, Policy, SamplingParams
from trajectories.collect import collect_episodes, group_jobs

SUITE = phone_suite("quickstart")
SIDES = (
    ("adb", "at_once"),
    ("adb", "waiting"),
    ("served", "at_once"),
    ("served", "waiting"),
    ("in_process", "waiting"),
    ("in_process", "lock_step"),
)
PARAMS = SamplingParams(max_new_tokens=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    devices: str
    how: str
    actions: int
    rows_per_batch: float
    model_cpu_ms_per_action: float
    cpu_ms_per_action: float
    wall_s: float


def batching(how: str) -> AbstractContextManager[object]:
    """While it is open, eager batchers wait for nobody, if that is asked for."""
    return patch.object(Batcher, "_gather", _nothing) if how == "at_once" else nullcontext()


async def _nothing(batcher: Batcher[Any, Any]) -> None:
    return


class ModelThenExpert(FlatAgent):
    """Asks the model, and does what the expert does."""

    def __init__(self, device: Demonstrator, policy: Policy) -> None:
        super().__init__(policy, get_format("compact"), params=PARAMS)
        self._expert = device

    async def decide(self, observation: Observation) -> Decision:
        await super().decide(observation)
        expert = await self._expert.next_expert_action()
        assert expert is not None
        return Decision(action=expert.action)


def source(devices: str, phones: int, profile: str) -> DeviceSource:
    if devices != "in_process":
        return AdbPhoneSource(phones, profile=profile)
    return FactorySource("phone", PhoneFactory(num_devices=phones))


async def served(policy: Policy) -> Policy:
    """The same policy behind the server, without a network between."""
    import httpx

    from gui_agent.policies.openai_http import Endpoint, OpenAIPolicy
    from gui_agent.policies.server import create_app

    transport = httpx.ASGITransport(create_app(policy, models=("m",)))
    return await OpenAIPolicy.connect(Endpoint(base_url="http://served/v1", model="m"), transport=transport)


async def measure(devices: str, how: str, model: Any, *, phones: int, episodes: int, profile: str) -> Result:
    from gui_agent.policies.transformers_policy import SampleRequest, TransformersPolicy
    from trainers.sources import LockStepFactory

    class Timed(TransformersPolicy):
        cpu_s = 0.0

        def sample_batch(self, requests: Sequence[SampleRequest]) -> list[tuple[Completion, ...]]:
            began_s = time.thread_time()
            try:
                return super().sample_batch(requests)
            finally:
                self.cpu_s += time.thread_time() - began_s

    model.forget_features()
    local = Timed(model, deterministic=how == "lock_step")
    policy = await served(local) if devices == "served" else local
    tasks = [SUITE.task(SUITE.templates[i % len(SUITE.templates)], i) for i in range(episodes)]

    def agent_for(device: Device) -> Agent:
        assert isinstance(device, Demonstrator)
        return ModelThenExpert(device, policy)

    actions = 0
    with batching(how):
        async with DeviceFarm([source(devices, phones, profile)]) as farm:
            factory = farm if devices == "served" else LockStepFactory(devices=farm, policy=local)
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            running = collect_episodes(
                group_jobs(tasks), factory, agent_for, concurrency=phones, track_progress=False
            )
            async for record in running:
                actions += len(record.trajectory.steps)
            wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    local.close()
    return Result(
        devices=devices,
        how=how,
        actions=actions,
        rows_per_batch=round(actions / local.counters.num_batches, 2),
        model_cpu_ms_per_action=round(1000 * local.cpu_s / actions, 1),
        cpu_ms_per_action=round(1000 * cpu_s / actions, 1),
        wall_s=round(wall_s, 2),
    )


def run(given: argparse.Namespace) -> list[Result]:
    from rollout_workload import build

    model = build("qwen3_vl")
    best: dict[tuple[str, str], Result] = {}
    asyncio.run(measure(*SIDES[-1], model, phones=1, episodes=1, profile=given.profile))  # warms up
    for _ in range(given.rounds):
        for side in SIDES:
            counts = {"phones": given.phones, "episodes": given.episodes}
            found = asyncio.run(measure(*side, model, profile=given.profile, **counts))
            before = best.get(side)
            if before is None or found.cpu_ms_per_action < before.cpu_ms_per_action:
                best[side] = found
    return list(best.values())


# In a time that is only counted


class _Selector(selectors.DefaultSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if not found and timeout:
            self.now_s += timeout
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


@dataclass(frozen=True)
class _Request:
    order: int = 0
    num_rows: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Of one request: rows of its batch, and its share of the time of the model and of the wall clock."""

    rows_per_batch: float
    model_s: float
    wall_s: float


def call_s(rows: int, devices: int) -> float:
    """One second for a row of each device, four fifths of it for any call."""
    return 0.8 + 0.2 * rows / devices


async def simulate(devices: int, pause_s: float, sigma: float, *, requests: int) -> Simulated:
    batches: list[int] = []
    done = 0

    async def serve(asked: Sequence[_Request]) -> Sequence[int]:
        batches.append(len(asked))
        await asyncio.sleep(call_s(len(asked), devices))
        return [0] * len(asked)

    batcher: Batcher[_Request, int] = Batcher(serve, deterministic=False, max_rows=256)

    async def device(number: int) -> None:
        nonlocal done
        drawn = random.Random(number)
        async with batcher.lock_step.participant():
            while done < requests:
                await asyncio.sleep(pause_s * drawn.lognormvariate(0.0, sigma))
                await batcher.submit(_Request())
                done += 1

    await asyncio.gather(*(device(number) for number in range(devices)))
    return Simulated(
        rows_per_batch=done / len(batches),
        model_s=sum(call_s(rows, devices) for rows in batches) / done,
        wall_s=asyncio.get_running_loop().time() / done,
    )


def simulate_both() -> None:
    print("devices  pause s  sigma   rows per batch       model  wall")
    for devices, pause_s, sigma in product((4, 32), (0.02, 0.1, 0.3, 0.5, 1.0, 2.0, 10.0), (0.1, 0.3, 1.0)):
        sides = []
        for how in ("at_once", "waiting"):
            with batching(how), asyncio.Runner(loop_factory=_Loop) as runner:
                sides.append(runner.run(simulate(devices, pause_s, sigma, requests=100 * devices)))
        before, after = sides
        rows = f"{before.rows_per_batch:6.2f} to {after.rows_per_batch:5.2f}"
        ratios = f"{after.model_s / before.model_s:10.2f}  {after.wall_s / before.wall_s:4.2f}"
        print(f"{devices:7}  {pause_s:7}  {sigma:5}  {rows}  {ratios}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phones", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--profile", default="fast", help="delays of the phones behind adb: fast, phone")
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.simulate:
        simulate_both()
        return
    results = run(given)
    if given.json:
        load = round(os.getloadavg()[0], 1)
        print(json.dumps({"profile": given.profile, "load": load, "results": [*map(asdict, results)]}))
        return
    for one in results:
        cpu = f"model {one.model_cpu_ms_per_action:5.1f}, all {one.cpu_ms_per_action:5.1f} CPU ms per action"
        rows = f"{one.actions} actions  {one.rows_per_batch:5.2f} rows per batch"
        print(f"{one.devices:10}  {one.how:9}  {rows}  {cpu}  {one.wall_s:6.2f} s")


if __name__ == "__main__":
    main()
