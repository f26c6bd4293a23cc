"""Values out of a JSON object that somebody wrote by hand or by a script, each checked as it is taken.

A value that is wrong names its place (`steps[2].action.x`), what it is, and what was expected; so does a
field that nobody takes, because a misspelt field would otherwise be lost without a word.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from gui_agent.errors import DataError
from gui_agent.named_options import suggestion

E = TypeVar("E", bound=StrEnum)

_SHOWN = 80


def load_json(text: bytes) -> Any:
    """A value of JSON; a key that comes twice, NaN and half characters are refused.

    Raises:
        DataError: it is none; the message says why.
    """
    try:
        data = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_number)
        if rb"\ud" in text.lower():  # an escape may be one half of a character, which nothing can store
            json.dumps(data, ensure_ascii=False).encode()
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON in UTF-8 ({error}); correct it, or fetch the file again") from error
    return data


def load_object(text: bytes) -> dict[str, Any]:
    """A line that is one JSON object, as `load_json`.

    Raises:
        DataError: it is none; the message says why.
    """
    data = load_json(text)
    if not isinstance(data, dict):
        raise DataError(f"the line is {shown(data)}; expected a JSON object, one episode")
    return data


def wrong(place: str, value: Any, expected: str) -> DataError:
    """The error of a value that is not what it should be."""
    return DataError(f"{place} is {shown(value)}; expected {expected}")


def shown(value: Any) -> str:
    """A value as it stands in the file, cut to a length that fits a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


@dataclass(slots=True)
class Fields:
    """The fields of one object; `place` is where it stands, empty for the line itself.

    Every method takes one field. It raises `DataError` if the value is of the wrong kind, or if it is not
    there and no default was given.
    """

    data: dict[str, Any]
    place: str = ""
    _taken: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, value: Any, place: str) -> Fields:
        """The fields of what should be an object."""
        if not isinstance(value, dict):
            raise wrong(place, value, "an object")
        return cls(value, place)

    def at(self, name: str) -> str:
        """The place of a field."""
        return f"{self.place}.{name}" if self.place else name

    def has(self, name: str) -> bool:
        """Whether the field is there, be it null."""
        return name in self.data

    def any(self, name: str, default: Any = None) -> Any:
        """A value of any kind."""
        self._taken.add(name)
        return self.data.get(name, default)

    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        value = self._value(name, default, "text")
        if not isinstance(value, str):
            raise wrong(self.at(name), value, "text")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, or None where the field is null or not there."""
        return None if self.any(name) is None else self.text(name)

    def choice(self, name: str, kind: type[E], default: E) -> E:
        """A member of an enumeration, by its value."""
        value = self.any(name, default.value)
        if value not in list(kind):
            raise wrong(self.at(name), value, "one of " + ", ".join(member.value for member in kind))
        return kind(value)

    def whole(self, name: str, default: int) -> int:
        """A whole number of 64 bits."""
        value = self.any(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise wrong(self.at(name), value, "a whole number of at most 64 bits")
        return value

    def share(self, name: str, default: float | None) -> float | None:
        """A number from 0 to 1, or None."""
        value = self.any(name, default)
        if value is None:
            return None
        if not is_number(value) or not 0 <= value <= 1:
            raise wrong(self.at(name), value, "a number from 0 to 1, or null")
        return float(value)

    def items(self, name: str) -> list[Any]:
        """A list; empty where the field is not there."""
        value = self.any(name, [])
        if not isinstance(value, list):
            raise wrong(self.at(name), value, "a list")
        return value

    def refuse_others(self, known: Iterable[str] = ()) -> None:
        """Refuse fields that nobody has taken; `known` are those that could have been."""
        names = list(dict.fromkeys([*known, *sorted(self._taken)]))
        for name in self.data:
            if name not in self._taken:
                raise DataError(f"{self.at(name)} is no field of the format; {suggestion(name, names)}")

    def _value(self, name: str, default: Any, expected: str) -> Any:
        if name not in self.data and default is None:
            raise DataError(f"{self.at(name)} is not there; expected {expected}")
        return self.any(name, default)


def is_number(value: Any) -> bool:
    """A finite number that is no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in pairs:
        if name in data:
            raise DataError(f"the field {name!r} stands twice in one object; leave one")
        data[name] = value
    return data


def _no_number(name: str) -> Any:
    raise DataError(f"{name} is no number of JSON; leave the field out, or write null")
