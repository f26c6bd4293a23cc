"""What of a device's calls travels to another computer: plain data for the values of the core.

Records and choices travel by name, from a closed table; nothing that arrives can name anything else. Bytes of
screenshots pass as they are, so a picture is the same picture on both sides.
"""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import Any, Final, get_args

from gui_agent import actions, errors
from gui_agent.actions import Action, ParseError
from gui_agent.device import ActionResult, ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError, DeviceError, GuiAgentError
from gui_agent.matching import MatchResult
from gui_agent.observation import Box, Observation, Screenshot, UiElement

WIRE_VERSION: Final = 1
"""Both sides must have the same."""

ACTION_TYPES: Final[dict[str, type]] = {cls.__name__: cls for cls in get_args(Action)}
"""Types of `Action` by name."""
_RECORDS: Final[dict[str, type]] = {
    **ACTION_TYPES,
    **{
        cls.__name__: cls
        for cls in (
            ParseError, Box, Screenshot, UiElement, Observation, MatchResult, ActionResult, ExpertAction,
            Outcome,
        )
    },
}  # fmt: skip
_CHOICES: Final[dict[str, type[StrEnum]]] = {
    cls.__name__: cls
    for cls in (
        actions.Direction, actions.Button, actions.FinishStatus, ActionSource, StopReason, Verdict,
    )
}  # fmt: skip
_ERRORS: Final[dict[str, type[GuiAgentError]]] = {
    cls.__name__: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, GuiAgentError)
}


def pack(value: object) -> Any:
    """The value as None, numbers, texts, bytes, lists and dictionaries of them.

    A `Click(x=1, y=2)` becomes `{"record": "Click", "fields": {"x": 1, "y": 2}}`.

    Raises:
        DataError: it is of a type that does not travel.
    """
    if isinstance(value, StrEnum) and type(value).__name__ in _CHOICES:
        return {"choice": type(value).__name__, "value": value.value}
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    record: Any = value
    kind = type(record)
    if _RECORDS.get(kind.__name__) is not kind:
        raise DataError(
            f"a {kind.__name__} does not travel to another computer; there are {', '.join(_RECORDS)}"
        )
    packed = {one.name: pack(getattr(record, one.name)) for one in fields(record)}
    return {"record": kind.__name__, "fields": packed}


def unpack(data: Any) -> Any:
    """What `pack` was given; lists come back as tuples.

    Raises:
        DataError: the data is not from `pack`.
    """
    if isinstance(data, list):
        return tuple(unpack(item) for item in data)
    if not isinstance(data, dict):
        return data
    try:
        if "choice" in data:
            return _CHOICES[data["choice"]](data["value"])
        arguments = {name: unpack(value) for name, value in data["fields"].items()}
        return _RECORDS[data["record"]](**arguments)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise DataError(f"what came from another computer is no value of a device: {error!r}") from error


def pack_error(error: GuiAgentError) -> dict[str, str]:
    """The kind and the message of an error."""
    kind = next(cls.__name__ for cls in type(error).__mro__ if _ERRORS.get(cls.__name__) is cls)
    return {"error": kind, "message": str(error)}


def unpack_error(data: dict[str, str], *, node: str) -> GuiAgentError:
    """The error again, of the same kind, with the computer in front of its message."""
    return _ERRORS.get(data["error"], DeviceError)(f"{node}: {data['message']}")
