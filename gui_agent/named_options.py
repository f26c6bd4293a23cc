"""Things chosen by name with options of their own, as recipes and flags write them.

    compact:snap_px=8,require_thought=true

Prompt formats, algorithms and rewards are all chosen so.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self, TypeVar, get_args, get_type_hints

from gui_agent.errors import ConfigError

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedOptions:
    """A name and what was written after its colon.

    Attributes:
        name: before the colon.
        options: values as JSON reads them, plain words as text.
    """

    name: str
    options: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str, *, kind: str) -> Self:
        """Read "name" or "name:key=value,key=value".

        Args:
            text: as written.
            kind: what is being chosen, for messages ("prompt format").

        Raises:
            ConfigError: something after the colon is no option.
        """
        name, _, written = text.partition(":")
        options: dict[str, Any] = {}
        for item in filter(None, written.split(",")):
            key, equals, value = item.partition("=")
            if not equals:
                raise ConfigError(f"{kind} {name!r}: {item!r} is no option; write key=value,key=value")
            try:
                options[key.strip()] = json.loads(value)  # numbers, true and false
            except ValueError:
                options[key.strip()] = value.strip()
        return cls(name=name, options=options)


def build_options(options_class: type[Options], given: Mapping[str, Any], *, kind: str, name: str) -> Options:
    """An instance of a dataclass of options; a choice may be given as a plain string.

    Args:
        options_class: a dataclass whose fields are numbers, text, booleans or `StrEnum`s, None allowed.
        given: values by field name.
        kind: what is being chosen, for messages.
        name: its name, for messages.

    Raises:
        ConfigError: there is no such option, or its value is of another type.
    """
    known = [field.name for field in fields(options_class)]  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            raise ConfigError(f"{kind} {name!r} has no option {key!r}; {suggestion(key, sorted(known))}")
    hints = get_type_hints(options_class)
    return options_class(
        **{key: _checked(f"{name}.{key}", value, hints[key]) for key, value in given.items()}
    )


def suggestion(name: str, known: Iterable[str]) -> str:
    """ "did you mean …? known are …", for a name that is not known."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known are {', '.join(names) or 'none'}"


def _checked(where: str, value: Any, hint: Any) -> Any:
    """The value if it is of the option's type; a plain string becomes the member that it names."""
    kinds = get_args(hint) or (hint,)
    choices = next((kind for kind in kinds if issubclass(kind, StrEnum)), None)
    if choices is not None and isinstance(value, str):
        members = [member.value for member in choices]
        if value not in members:
            raise ConfigError(f"{where} is {value!r}; {suggestion(value, members)}")
        return choices(value)
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{where} is {value!r}; expected {names}")
    return value
