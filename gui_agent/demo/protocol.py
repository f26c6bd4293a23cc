"""What the page and the server of the demo say to each other, over one WebSocket at /socket.

Text messages are JSON objects with a "type". From the page come *commands* (`gui_agent.demo.commands`); a
command may carry a whole number "id", and is answered by `done` or `error` with the same "id". From the
server come *events* (`gui_agent.demo.events`). Binary messages, server to page only, are screens: see
`gui_agent.demo.frames`. Here is how commands are read and events are written.

Actions are written as in stored episodes (`gui_agent.actions.action_to_dict`), for instance
{"type": "click", "x": 40, "y": 61}; coordinates are pixels of the frame that they refer to.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

from gui_agent.actions import Action, action_from_dict
from gui_agent.demo.commands import COMMANDS, Command, Mode
from gui_agent.demo.events import EVENT_NAMES, Event, Seconds
from gui_agent.errors import DataError, GuiAgentError

MAX_MESSAGE_BYTES: Final = 65_536
"""Longest message that a page may send."""
MAX_TEXT_LENGTH: Final = 4_000
"""Longest text in a command, in characters: a goal, a hint, text to type."""


class ProtocolError(GuiAgentError, ValueError):
    """A message that is none, or a command that cannot be taken; `code` is for programs.

    Attributes:
        code: as in `ErrorEvent`.
        id: of the command, if it could be read.
    """

    def __init__(self, message: str, *, code: str = "bad_message") -> None:
        """Say what was expected."""
        super().__init__(message)
        self.code = code
        self.id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command and the number under which it is answered."""

    command: Command
    id: int | None = None


def request_from_json(text: str) -> Request:
    """Read a command.

    Raises:
        ProtocolError: it is no JSON object, its type is not known, or a field is missing, unknown, of the
            wrong kind or too long.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message must be JSON ({str(error)[:100]})") from error
    if not isinstance(data, dict):
        raise ProtocolError('a message must be a JSON object with a "type"')
    number = data.pop("id", None)
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise ProtocolError("id must be a whole number")
    try:
        return Request(command=_command(data), id=number)
    except ProtocolError as error:
        error.id = number
        raise


def _command(data: dict[str, Any]) -> Command:
    name = data.pop("type", None)
    cls = COMMANDS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ProtocolError(
            f"unknown command {str(name)[:40]!r}; expected one of {', '.join(COMMANDS)}",
            code="unknown_command",
        )
    known = {item.name: item for item in fields(cls)}
    if unknown := sorted(set(data) - set(known)):
        raise ProtocolError(f"{name} has no field {unknown[0][:40]!r}; it takes {sorted(known)}")
    for item in known.values():
        if item.name not in data and item.default is MISSING:
            raise ProtocolError(f"{name} needs the field {item.name!r}")
    values = {key: _value(f"{name}.{key}", str(known[key].type), value) for key, value in data.items()}
    command: Command = cls(**values)
    return command


def _value(where: str, kind: str, value: Any) -> Any:
    match kind:
        case "Action":
            return _action(where, value)
        case "Mode":
            if value not in list(Mode):
                raise ProtocolError(f"{where} is {str(value)[:40]!r}; expected auto or approve")
            return Mode(value)
        case "tuple[str, ...]":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ProtocolError(f"{where} must be a list of texts")
            return tuple(value)
    expected = {"str": str, "int": int, "bool": bool}[kind]
    if type(value) is not expected:
        raise ProtocolError(f"{where} must be of type {kind}, not {type(value).__name__}")
    if isinstance(value, str):
        _check_text(where, value)
    return value


def _check_text(where: str, text: str) -> None:
    if len(text) > MAX_TEXT_LENGTH:
        raise ProtocolError(f"{where} has {len(text)} characters; at most {MAX_TEXT_LENGTH} are taken")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ProtocolError(f"{where} holds half of a character (a lone surrogate), which cannot be stored")


def _action(where: str, value: Any) -> Action:
    if not isinstance(value, dict):
        raise ProtocolError(f'{where} must be an action, such as {{"type": "click", "x": 1, "y": 2}}')
    try:
        action = action_from_dict(value)
    except (DataError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"{where}: {error}") from error
    for text in (item for item in value.values() if isinstance(item, str)):
        _check_text(where, text)
    return action


def event_to_json(event: Event) -> str:
    """The event as the page reads it: its fields beside its "type", in ASCII: what a model writes may hold
    halves of characters, which no other encoding can carry."""
    return json.dumps({"type": EVENT_NAMES[type(event)], **_plain(event)})


def _plain(event: Any) -> dict[str, Any]:
    found = {}
    for item in fields(event):
        value = getattr(event, item.name)
        found[item.name] = _plain(value) if isinstance(value, Seconds) else value
    return found
