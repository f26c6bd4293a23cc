"""`gui-agent collect`: run an oracle or a model on devices and keep what happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from devices.farm.status import status_beside
from devices.registry import resolve_suite
from eval.live import evaluation_tasks, training_tasks
from gui_agent.agent import Agent
from gui_agent.cli.agents import AgentOptions, agents_for, lock_step_devices, open_policy
from gui_agent.cli.devices import check_devices, default_devices, open_devices
from gui_agent.cli.folders import make_folder
from gui_agent.cli.signals import run_holding_devices
from gui_agent.cli.stopwatch import Stopwatch
from gui_agent.device import Device, DeviceFactory, StopReason, Task, TaskSource
from gui_agent.errors import ConfigError, DeviceError
from trainers.rewards import SAMPLING_LIMIT
from trajectories.collect import CollectStats, EpisodeLabels, collect_episodes, demonstrator_for, group_jobs
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore

_BATCH: Final = 64
_BATCH_S: Final = 10.0


class Split(StrEnum):
    """Which instances of a suite; the two never overlap."""

    TRAIN = "train"
    EVAL = "eval"


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Run an oracle or a model on live devices and append the episodes to a trajectory store.

    Without a model the suite's own experts act and the episodes are demonstrations. A run that was
    interrupted, or whose model failed, goes on where it stopped: instances that the store already holds are
    not repeated, and episodes that were under way begin again.

    Examples:
        gui-agent collect --suite phone/quickstart --episodes 200 --output runs/demonstrations
        gui-agent collect --suite miniwob/quickstart --devices browser:2 --episodes 120 --output runs/web
        gui-agent collect --suite phone/phone --agent.model runs/sft/model --output runs/own

    Attributes:
        suite: tasks to run, such as phone/quickstart or miniwob/quickstart.
        devices: where to run them, such as phone:4, browser:2, android:all, adb-phone:4, avd:NAME:4
            (unverified: not tried with a real emulator), or any of these on a Ray cluster: ray+phone:4. By
            default phone:64, or browser:2 for web pages. See docs/devices.md.
        output: trajectory store to create or to append to.
        episodes: number of task instances, spread evenly over the templates.
        split: train draws training instances, eval the held-out ones.
        seed: which instances are drawn, and the noise of a sampling model.
        elements: keep the labelled widgets of every screen, where the device shows them with it: phones do,
            browsers do not.
        only_success: leave out episodes that failed; for demonstrations.
        time_limit_s: no step of an episode begins later than this; 0 is no limit.
        agent: the model that acts; none lets the experts act.
    """

    suite: str
    output: Path
    devices: str = ""
    episodes: int = 100
    split: Split = Split.TRAIN
    seed: int = 0
    elements: bool = True
    only_success: bool = False
    time_limit_s: float = 0.0
    agent: AgentOptions = field(default_factory=AgentOptions)

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ConfigError(f"episodes is {self.episodes}; expected 1 or more")
        if self.agent.endpoint:
            self.agent.require_model()  # or the experts would act, and nobody would notice
        if self.time_limit_s < 0:
            raise ConfigError(f"time_limit_s is {self.time_limit_s}; expected 0 (no limit) or more seconds")

    def run(self) -> int:
        """Collect and say how it went."""
        return run_holding_devices(self._run())

    def dry_run(self) -> int:
        """Resolve everything that can be resolved without a device."""
        source = resolve_suite(self.suite)
        tasks = self._tasks(source)
        check_devices(self.devices, source)
        if self.agent.model:
            self.agent.require_model()
        actor = self.agent.model or "the suite's experts"
        print(f"would run {len(tasks)} instances of {len(source.templates)} templates of {self.suite}")
        print(
            f"acting: {actor}; devices: {self.devices or default_devices(self.suite)}; store: {self.output}"
        )
        return 0

    def _tasks(self, source: TaskSource) -> list[Task]:
        if self.split is Split.TRAIN:
            return training_tasks(source, self.episodes, seed=self.seed)
        per_template = -(-self.episodes // len(source.templates))
        return evaluation_tasks(source, per_template)[: self.episodes]

    async def _run(self) -> int:
        source = resolve_suite(self.suite)
        make_folder(self.output, "output")
        async with open_devices(self.devices, source, status_path=status_beside(self.output)) as factory:
            if not self.agent.model:
                return await self._collect(source, factory, demonstrator_for, "oracle")
            async with open_policy(self.agent) as policy:
                agent_for = agents_for(policy, self.agent)
                devices = lock_step_devices(factory, policy)
                return await self._collect(source, devices, agent_for, self.agent.model)

    async def _collect(
        self, source: TaskSource, factory: DeviceFactory, agent_for: Callable[[Device], Agent], name: str
    ) -> int:
        watch, stats = Stopwatch(), CollectStats()
        store = TrajectoryStore.open_or_create(self.output, source={"suite": self.suite, "policy": name})
        known = {row["task_id"] for row in store.episode_rows("task_id")}
        tasks = [task for task in self._tasks(source) if task.task_id not in known]
        jobs = group_jobs(tasks, seed=self.seed, prefix=f"{self.split.value}-{len(store)}-")
        kept = failed = 0
        fault = ""
        with progress_bar() as progress, _Appender(store) as appender:
            bar = progress.add_task("episodes", total=len(jobs))
            running = collect_episodes(
                jobs,
                factory,
                agent_for,
                concurrency=max(1, min(factory.capacity, 64)),
                ordered=True,
                labels=EpisodeLabels(
                    suite=self.suite,
                    split=self.split.value,
                    policy_name=name,
                    device_name=self.devices or default_devices(self.suite),
                    source={SAMPLING_LIMIT: self.agent.max_completion_length} if self.agent.model else {},
                ),
                time_limit_s=self.time_limit_s or None,
                record_elements=self.elements,
                stats=stats,
            )
            try:
                # Closed before the devices are, whatever happens here (a full disk, say).
                async with aclosing(running) as records:
                    async for record in records:
                        progress.advance(bar)
                        trajectory = record.trajectory
                        failed += not trajectory.succeeded
                        if trajectory.stop is StopReason.DEVICE_FAULT:
                            fault = fault or f"; the first: {(trajectory.fault or '').partition(chr(10))[0]}"
                            continue  # counted below; there is nothing to learn from a broken world
                        if trajectory.succeeded or not self.only_success:
                            appender.add(record)
                            kept += 1
            except Exception as error:
                error.add_note(
                    f"{stats.episodes} of {len(jobs)} episodes had ended, {kept} of them are kept in "
                    f"{self.output}; those under way were given up: run the same command again to go on"
                )
                raise
        print(
            f"kept {kept} of {len(jobs)} episodes ({failed} without success, {stats.faults} device faults, "
            f"{len(known)} were there before) in {self.output}; {watch.wall_s:.1f} s, {watch.cpu_s:.1f} CPU-s"
        )
        if stats.lost:
            raise DeviceError(
                f"{stats.lost} episodes were lost to device faults; the rest is in {self.output}: "
                f"run the same command again to fill the gaps{fault}"
            )
        return 0


class _Appender:
    """Appends in batches: a shard for every episode would be many small files.

    At most `_BATCH` episodes, or those of the last few seconds, are lost to a kill.
    """

    def __init__(self, store: TrajectoryStore) -> None:
        self._store = store
        self._waiting: list[EpisodeRecord] = []
        self._since = time.monotonic()

    def add(self, record: EpisodeRecord) -> None:
        """Keep an episode, soon."""
        self._waiting.append(record)
        if len(self._waiting) >= _BATCH or time.monotonic() - self._since > _BATCH_S:
            self.flush()

    def flush(self) -> None:
        """Keep what waits, now."""
        waiting, self._waiting = self._waiting, []
        self._store.append(waiting)
        self._since = time.monotonic()

    def __enter__(self) -> _Appender:
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()


def progress_bar() -> Progress:
    """A bar that is drawn only where somebody can see it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, transient=True, disable=not sys.stdout.isatty())
