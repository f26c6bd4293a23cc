"""What it is worth that no episode waits for another: a farm beside a lock-step pool.

    python -m benchmarks.farm_refill [--devices 8] [--episodes 64] [--rounds 3] [--json]

Virtual phones in this process, made as slow as phones are: every look and every action takes a log-normal
time (median 40 ms, sigma 1; some take ten times as long). A model answers any batch in 20 ms. The same
episodes with the same delays are run

    lock_step   the model answers when all running episodes have asked; a device that is done takes the next
                episode at once
    waves       as many episodes as devices begin together, and the next when the last of them ends; the model
                answers at once
    farm        the model answers whenever it is free, and devices take the next episode at once

The best of all rounds counts. Printed are seconds, and `lock_step_ratio` and `waves_ratio`: how many times
longer the others take than the farm.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from devices.farm import DeviceFarm
from devices.farm.in_process import FactorySource
from devices.phone.device import PhoneDevice, ScreenCache
from devices.phone.suites import phone_suite
from gui_agent.actions import Action, ParseError
from gui_agent.agent import Agent, Decision, DemonstratorAgent
from gui_agent.device import ActionResult, Demonstrator, Device, DeviceFactory
from gui_agent.observation import Observation
from gui_agent.policies.batcher import Batcher
from trainers.sources import LockStepFactory
from trajectories.collect import EpisodeJob, collect_episodes, group_jobs

MEDIAN_S = 0.04
SIGMA = 1.0
MODEL_S = 0.02


class SlowPhone(PhoneDevice):
    """Takes as long as a phone; equal seeds and equal calls take equal times."""

    delays: random.Random

    async def _wait(self) -> None:
        await asyncio.sleep(MEDIAN_S * self.delays.lognormvariate(0.0, SIGMA))

    async def reset(self, task: Any) -> None:
        self.delays = random.Random(task.task_id)
        await super().reset(task)

    async def observe(self) -> Observation:
        await self._wait()
        return await super().observe()

    async def execute(self, action: Action | ParseError) -> ActionResult:
        await self._wait()
        return await super().execute(action)


@dataclass
class SlowPhones:
    """A factory of slow phones."""

    capacity: int
    screens: ScreenCache = field(default_factory=ScreenCache)

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Device]:
        yield SlowPhone(screens=self.screens)

    def lease(self) -> AbstractAsyncContextManager[Device]:
        return self._lease()


@dataclass
class Model:
    """Answers batches, as a policy does."""

    deterministic: bool

    def __post_init__(self) -> None:
        self.batcher: Batcher[_Request, int] = Batcher(
            self._serve, deterministic=self.deterministic, max_rows=256
        )

    async def _serve(self, requests: Sequence[_Request]) -> Sequence[int]:
        await asyncio.sleep(MODEL_S)
        return [0] * len(requests)

    def participant(self) -> AbstractAsyncContextManager[None]:
        return self.batcher.lock_step.participant()


@dataclass(frozen=True)
class _Request:
    order: int = 0
    num_rows: int = 1


class ModelAgent(DemonstratorAgent):
    """The expert, after as long as a model takes."""

    def __init__(self, device: Demonstrator, model: Model) -> None:
        super().__init__(device)
        self._model = model

    async def decide(self, observation: Observation) -> Decision:
        await self._model.batcher.submit(_Request())
        return await super().decide(observation)


async def run(jobs: Sequence[EpisodeJob], num_devices: int, *, how: str) -> float:
    """Seconds that all jobs take."""
    model = Model(deterministic=how == "lock_step")

    def agent_for(device: Device) -> Agent:
        assert isinstance(device, Demonstrator)
        return ModelAgent(device, model)

    source = FactorySource("phone", SlowPhones(num_devices))
    async with DeviceFarm([source]) as farm:
        factory: DeviceFactory = LockStepFactory(devices=farm, policy=model)
        wave = num_devices if how == "waves" else len(jobs)
        began_s = time.perf_counter()
        for start in range(0, len(jobs), wave):
            running = collect_episodes(
                jobs[start : start + wave],
                factory,
                agent_for,
                concurrency=num_devices,
                track_progress=False,
                observe_end=False,
            )
            async for record in running:
                assert record.trajectory.succeeded
        return time.perf_counter() - began_s


async def measure(episodes: int, num_devices: int, rounds: int) -> dict[str, float]:
    suite = phone_suite("quickstart")
    templates = suite.templates
    tasks = [suite.task(templates[number % len(templates)], number) for number in range(episodes)]
    jobs = group_jobs(tasks)
    best: dict[str, float] = {}
    for _ in range(rounds):
        for how in ("lock_step", "waves", "farm"):
            seconds = await run(jobs, num_devices, how=how)
            best[how] = min(seconds, best.get(how, seconds))
    figures = {f"{how}_s": round(seconds, 2) for how, seconds in best.items()}
    return {
        **figures,
        "lock_step_ratio": round(best["lock_step"] / best["farm"], 2),
        "waves_ratio": round(best["waves"] / best["farm"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.episodes, options.devices, options.rounds))
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:16} {value:8.2f}")


if __name__ == "__main__":
    main()
