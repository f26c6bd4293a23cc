"""Prompt formats by name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, get_args, get_type_hints

from gui_agent.errors import ConfigError
from gui_agent.formats.base import PromptFormat
from gui_agent.formats.compact import CompactFormat, CompactOptions
from gui_agent.formats.mobile_use import MobileUseFormat, MobileUseOptions
from gui_agent.formats.ui_s1 import UiS1Format, UiS1Options


@dataclass(frozen=True, slots=True)
class FormatEntry:
    """A format and the dataclass of its options."""

    options: type
    build: Callable[[Any], PromptFormat]


FORMATS: Final[dict[str, FormatEntry]] = {
    "ui_s1": FormatEntry(UiS1Options, UiS1Format),
    "mobile_use": FormatEntry(MobileUseOptions, MobileUseFormat),
    "compact": FormatEntry(CompactOptions, CompactFormat),
}


def get_format(name: str, **options: Any) -> PromptFormat:
    """The format of that name; options that are choices may be given as plain strings.

    The name may carry options of its own after a colon, as recipes and flags write them:
    "compact:snap_px=8,require_thought=true".

    Raises:
        ConfigError: no format has that name, it has no such option, or the value is impossible.
    """
    name, _, written = name.partition(":")
    options = {**_written_options(name, written), **options}
    entry = FORMATS.get(name)
    if entry is None:
        raise ConfigError(f"unknown prompt format {name!r}; {_suggestion(name, FORMATS)}")
    known = {field.name for field in fields(entry.options)}
    for key in options:
        if key not in known:
            raise ConfigError(
                f"prompt format {name!r} has no option {key!r}; {_suggestion(key, sorted(known))}"
            )
    hints = get_type_hints(entry.options)
    values = {key: _choice(f"{name}.{key}", value, hints[key]) for key, value in options.items()}
    return entry.build(entry.options(**values))


def _written_options(name: str, written: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in filter(None, written.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"prompt format {name!r}: {item!r} is no option; write key=value,key=value")
        try:
            options[key.strip()] = json.loads(value)  # numbers, true and false
        except ValueError:
            options[key.strip()] = value.strip()
    return options


def _choice(where: str, value: Any, hint: Any) -> Any:
    """Turn a plain string into the member that it names, where the option is an enumeration."""
    kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and issubclass(kind, StrEnum)]
    if not kinds or not isinstance(value, str):
        return value
    members = [member.value for member in kinds[0]]
    if value not in members:
        raise ConfigError(f"{where} is {value!r}; {_suggestion(value, members)}")
    return kinds[0](value)


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known are {', '.join(names)}"
