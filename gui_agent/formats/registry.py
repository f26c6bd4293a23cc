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
from gui_agent.policy import ImageBudget


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


def get_format(name: str, *, image_budget: ImageBudget | None = None, **options: Any) -> PromptFormat:
    """The format of that name; options that are choices may be given as plain strings.

    The name may carry options of its own after a colon, as recipes and flags write them:
    "compact:snap_px=8,require_thought=true".

    Args:
        name: with or without options.
        image_budget: how the policy resizes pictures, for formats that state the screen's size as the
            model sees it; the others have no use for it.
        options: of the format's dataclass of options.

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
    if image_budget is not None and "image_budget" in known:
        options["image_budget"] = image_budget
    hints = get_type_hints(entry.options)
    values = {key: _checked(f"{name}.{key}", value, hints[key]) for key, value in options.items()}
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


def _checked(where: str, value: Any, hint: Any) -> Any:
    """The value if it is of the option's type; a plain string becomes the member that it names."""
    kinds = get_args(hint) or (hint,)
    choices = next((kind for kind in kinds if issubclass(kind, StrEnum)), None)
    if choices is not None and isinstance(value, str):
        members = [member.value for member in choices]
        if value not in members:
            raise ConfigError(f"{where} is {value!r}; {_suggestion(value, members)}")
        return choices(value)
    if type(value) not in kinds:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{where} is {value!r}; expected {names}")
    return value


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known are {', '.join(names)}"
