"""`gui-agent formats`: what `--format` and `--planner-format` can be, and their options."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import dataclass
from typing import Any, Final

from rich.box import SIMPLE
from rich.table import Table

from gui_agent.cli.config import option
from gui_agent.cli.option_tables import list_console, option_facts, option_table
from gui_agent.formats.registry import (
    FORMATS,
    PLANNER_FORMATS,
    FormatEntry,
    PlannerFormatEntry,
    get_format,
    get_planner_format,
)

_PROMPT: Final = "--format"
_PLANNER: Final = "--planner-format"


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """List the prompt formats of agents and planners, or the options of one.

    A format says how goal, history and screenshots become a prompt, and how a response is read as an
    action. A model must be asked in the format that it was trained in. Options follow a colon.

    Examples:
        gui-agent formats
        gui-agent formats ui_s1
        gui-agent formats compact:snap_px=8 --json
        gui-agent formats compact --planner

    Attributes:
        name: the format to show with its options; empty lists all.
        planner: show the planner's format of that name, where an agent's has the same.
        json: print one JSON object instead of tables.
    """

    name: str = option("", positional=True)
    planner: bool = False
    json: bool = False

    def run(self) -> int:
        """Print what is known."""
        if self.name:
            shown = _details(self.name, planner=self.planner)
            print(json.dumps(shown, indent=2)) if self.json else _print_details(shown)
            return 0
        listed = {_PROMPT: _listed(FORMATS), _PLANNER: _listed(PLANNER_FORMATS)}
        if self.planner:
            del listed[_PROMPT]
        if self.json:
            print(json.dumps({flag.strip("-"): found for flag, found in listed.items()}, indent=2))
            return 0
        console = list_console()
        for flag, found in listed.items():
            console.print(_table(flag, found))
        return 0

    def dry_run(self) -> int:
        """The list changes nothing, so that a dry run prints it too."""
        return self.run()


def _listed(entries: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: _facts(entry) for name, entry in entries.items()}


def _facts(entry: FormatEntry | PlannerFormatEntry) -> dict[str, Any]:
    return {
        "summary": _words(entry).partition("\n")[0],
        "options": {each["name"]: each["default"] for each in option_facts(entry.options)},
    }


def _words(entry: FormatEntry | PlannerFormatEntry) -> str:
    """What the module of a format says of it, with examples of responses."""
    return inspect.getdoc(sys.modules[entry.options.__module__]) or ""


def _details(text: str, *, planner: bool) -> dict[str, Any]:
    """A format with its options as the text chooses them.

    Raises:
        ConfigError: there is no such format or option.
    """
    name = text.partition(":")[0]
    planner = planner or (name in PLANNER_FORMATS and name not in FORMATS)
    chosen: Any = get_planner_format(text) if planner else get_format(text)
    entry = (PLANNER_FORMATS if planner else FORMATS)[name]
    return {
        "name": name,
        "flag": _PLANNER if planner else _PROMPT,
        "description": _words(entry),
        "options": option_facts(entry.options, chosen.options),
    }


def _table(flag: str, listed: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE, caption="gui-agent formats NAME shows what options mean")
    table.add_column(flag, no_wrap=True)
    table.add_column("what it is", ratio=2)
    table.add_column("options and their defaults", ratio=3)
    for name, facts in listed.items():
        options = (f"{key}={_word(value)}" for key, value in facts["options"].items())
        table.add_row(name, facts["summary"], " ".join(options))
    return table


def _print_details(shown: dict[str, Any]) -> None:
    console = list_console()
    console.print(f"{shown['flag']} {shown['name']}\n")
    console.print(shown["description"])
    console.print(option_table(shown["options"]))
    if shown["flag"] == _PROMPT and shown["name"] in PLANNER_FORMATS:
        console.print(f"gui-agent formats {shown['name']} --planner shows the planner's format of this name")


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
