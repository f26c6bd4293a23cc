"""`gui-agent data subgoals`: recordings with an instruction at every step."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder, store_folder
from gui_agent.errors import ConfigError
from trajectories.convert import convert_to_store
from trajectories.damage import OnDamage
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
        data: trajectory store to read, or a folder that holds one.
        output: trajectory store to create or to append to; episodes that it holds are left as they are.
        subgoals: where they come from: data, template, or data_else_template.
        on_damage: raise stops at the first damaged episode; skip leaves it out and lists it.
    """

    data: Path = option(positional=True)
    output: Path
    subgoals: SubgoalSource = SubgoalSource.DATA_ELSE_TEMPLATE
    on_damage: OnDamage = OnDamage.RAISE

    def run(self) -> int:
        """Write, and say how many steps have a subgoal.

        Raises:
            ConfigError: there is no store, or it is the output.
            DataError: the store is damaged (only with on_damage="raise").
        """
        store = self._store()
        make_folder(self.output, "output")
        target = TrajectoryStore.open_or_create(self.output, source={"subgoals_of": str(store.path)})
        count = _Count()
        known = frozenset(target.episode_ids)
        convert_to_store(self._records(store, known, count), target)
        print(f"{count.named} of {count.steps} steps of {count.episodes} trajectories", end=" ")
        print(f"have a subgoal in {self.output}")
        if there := len(known.intersection(store.episode_ids)):
            print(f"{there} trajectories are there already and were left as they are")
        for damage in store.damage:
            print(f"left out: {damage.message}")
        return 0

    def dry_run(self) -> int:
        """Count without writing."""
        count = _Count()
        for trajectory in self._store():
            count.add(with_subgoals(trajectory, self.subgoals))
        print(f"would write {count.named} subgoals of {count.steps} steps")
        return 0

    def _store(self) -> TrajectoryStore:
        folder = store_folder(self.data)
        if folder.resolve() == self.output.resolve():
            raise ConfigError(f"output is the store that is read, {folder}; choose another folder")
        return TrajectoryStore.open(folder, on_damage=self.on_damage)

    def _records(
        self, store: TrajectoryStore, known: Collection[str], count: _Count
    ) -> Iterator[EpisodeRecord]:
        for record in store.records():
            if record.trajectory.episode_id not in known:
                trajectory = with_subgoals(record.trajectory, self.subgoals)
                count.add(trajectory)
                yield EpisodeRecord(trajectory=trajectory, screenshots=record.screenshots)


@dataclass(slots=True, kw_only=True)
class _Count:
    """Steps, and those whose deed has a subgoal: what a planner asked for in vain does not count."""

    episodes: int = 0
    steps: int = 0
    named: int = 0

    def add(self, trajectory: Trajectory) -> None:
        self.episodes += 1
        self.steps += len(trajectory.steps)
        self.named += sum(recorded_subgoal(step) is not None for step in trajectory.steps)
