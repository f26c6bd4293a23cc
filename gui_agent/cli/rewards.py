"""`gui-agent rewards`: what `--reward` can be, what each needs, and the parts to compose one of."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gui_agent.cli.config import option, plain
from gui_agent.cli.docstrings import attribute_docs
from gui_agent.cli.option_tables import list_console
from trainers.rewards import PARTS, REWARDS, RewardFn, get_reward

_OPEN: Final = {"needs": None, "pays_steps": None}
"""What `process` needs and judges, as long as nobody has said of which parts it is."""
_OF_PARTS: Final = "parts of process, each an option with its weight; penalties get a negative one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewards:
    """List the rewards and the parts of process rewards, or what one reward pays and needs.

    Every name can be given as --reward to train semi-online, train online and score, with options after a
    colon; process takes weights of parts. Formulas and sources: docs/algorithms.md.

    Examples:
        gui-agent rewards
        gui-agent rewards task
        gui-agent rewards process
        gui-agent rewards process:outcome=1,progress=0.5,no_op=-0.1 --json

    Attributes:
        name: the reward to show with its options; empty lists all.
        json: print one JSON object instead of tables.
    """

    name: str = option("", positional=True)
    json: bool = False

    def run(self) -> int:
        """Print what is known."""
        console = list_console()
        if self.name:
            shown = _chosen(self.name)
            print(json.dumps(shown, indent=2)) if self.json else _print_chosen(console, shown)
        elif self.json:
            print(json.dumps({"rewards": _rewards(), "parts": _parts()}, indent=2))
        else:
            console.print(_table(_rewards(), caption="gui-agent rewards NAME shows options"))
            console.print(_table(_parts(), caption=_OF_PARTS))
        return 0

    def dry_run(self) -> int:
        """The list changes nothing, so that a dry run prints it too."""
        return self.run()


def _rewards() -> dict[str, dict[str, Any]]:
    """Every reward with its default options; what `process` needs depends on its parts."""
    return {
        name: {
            "summary": entry.summary,
            **(_OPEN if name == "process" else _demands(get_reward(name))),
            "source": entry.source,
        }
        for name, entry in REWARDS.items()
    }


def _parts() -> dict[str, dict[str, Any]]:
    return {
        name: {
            "summary": part.summary,
            "needs": sorted(part.needs),
            "pays_steps": part.pays_steps,
            "lowest": part.lowest,
            "highest": part.highest,
            "source": part.source,
        }
        for name, part in PARTS.items()
    }


def _demands(reward: RewardFn) -> dict[str, Any]:
    return {"needs": sorted(reward.needs), "pays_steps": reward.pays_steps}


def _chosen(text: str) -> dict[str, Any]:
    """A reward with the options that the text gives it.

    Raises:
        ConfigError: there is no such reward, part or option.
    """
    name, _, chosen = text.partition(":")
    by_parts = name == "process" and not chosen  # without weights it is no reward yet, and can be described
    demands = _OPEN if by_parts else _demands(get_reward(text))
    entry = REWARDS[name]
    docs = attribute_docs(type(entry.defaults))
    return {
        "name": text,
        "summary": entry.summary,
        **demands,
        "source": entry.source,
        "options": [
            {
                "name": each.name,
                "default": plain(getattr(entry.defaults, each.name)),
                "help": docs.get(each.name, ""),
            }
            for each in fields(entry.defaults)
        ],
        **({"parts": _parts()} if by_parts else {}),
    }


def _table(listed: dict[str, dict[str, Any]], *, caption: str) -> Table:
    table = Table(box=SIMPLE, caption=caption)
    table.add_column("name", no_wrap=True)
    table.add_column("what it pays", ratio=3)
    table.add_column("judges steps", no_wrap=True)
    table.add_column("needs", ratio=2)
    table.add_column("source", ratio=2)
    for name, facts in listed.items():
        table.add_row(name, facts["summary"], _judges(facts), _needs(facts), facts["source"])
    return table


def _print_chosen(console: Console, shown: dict[str, Any]) -> None:
    console.print(f"{shown['name']}: {shown['summary']}")
    console.print(f"  judges steps  {_judges(shown)}")
    console.print(f"  needs         {_needs(shown)}")
    console.print(f"  source        {shown['source']}")
    table = Table(box=SIMPLE)
    table.add_column("option", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("meaning", ratio=1)
    for each in shown["options"]:
        table.add_row(each["name"], "none" if each["default"] is None else str(each["default"]), each["help"])
    console.print(table)
    if "parts" in shown:
        console.print(_table(shown["parts"], caption=_OF_PARTS))


def _judges(facts: dict[str, Any]) -> str:
    return {None: "by its parts", True: "yes", False: "no"}[facts["pays_steps"]]


def _needs(facts: dict[str, Any]) -> str:
    return "by its parts" if facts["needs"] is None else ", ".join(facts["needs"]) or "nothing"
