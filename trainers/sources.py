"""Where groups of sibling episodes come from: replayed recordings, or live devices.

A source walks through its tasks in an order that is a function of seed and epoch. Episodes of a batch
run side by side; in deterministic mode the policy serves them in lock-step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from gui_agent.agent import Agent, EpisodeContext
from gui_agent.device import Device, DeviceFactory, Task, Verdict
from gui_agent.errors import ConfigError
from trainers.task_order import TaskOrder, distinct_names
from trajectories.collect import CollectStats, EpisodeJob, EpisodeLabels, collect_episodes
from trajectories.records import EpisodeRecord, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Sibling episodes of one task, all of them scorable.

    Attributes:
        group_id: equal in all of its trajectories.
        records: the episodes.
        task: name of the task, distinct within the source.
        replayed: index of the episode that was not sampled with the others but taken from the store, see
            `trainers.rapo`; None where all are siblings.
    """

    group_id: str
    records: tuple[EpisodeRecord, ...]
    task: str = ""
    replayed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupBatch:
    """What one call of a source brought.

    Attributes:
        groups: whole groups, in the order of their tasks.
        records: every episode, those of dropped groups included, in the same order.
        faults: attempts that ended in a device fault.
        retries: attempts after a fault.
        groups_dropped: groups with an episode that nobody could score: its device broke for good, or its
            task has no verdict.
    """

    groups: tuple[Group, ...]
    records: tuple[EpisodeRecord, ...]
    faults: int = 0
    retries: int = 0
    groups_dropped: int = 0


class GroupSource(Protocol):
    """Brings groups of sibling episodes."""

    @property
    def kind(self) -> str:
        """Prefix of the metrics about its episodes: "semi_online", "offline" or "online"."""
        ...

    @property
    def num_tasks(self) -> int:
        """Tasks in an epoch that leaves out none."""
        ...

    @property
    def epochs(self) -> float:
        """Epochs drawn so far."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """What to say of its tasks with every update."""
        ...

    @property
    def position(self) -> dict[str, Any]:
        """Where it stands, JSON-ready."""
        ...

    def restore(self, position: dict[str, Any]) -> None:
        """Go on from a position."""
        ...

    def draw(
        self, num_groups: int, *, update: int, leave_out: Collection[str] = ()
    ) -> list[list[EpisodeJob]]:
        """The jobs of the next groups; moves the position.

        Args:
            num_groups: how many.
            update: number of weight updates so far.
            leave_out: names of tasks (`Group.task`) that an epoch which begins here does without.
        """
        ...

    async def run(self, jobs: Sequence[Sequence[EpisodeJob]]) -> GroupBatch:
        """Run the episodes of some groups."""
        ...


class Participates(Protocol):
    """A policy whose deterministic batches wait for every running episode."""

    def participant(self) -> AbstractAsyncContextManager[None]:
        """Open around an episode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LockStepFactory:
    """Lends devices to episodes that the policy's batches wait for."""

    devices: DeviceFactory
    policy: Participates

    @property
    def capacity(self) -> int:
        """That of the devices."""
        return self.devices.capacity

    def lease(self) -> AbstractAsyncContextManager[Device]:
        """Borrow a device."""
        return self._lease()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Device]:
        # The device first: an episode that waits for a free device must not hold up the others.
        async with self.devices.lease() as device, self.policy.participant():
            yield device


class TaskGroups:
    """Groups over a list of tasks and a factory of devices, recorded or live.

    The two kinds differ in what is handed in: `ReplayTask`s with a `ReplayFactory` give semi-online RL
    (or offline RL, where every task is a single step), live tasks with live devices give online RL.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        devices: DeviceFactory,
        agent_for: Callable[[Device], Agent],
        policy: Participates,
        *,
        kind: str,
        num_generations: int,
        seed: int = 0,
        max_concurrency: int = 64,
        max_attempts: int = 1,
        time_limit_s: float | None = None,
        record_elements: bool = False,
        labels: EpisodeLabels | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Walk through `tasks`.

        Args:
            tasks: at least one.
            devices: where episodes run.
            agent_for: makes the agent of one episode.
            policy: what the agents sample from.
            kind: see `GroupSource.kind`.
            num_generations: siblings per group.
            seed: of the order of tasks and of the sampling noise.
            max_concurrency: episodes at once; never more than there are devices.
            max_attempts: 1 drops a group at its first device fault, more try on other leases first.
            time_limit_s: of one episode.
            record_elements: keep the widgets of every screen, for algorithms that tell states by them.
            labels: stored with every episode.
            metrics: see `GroupSource.metrics`.

        Raises:
            ConfigError: there is no task.
        """
        if not tasks:
            raise ConfigError("there is no task to train on; check the data folder, split or suite")
        self._tasks = list(tasks)
        self._devices = LockStepFactory(devices=devices, policy=policy)
        self._agent_for = agent_for
        self._kind = kind
        self._num_generations = num_generations
        self._seed = seed
        self._max_concurrency = max_concurrency
        self._max_attempts = max_attempts
        self._time_limit_s = time_limit_s
        self._record_elements = record_elements
        self._labels = labels or EpisodeLabels()
        self._metrics = dict(metrics or {})
        self._names = distinct_names([task.task_id for task in tasks])
        self._order = TaskOrder(self._names, seed=seed)
        self._task_of_group: dict[str, str] = {}

    @property
    def kind(self) -> str:
        """Prefix of the metrics about its episodes."""
        return self._kind

    @property
    def num_tasks(self) -> int:
        """Tasks in an epoch that leaves out none."""
        return len(self._tasks)

    @property
    def epochs(self) -> float:
        """Epochs drawn so far."""
        return self._order.epochs

    @property
    def metrics(self) -> Mapping[str, float]:
        """What to say of its tasks with every update."""
        return self._metrics

    @property
    def position(self) -> dict[str, Any]:
        """Tasks drawn since the beginning, and what the present epoch leaves out."""
        return self._order.position

    def restore(self, position: dict[str, Any]) -> None:
        """Go on from a position."""
        self._order.restore(position)

    def draw(
        self, num_groups: int, *, update: int, leave_out: Collection[str] = ()
    ) -> list[list[EpisodeJob]]:
        """The jobs of the next groups; moves the position. See `GroupSource`."""
        self._task_of_group.clear()
        return [self._jobs(update, leave_out) for _ in range(num_groups)]

    async def run(self, jobs: Sequence[Sequence[EpisodeJob]]) -> GroupBatch:
        """Run the episodes of some groups.

        Raises:
            PolicyError: the model failed.
        """
        flat = [job for group in jobs for job in group]
        if not flat:
            return GroupBatch(groups=(), records=())
        stats = CollectStats()
        episodes = collect_episodes(
            flat,
            self._devices,
            self._agent_for,
            concurrency=self._max_concurrency,
            max_attempts=self._max_attempts,
            ordered=True,
            labels=self._labels,
            time_limit_s=self._time_limit_s,
            record_elements=self._record_elements,
            stats=stats,
        )
        records = tuple([record async for record in episodes])
        groups = whole_groups(records, self._task_of_group)
        return GroupBatch(
            groups=groups,
            records=records,
            faults=stats.faults,
            retries=stats.retries,
            groups_dropped=len(jobs) - len(groups),
        )

    def _jobs(self, update: int, leave_out: Collection[str]) -> list[EpisodeJob]:
        group_id = f"u{update:05d}-g{self._order.drawn:06d}"
        index = self._order.next(leave_out)
        task = self._tasks[index]
        self._task_of_group[group_id] = self._names[index]
        return [
            EpisodeJob(
                task=task,
                context=EpisodeContext(
                    goal=task.goal, episode_id=f"{group_id}-e{sibling:02d}", seed=self._seed, update=update
                ),
                group_id=group_id,
            )
            for sibling in range(self._num_generations)
        ]


def whole_groups(
    records: Sequence[EpisodeRecord], task_of_group: Mapping[str, str] | None = None
) -> tuple[Group, ...]:
    """Groups, in order of appearance, whose episodes could all be judged: no fault, no open verdict.

    Args:
        records: all episodes of the groups.
        task_of_group: names of tasks by group; their task ids where it says nothing.
    """
    names = task_of_group or {}
    found: dict[str, list[EpisodeRecord]] = {}
    for record in records:
        found.setdefault(record.trajectory.group_id, []).append(record)
    return tuple(
        Group(
            group_id=group_id,
            records=tuple(members),
            task=names.get(group_id, members[0].trajectory.task_id),
        )
        for group_id, members in found.items()
        if all(_can_be_scored(member.trajectory) for member in members)
    )


def _can_be_scored(trajectory: Trajectory) -> bool:
    judged = trajectory.outcome.verdict is not Verdict.UNSCORED
    return judged and not trajectory.stop.is_fault and bool(trajectory.steps)
