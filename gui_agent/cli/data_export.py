"""`gui-agent data export`: a trajectory store as JSON lines and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gui_agent.cli.collect import progress_bar
from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder, store_folder
from gui_agent.errors import DataError
from trajectories.damage import OnDamage
from trajectories.export_jsonl import FILE, export_jsonl
from trajectories.store import TrajectoryStore


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a trajectory store as JSON lines with pictures beside them, for other programs.

    The folder gets episodes.jsonl, an object per episode in the form that docs/data.md describes, and
    screenshots/. gui-agent data convert jsonl makes an equal store of it, in every field that the form
    carries: all but what was sampled (responses, tokens, candidates), compared and timed.

    Examples:
        gui-agent data export runs/demonstrations --output exported
        gui-agent data export runs/online/trajectories --output exported --on-damage skip

    Attributes:
        path: a trajectory store, or a folder that holds one.
        output: folder to create; an episodes.jsonl in it is not overwritten.
        on_damage: raise stops at the first damaged episode; skip leaves it out and lists it.
    """

    path: Path = option(positional=True)
    output: Path
    on_damage: OnDamage = OnDamage.RAISE

    def run(self) -> int:
        """Write, and say how much.

        Raises:
            ConfigError: there is no store, or such a file already.
            DataError: an episode is damaged, or none could be written.
        """
        store = TrajectoryStore.open(store_folder(self.path), on_damage=self.on_damage)
        make_folder(self.output, "output")
        with progress_bar() as bar:
            task = bar.add_task("episodes", total=len(store))
            report = export_jsonl(
                store, self.output, on_damage=self.on_damage, on_episode=lambda: bar.advance(task)
            )
        if report.num_episodes or report.problems:
            print(report)
        if not report.num_episodes:
            why = "every one is damaged, see above" if report.problems else "it holds no episode"
            raise DataError(f"{store.path}: nothing was written, {why}")
        return 0

    def dry_run(self) -> int:
        """Say how much there is."""
        store = TrajectoryStore.open(store_folder(self.path), on_damage=self.on_damage)
        print(f"would write {len(store)} episodes to {self.output / FILE}")
        return 0
