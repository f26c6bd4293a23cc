"""`gui-agent algorithms`: what `--algorithm` can be, what each needs and when to use it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gui_agent.cli.config import option
from gui_agent.cli.option_tables import list_console, option_facts, option_table
from trainers.algorithms import ALGORITHMS, AlgorithmEntry, get_algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithms:
    """List the algorithms of step-level credit, or the options of one.

    Every name can be given as --algorithm to train semi-online and train online, with options after a
    colon. The defaults are the published settings. Formulas, and what the papers' released code does
    differently: docs/algorithms.md.

    Examples:
        gui-agent algorithms
        gui-agent algorithms gigpo
        gui-agent algorithms salt:history=1 --json

    Attributes:
        name: the algorithm to show with its options; empty lists all.
        json: print one JSON object instead of tables.
    """

    name: str = option("", positional=True)
    json: bool = False

    def run(self) -> int:
        """Print what is known."""
        console = list_console()
        if self.name:
            shown = _details(self.name)
            print(json.dumps(shown, indent=2)) if self.json else _print_details(console, shown)
        else:
            listed = {name: _facts(entry) for name, entry in ALGORITHMS.items()}
            print(json.dumps(listed, indent=2)) if self.json else console.print(_table(listed))
        return 0

    def dry_run(self) -> int:
        """The list changes nothing, so that a dry run prints it too."""
        return self.run()


def _facts(entry: AlgorithmEntry) -> dict[str, Any]:
    """An entry as plain values; options with their published defaults."""
    return {
        "compares": entry.summary,
        "needs": [need.value for need in entry.needs],
        "use": entry.use,
        "paper": {"title": entry.paper.title, "arxiv": entry.paper.arxiv},
        "options": {each["name"]: each["default"] for each in option_facts(entry.options)},
    }


def _details(text: str) -> dict[str, Any]:
    """An algorithm with its options as the text chooses them.

    Raises:
        ConfigError: there is no such algorithm or option.
    """
    chosen = get_algorithm(text)
    options = option_facts(chosen.entry.options, chosen.options)
    return {"name": chosen.name, **_facts(chosen.entry), "options": options}


def _table(listed: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE, caption="gui-agent algorithms NAME shows options")
    table.add_column("algorithm", no_wrap=True)
    table.add_column("compares", ratio=3)
    table.add_column("needs", ratio=2)
    table.add_column("use it for", ratio=3)
    table.add_column("arXiv", no_wrap=True)
    for name, facts in listed.items():
        needs = ", ".join(facts["needs"]) or "nothing"
        table.add_row(name, facts["compares"], needs, facts["use"], facts["paper"]["arxiv"])
    return table


def _print_details(console: Console, shown: dict[str, Any]) -> None:
    console.print(f"{shown['name']}: compares {shown['compares']}")
    console.print(f"  paper   {shown['paper']['title']}, arXiv:{shown['paper']['arxiv']}")
    console.print(f"  needs   {', '.join(shown['needs']) or 'nothing'}")
    console.print(f"  use     {shown['use']}")
    if not shown["options"]:
        console.print("  options none")
        return
    console.print(option_table(shown["options"]))
