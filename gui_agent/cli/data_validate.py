"""`gui-agent data validate`: what is wrong with a trajectory store."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gui_agent.cli.collect import progress_bar
from gui_agent.cli.config import option
from gui_agent.cli.folders import store_folder
from gui_agent.errors import ConfigError, DataError
from trajectories.check import FindingKind, StoreCheck, check_store
from trajectories.damage import OnDamage
from trajectories.store import TrajectoryStore

_AS_WIDE_AS_IT_IS = 10_000
"""Columns there may be where no terminal ends."""


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Check a trajectory store: everything is read, and every picture decoded.

    Found are files and episodes that cannot be read or that a newer program wrote, missing and broken
    pictures, sizes that are not those of the pictures, points outside the screen, and steps without an
    action. The command then ends with code 3. Steps without picture or size are listed too, but are no
    damage: they cannot be replayed. gui-agent train leaves damage out with --on-damage skip.

    Examples:
        gui-agent data validate runs/demonstrations
        gui-agent data validate runs/online --limit 0
        gui-agent data validate runs/demonstrations --json

    Attributes:
        path: a trajectory store, or a folder that holds one.
        limit: how many findings of each kind to show; 0 shows all.
        json: print one JSON object, with all findings, instead of a table.
    """

    path: Path = option(positional=True)
    limit: int = 10
    json: bool = False

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ConfigError(f"limit is {self.limit}; expected 0 (all) or more")

    def run(self) -> int:
        """Check, and print what was found.

        Raises:
            ConfigError: there is no store.
            DataError: something is damaged.
        """
        store = TrajectoryStore.open(store_folder(self.path), on_damage=OnDamage.SKIP)
        with progress_bar() as bar:
            task = bar.add_task("episodes and pictures", total=len(store) + len(store.screenshots))
            check = check_store(store, on_progress=lambda: bar.advance(task))
        if self.json:
            print(json.dumps(_report(store, check), indent=2))
        else:
            self._print(store, check)
        if not check.ok:
            damaged = sum(finding.kind.is_damage for finding in check.findings)
            raise DataError(
                f"{store.path}: {damaged} found damaged, see above; restore it from a copy, convert the data "
                "again, or leave it out (--on-damage skip)"
            )
        return 0

    def dry_run(self) -> int:
        """Say how much there is to check."""
        store = TrajectoryStore.open(store_folder(self.path), on_damage=OnDamage.SKIP)
        print(f"would check {len(store)} episodes and {len(store.screenshots)} pictures")
        return 0

    def _print(self, store: TrajectoryStore, check: StoreCheck) -> None:
        console = Console(
            markup=False, highlight=False, width=None if sys.stdout.isatty() else _AS_WIDE_AS_IT_IS
        )
        spare = f", {check.num_unreferenced} of them shown by no episode" if check.num_unreferenced else ""
        console.print(
            f"{store.path}: {check.num_episodes} episodes, {check.num_steps} steps, "
            f"{check.num_pictures} pictures{spare}"
        )
        if not check.findings:
            console.print("nothing is wrong" if check.num_episodes else "it holds no episode")
            return
        table = Table(box=SIMPLE)
        table.add_column("found", no_wrap=True)
        table.add_column("where", ratio=1, overflow="fold")
        table.add_column("what", ratio=2, overflow="fold")
        listed: Counter[FindingKind] = Counter()
        for finding in check.findings:
            listed[finding.kind] += 1
            if not self.limit or listed[finding.kind] <= self.limit:
                table.add_row(finding.kind.value, finding.where, finding.message)
        console.print(table)
        for kind, count in check.counts.items():
            more = f", {self.limit} shown (--limit 0 shows all)" if 0 < self.limit < count else ""
            console.print(f"{kind.value}: {count}{more}{'' if kind.is_damage else '; no damage'}")


def _report(store: TrajectoryStore, check: StoreCheck) -> dict[str, Any]:
    return {
        "store": str(store.path),
        "ok": check.ok,
        "episodes": check.num_episodes,
        "steps": check.num_steps,
        "pictures": check.num_pictures,
        "unreferenced_pictures": check.num_unreferenced,
        "counts": {kind.value: count for kind, count in check.counts.items()},
        "findings": [{**asdict(finding), "damage": finding.kind.is_damage} for finding in check.findings],
    }
