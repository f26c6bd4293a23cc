"""`gui-agent data stats`: what a trajectory store holds, in numbers."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gui_agent.cli.collect import progress_bar
from gui_agent.cli.config import option
from gui_agent.cli.folders import store_folder
from gui_agent.device import Verdict
from gui_agent.errors import ConfigError
from trajectories.damage import OnDamage
from trajectories.stats import Distribution, SliceStats, StoreStats, store_stats
from trajectories.store import TrajectoryStore

_AS_WIDE_AS_IT_IS = 10_000
"""Columns there may be where no terminal ends."""


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Count what a trajectory store holds.

    Episodes by split, suite and outcome, steps per episode, types of action, who chose them, what the steps
    are labelled with, sizes of screens and files.

    Examples:
        gui-agent data stats runs/demonstrations
        gui-agent data stats runs/online --top 30
        gui-agent data stats runs/demonstrations --json

    Attributes:
        path: a trajectory store, or a folder that holds one.
        top: how many names of each kind to show, the most frequent first; 0 shows all.
        on_damage: raise stops at the first damaged episode; skip counts the others.
        json: print one JSON object, with all names.
    """

    path: Path = option(positional=True)
    top: int = 12
    on_damage: OnDamage = OnDamage.RAISE
    json: bool = False

    def __post_init__(self) -> None:
        if self.top < 0:
            raise ConfigError(f"top is {self.top}; expected 0 (all) or more")

    def run(self) -> int:
        """Count, and print.

        Raises:
            ConfigError: there is no store.
            DataError: the store is damaged, with on_damage="raise".
        """
        store = TrajectoryStore.open(store_folder(self.path), on_damage=self.on_damage)
        with progress_bar() as bar:
            task = bar.add_task("episodes", total=len(store))
            stats = store_stats(store, on_episode=lambda: bar.advance(task))
        if self.json:
            print(json.dumps(_report(store, stats), indent=2, ensure_ascii=False))
        else:
            self._print(store, stats)
        return 0

    def dry_run(self) -> int:
        """It changes nothing, so that a dry run prints it too."""
        return self.run()

    def _print(self, store: TrajectoryStore, stats: StoreStats) -> None:
        wide = None if sys.stdout.isatty() else _AS_WIDE_AS_IT_IS
        console = Console(markup=False, highlight=False, width=wide)
        console.print(_table(store, stats))
        lines = {
            "steps per episode": _words(Distribution.of(stats.steps_per_episode)),
            "actions": self._counts(stats.actions, stats.all.steps),
            "chosen by": self._counts(stats.sources, stats.all.steps),
            "steps with": self._counts(+stats.labels, stats.all.steps),
            "screens": self._counts(stats.screens, stats.all.steps),
            "ended by": self._counts(stats.stops, stats.all.episodes),
            "templates": self._counts(stats.templates, stats.all.episodes),
            "policies": self._counts(stats.policies, stats.all.episodes),
            "devices": self._counts(stats.devices, stats.all.episodes),
            "patched": f"{stats.all.patched_steps} steps in {stats.patched_episodes} episodes",
            "sizes": f"{stats.pictures} pictures of {_size(stats.picture_bytes)}, tables of "
            f"{_size(stats.table_bytes)}",
        }
        width = max(map(len, lines))
        for name, words in lines.items():
            console.print(f"{name:<{width}}  {words}")
        if store.damage:
            console.print(
                f"{len(store.damage)} damaged episodes or files are left out; gui-agent data validate lists "
                "them"
            )

    def _counts(self, counts: Counter[str], total: int) -> str:
        shown = counts.most_common(self.top or None)
        words = [f"{name or '–'} {count} ({count / total:.1%})" for name, count in shown]
        rest = len(counts) - len(shown)
        return ", ".join([*words, *([f"and {rest} more"] if rest else [])]) or "–"


def _table(store: TrajectoryStore, stats: StoreStats) -> Table:
    table = Table(title=str(store.path), box=SIMPLE)
    table.add_column("split", overflow="fold")
    table.add_column("suite", overflow="fold")
    for name in ("episodes", *(verdict.value for verdict in Verdict), "steps"):
        table.add_column(name, justify="right")
    for (split, suite), part in sorted(stats.slices.items()):
        table.add_row(split or "–", suite or "–", *_cells(part))
    table.add_section()
    table.add_row("all", "", *_cells(stats.all))
    return table


def _cells(part: SliceStats) -> list[str]:
    counts = (part.episodes, *(part.verdicts[verdict.value] for verdict in Verdict), part.steps)
    return [str(count) for count in counts]


def _words(steps: Distribution | None) -> str:
    if steps is None:
        return "–"
    low, middle, high = steps.quartiles
    half = f"median {middle}, middle half {low} to {high}"
    return f"{steps.least} to {steps.greatest}, mean {steps.mean:.1f}, {half}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.1f} MiB" if num_bytes >= 2**20 else f"{num_bytes / 2**10:.1f} KiB"


def _report(store: TrajectoryStore, stats: StoreStats) -> dict[str, Any]:
    report = _plain(stats)
    report["slices"] = [
        {"split": split, "suite": suite, **_plain(part)}
        for (split, suite), part in sorted(stats.slices.items())
    ]
    steps = Distribution.of(stats.steps_per_episode)
    report["steps_per_episode"] = None if steps is None else asdict(steps)
    return {"store": str(store.path), **report, "damaged": len(store.damage)}


def _plain(stats: StoreStats | SliceStats) -> dict[str, Any]:
    """The fields as values of JSON, the most frequent first (`asdict` cannot copy a counter)."""
    plain: dict[str, Any] = {}
    for each in fields(stats):
        value = getattr(stats, each.name)
        if isinstance(value, Counter):
            value = dict(value.most_common())
        plain[each.name] = _plain(value) if isinstance(value, SliceStats) else value
    return plain
