"""`gui-agent data subgoals`: recordings with an instruction at every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder
from gui_agent.errors import ConfigError
from trajectories.convert import convert_to_store
from trajectories.records import EpisodeRecord, Trajectory
from trajectories.store import TrajectoryStore
from trajectories.subgoals import SubgoalSource, recorded_subgoal, with_subgoals


@dataclass(frozen=True, kw_only=True)
class Subgoals:
    """Write a subgoal to every step of recorded trajectories, into another store.

    A subgoal is what a planner would ask for at that step: the data set's own instruction, or one that a
    template writes from the expert's action and the widget it hits ("tap Wi-Fi", "type hello"). Trainings
    of a hierarchical agent do this by themselves; use it to look at the subgoals with gui-agent view, or to
    correct them.

    Examples:
        gui-agent data subgoals runs/demonstrations --output runs/with_subgoals
        gui-agent data subgoals runs/android_control --subgoals data --output runs/with_subgoals

    Attributes:
        data: trajectory store to read.
        output: trajectory store to create or to append to.
        subgoals: where they come from: data, template, or data_else_template.
    """

    data: Path = option(positional=True)
    output: Path
    subgoals: SubgoalSource = SubgoalSource.DATA_ELSE_TEMPLATE

    def __post_init__(self) -> None:
        if self.data.resolve() == self.output.resolve():
            raise ConfigError(f"output is the store that is read, {self.data}; choose another folder")

    def run(self) -> int:
        """Write, and say how many steps have a subgoal.

        Raises:
            DataError: the store is damaged, or `output` holds an episode of the same name.
        """
        store = TrajectoryStore.open(self.data)
        make_folder(self.output, "output")
        target = TrajectoryStore.open_or_create(self.output, source={"subgoals_of": str(self.data)})
        written: list[Trajectory] = []
        convert_to_store(self._records(store, written), target)
        count = _Count.of(written)
        words = f"{count.named} of {count.steps} steps of {len(written)} trajectories"
        print(f"{words} have a subgoal in {self.output}")
        return 0

    def dry_run(self) -> int:
        """Count without writing."""
        count = _Count.of(
            with_subgoals(trajectory, self.subgoals) for trajectory in TrajectoryStore.open(self.data)
        )
        print(f"would write {count.named} subgoals of {count.steps} steps")
        return 0

    def _records(self, store: TrajectoryStore, written: list[Trajectory]) -> Iterator[EpisodeRecord]:
        for episode_id in store.episode_ids:
            record = store.record(episode_id)
            trajectory = with_subgoals(record.trajectory, self.subgoals)
            written.append(trajectory)
            yield EpisodeRecord(trajectory=trajectory, screenshots=record.screenshots)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    """Steps, and those whose deed has a subgoal: what a planner asked for in vain does not count."""

    named: int
    steps: int

    @classmethod
    def of(cls, trajectories: Iterable[Trajectory]) -> Self:
        steps = [step for trajectory in trajectories for step in trajectory.steps]
        return cls(named=sum(recorded_subgoal(step) is not None for step in steps), steps=len(steps))
