"""Options after a colon ("gigpo:anchor=perceptual") as lists show them: `algorithms`, `formats`."""

from __future__ import annotations

import sys
from typing import Any, Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gui_agent.cli.config import plain
from gui_agent.cli.docstrings import attribute_docs
from gui_agent.cli.schema import schema_of, type_name

_WIDE: Final = 150
"""Columns of a table that goes to a file or a pipe."""


def list_console() -> Console:
    """Where lists are printed: as wide as the terminal, or wide enough without one."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def option_facts(options: type, chosen: object = None) -> list[dict[str, Any]]:
    """The options of a dataclass as plain values; what is no single value, such as a section, is left out.

    Args:
        options: the dataclass.
        chosen: an instance whose values are told beside the defaults; None tells none.
    """
    docs = attribute_docs(options)
    facts: list[dict[str, Any]] = [
        {
            "name": each.name,
            "type": type_name(each.annotation),
            "default": plain(each.default),
            "help": docs.get(each.name, ""),
        }
        for each in schema_of(options).options.values()
        if len(each.path) == 1
    ]
    if chosen is None:
        return facts
    return [{**each, "value": plain(getattr(chosen, each["name"]))} for each in facts]


def option_table(facts: list[dict[str, Any]]) -> Table:
    """Options with the values that were chosen."""
    table = Table(box=SIMPLE)
    table.add_column("option", no_wrap=True)
    table.add_column("value", ratio=1)
    table.add_column("type", ratio=1)
    table.add_column("meaning", ratio=3)
    for each in facts:
        changed = "" if each["value"] == each["default"] else f" (default: {_word(each['default'])})"
        kind = each["type"].strip("{}").replace(",", ", ")
        table.add_row(each["name"], _word(each["value"]) + changed, kind, each["help"])
    return table


def _word(value: Any) -> str:
    return "none" if value is None else str(value)
