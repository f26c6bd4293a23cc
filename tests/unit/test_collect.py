"""Collecting many episodes: order, refilling, retries after faults, and failures of the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from PIL import Image

from gui_agent.actions import ACTION_TYPES, Action, Finish, ParseError
from gui_agent.agent import Decision, EpisodeContext
from gui_agent.device import ActionResult, Device, Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DeviceError, PolicyError
from gui_agent.observation import Observation, Screenshot
from trajectories.collect import (
    CollectStats,
    EpisodeLabels,
    collect_episodes,
    demonstrator_for,
    group_jobs,
)

SHOT = Screenshot.from_image(Image.new("RGB", (10, 10)))


@dataclass(frozen=True, kw_only=True)
class NumberedTask:
    number: int
    template: str = "t"
    goal: str = "g"
    max_steps: int = 3

    @property
    def task_id(self) -> str:
        return f"task-{self.number}"

    @property
    def seed(self) -> int:
        return self.number


@dataclass
class World:
    """Shared by all devices: who waits for whom, which attempts break, how many run."""

    faults: dict[int, int] = field(default_factory=dict)
    slow: dict[int, asyncio.Event] = field(default_factory=dict)
    capacity: int = 2
    lease_faults: int = 0
    running: int = 0
    most: int = 0
    begun: list[int] = field(default_factory=list)
    fourth: asyncio.Event = field(default_factory=asyncio.Event)

    def lease(self) -> AbstractAsyncContextManager[Device]:
        return self._lease()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Device]:
        if self.lease_faults:
            self.lease_faults -= 1
            raise DeviceError("no emulator starts")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield OneStep(self)
        finally:
            self.running -= 1


@dataclass
class OneStep:
    world: World
    number: int = -1
    action_space: frozenset[type] = frozenset(ACTION_TYPES)

    async def reset(self, task: Task) -> None:
        assert isinstance(task, NumberedTask)
        self.number = task.number
        self.world.begun.append(self.number)
        if len(self.world.begun) == 4:
            self.world.fourth.set()
        if self.world.faults.get(self.number, 0):
            self.world.faults[self.number] -= 1
            raise DeviceError("emulator gone")
        if event := self.world.slow.get(self.number):
            await event.wait()

    async def observe(self) -> Observation:
        return Observation(screenshot=SHOT)

    async def execute(self, action: Action | ParseError) -> ActionResult:
        return ActionResult(executed=Finish())

    async def check(self) -> Outcome:
        return Outcome(verdict=Verdict.SUCCESS)

    async def close(self) -> None: ...


class Finisher:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def start(self, context: EpisodeContext) -> None: ...

    async def decide(self, observation: Observation) -> Decision:
        if self.error:
            raise self.error
        return Decision(action=Finish())

    async def record(self, result: ActionResult) -> None: ...


def jobs(count: int) -> list[NumberedTask]:
    return [NumberedTask(number=number) for number in range(count)]


async def test_a_slow_device_holds_nobody_up() -> None:
    release = asyncio.Event()
    world = World(slow={0: release})
    finished = []
    async for record in collect_episodes(
        group_jobs(jobs(5)), world, lambda device: Finisher(), concurrency=9
    ):
        finished.append(record.trajectory.seed)
        if len(finished) == 4:
            release.set()
    assert finished == [1, 2, 3, 4, 0]
    assert (world.most, world.running) == (2, 0)


async def test_ordered_results_wait_for_the_slow_one() -> None:
    release = asyncio.Event()
    world = World(slow={0: release})
    episodes = collect_episodes(
        group_jobs(jobs(4)), world, lambda device: Finisher(), concurrency=2, ordered=True
    )
    first = asyncio.ensure_future(anext(episodes))
    await world.fourth.wait()
    assert not first.done()
    release.set()
    assert (await first).trajectory.seed == 0
    assert [record.trajectory.seed async for record in episodes] == [1, 2, 3]


async def test_faults_are_retried_on_another_lease_and_counted() -> None:
    world = World(faults={0: 1, 1: 5})
    stats = CollectStats()
    labels = EpisodeLabels(suite="s", split="train", policy_name="p", source={"run": 1})
    records = [
        record.trajectory
        async for record in collect_episodes(
            group_jobs(jobs(3), num_generations=1, update=4),
            world,
            lambda device: Finisher(),
            concurrency=1,
            max_attempts=3,
            labels=labels,
            stats=stats,
        )
    ]
    assert [record.stop for record in records] == [
        StopReason.FINISHED,
        StopReason.DEVICE_FAULT,
        StopReason.FINISHED,
    ]
    assert records[1].outcome.verdict is Verdict.UNSCORED
    assert (stats.episodes, stats.faults, stats.retries, stats.lost) == (3, 4, 3, 1)
    assert (records[0].suite, records[0].split, records[0].policy, records[0].source) == (
        "s",
        "train",
        "p",
        {"run": 1},
    )
    assert records[0].update == 4


async def test_a_lease_that_fails_is_a_fault_too() -> None:
    world = World(lease_faults=2)
    stats = CollectStats()
    (record,) = [
        record
        async for record in collect_episodes(
            group_jobs(jobs(1)), world, lambda device: Finisher(), stats=stats
        )
    ]
    assert record.trajectory.fault == "DeviceError: no emulator starts"
    assert (record.trajectory.stop, record.trajectory.steps) == (StopReason.DEVICE_FAULT, ())
    assert stats.lost == 1


async def test_a_failing_model_ends_everything_and_gives_devices_back() -> None:
    world = World(slow={0: asyncio.Event()})
    failing = collect_episodes(
        group_jobs(jobs(3)), world, lambda device: Finisher(PolicyError("gone")), concurrency=2
    )
    with pytest.raises(PolicyError, match="gone"):
        await anext(failing)
    assert world.running == 0


async def test_what_ended_before_a_failure_is_handed_out_first() -> None:
    release = asyncio.Event()
    world = World(slow={0: release})
    agents = iter([Finisher(PolicyError("gone")), Finisher(), Finisher(), Finisher()])

    def agent_for(device: Device) -> Finisher:
        if len(world.begun) == 3:
            release.set()  # the first episode goes on and asks the model, which fails
        return next(agents)

    episodes = collect_episodes(group_jobs(jobs(4)), world, agent_for, concurrency=2, ordered=True)
    assert [(await anext(episodes)).trajectory.seed for _ in range(2)] == [1, 2]
    with pytest.raises(PolicyError, match="gone"):  # the last one may have ended before, too
        [record async for record in episodes]
    assert world.running == 0


async def test_leaving_early_gives_devices_back() -> None:
    world = World(slow={1: asyncio.Event()})
    episodes = collect_episodes(group_jobs(jobs(3)), world, lambda device: Finisher(), concurrency=2)
    await anext(episodes)
    await episodes.aclose()
    assert world.running == 0


def test_siblings_share_a_group_and_names_are_unique() -> None:
    made = group_jobs(jobs(2), num_generations=3, seed=5, update=12, prefix="run-")
    assert [job.context.episode_id for job in made[:4]] == [
        "run-u00012-g0000-e00",
        "run-u00012-g0000-e01",
        "run-u00012-g0000-e02",
        "run-u00012-g0001-e00",
    ]
    assert {job.group_id for job in made[:3]} == {"run-u00012-g0000"}
    assert {(job.context.seed, job.context.update) for job in made} == {(5, 12)}


async def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="both must be 1 or more"):
        await anext(collect_episodes([], World(), lambda device: Finisher(), concurrency=0))
    with pytest.raises(ConfigError, match="capacity 0"):
        await anext(collect_episodes([], World(capacity=0), lambda device: Finisher()))
    with pytest.raises(ConfigError, match="OneStep knows no expert"):
        demonstrator_for(OneStep(World()))
