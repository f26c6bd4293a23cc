"""Actions as flat JSON objects, the dialect that `ui_s1` and `mobile_use` share.

`{"action": "click", "coordinate": [546, 391]}`: the key `action` and its arguments on one level.
Points are in the coordinate space of the model; reading never raises on what a model wrote.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    DoubleClick,
    Drag,
    Finish,
    FinishStatus,
    LongPress,
    OpenApp,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_name,
)
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.formats.points import read_point, write_point

PHONE_ACTIONS: Final[frozenset[type]] = frozenset(
    {PressKey, Click, LongPress, Swipe, TypeText, Answer, SystemButton, OpenApp, Wait, Finish}
)
BROWSER_ACTIONS: Final[frozenset[type]] = frozenset({DoubleClick, Drag, Scroll})
_LARGEST_COORDINATE: Final = 1_000_000
_LONGEST_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentProblem:
    """Why an object is no action; `claimed` is the name it gives itself, if any."""

    reason: str
    claimed: str | None = None


class _BadArgumentError(ValueError):
    """An argument of the model's is missing or of the wrong kind; never leaves this module."""


def load_json_object(text: str) -> dict[str, Any] | str:
    """The object that `text` is, strictly; or why it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {str(error)[:120]}"
    return value if isinstance(value, dict) else f"a JSON {type(value).__name__}, not an object"


def dump_json(value: Mapping[str, Any]) -> str:
    """JSON on one line that can stand between tags: no closing tag can occur inside it."""
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")


def action_arguments(
    action: Action, space: CoordinateSpace, geometry: ScreenGeometry, action_space: frozenset[type]
) -> dict[str, Any]:
    """The flat object that stands for an action.

    Raises:
        ConfigError: the dialect has no word for this type of action.
    """
    if type(action) not in action_space:
        raise ConfigError(
            f"this prompt format cannot write {action_name(action)!r}; it knows "
            f"{', '.join(sorted(kind.__name__ for kind in action_space))}. "
            "Convert the data, or choose a format or option that has the action."
        )

    def point(x: int, y: int) -> list[float]:
        return list(write_point(x, y, space, geometry))

    match action:
        case Click(x=x, y=y):
            return {"action": "click", "coordinate": point(x, y)}
        case DoubleClick(x=x, y=y):
            return {"action": "double_click", "coordinate": point(x, y)}
        case LongPress(x=x, y=y, duration_s=duration):
            return {"action": "long_press", "coordinate": point(x, y), "time": _plain(duration)}
        case Drag(x=x, y=y, to_x=to_x, to_y=to_y):
            return {"action": "drag", "coordinate": point(x, y), "coordinate2": point(to_x, to_y)}
        case Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
            return {"action": "swipe", "coordinate": point(x, y), "coordinate2": point(to_x, to_y)}
        case Scroll(direction=direction, x=int(x), y=int(y)):
            return {"action": "scroll", "direction": direction.value, "coordinate": point(x, y)}
        case Scroll(direction=direction):
            return {"action": "scroll", "direction": direction.value}
        case TypeText(text=text):
            return {"action": "type", "text": text}
        case PressKey(key=key):
            return {"action": "key", "text": key}
        case SystemButton(button=button):
            return {"action": "system_button", "button": button.value.capitalize()}
        case OpenApp(name=name):
            return {"action": "open", "text": name}
        case Wait(duration_s=duration):
            return {"action": "wait", "time": _plain(duration)}
        case Answer(text=text):
            return {"action": "answer", "text": text}
        case Finish(status=status):
            return {"action": "terminate", "status": status.value}
        case _:
            assert_never(action)


def action_from_arguments(
    arguments: Mapping[str, Any],
    space: CoordinateSpace,
    geometry: ScreenGeometry,
    action_space: frozenset[type],
) -> Action | ArgumentProblem:
    """Read a flat object; arguments that the action does not take are ignored.

    `time` and `status` may be missing (1 second, success); everything else must be there.
    """
    name = arguments.get("action")
    if not isinstance(name, str):
        return ArgumentProblem(reason='the key "action" must name an action')
    reader = _Reader(arguments, space, geometry)
    try:
        action = _read(name, reader)
    except _BadArgumentError as error:
        return ArgumentProblem(reason=f"action {name[:40]!r}: {error}", claimed=name)
    if action is None or type(action) not in action_space:
        return ArgumentProblem(reason=f"no action is called {name[:40]!r} here", claimed=name)
    return action


def _read(name: str, reader: _Reader) -> Action | None:
    match name:
        case "click" | "double_click":
            x, y = reader.point("coordinate")
            return Click(x=x, y=y) if name == "click" else DoubleClick(x=x, y=y)
        case "long_press":
            x, y = reader.point("coordinate")
            return LongPress(x=x, y=y, duration_s=reader.duration_s())
        case "swipe" | "drag":
            x, y = reader.point("coordinate")
            to_x, to_y = reader.point("coordinate2")
            kind = Swipe if name == "swipe" else Drag
            return kind(x=x, y=y, to_x=to_x, to_y=to_y)
        case "scroll":
            direction = Direction(reader.choice("direction", list(Direction)))
            if reader.has("coordinate"):
                x, y = reader.point("coordinate")
                return Scroll(direction=direction, x=x, y=y)
            return Scroll(direction=direction)
        case "type":
            return TypeText(text=reader.text())
        case "key":
            return PressKey(key=reader.text())
        case "system_button":
            return SystemButton(button=Button(reader.choice("button", list(Button))))
        case "open":
            return OpenApp(name=reader.text())
        case "wait":
            return Wait(duration_s=reader.duration_s())
        case "answer":
            return Answer(text=reader.text())
        case "terminate":
            if not reader.has("status"):
                return Finish()
            return Finish(status=FinishStatus(reader.choice("status", list(FinishStatus))))
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes checked arguments out of what a model wrote."""

    arguments: Mapping[str, Any]
    space: CoordinateSpace
    geometry: ScreenGeometry

    def has(self, key: str) -> bool:
        return self.arguments.get(key) is not None

    def point(self, key: str) -> tuple[int, int]:
        value = self.arguments.get(key)
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_coordinate, value)):
            raise _BadArgumentError(f"{key} must be two numbers, not {_short(value)}")
        return read_point((value[0], value[1]), self.space, self.geometry)

    def text(self) -> str:
        value = self.arguments.get("text")
        if not isinstance(value, str):
            raise _BadArgumentError(f"text must be a string, not {_short(value)}")
        return value

    def duration_s(self) -> float:
        value = self.arguments.get("time")
        if value is None:
            return 1.0
        if isinstance(value, str):
            value = _number(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
            raise _BadArgumentError(f"time must be 0 to {_LONGEST_S:.0f} seconds, not {_short(value)}")
        return float(value)

    def choice(self, key: str, allowed: list[Any]) -> str:
        value = self.arguments.get(key)
        word = value.lower().strip() if isinstance(value, str) else None
        if word not in allowed:
            raise _BadArgumentError(f"{key} must be one of {', '.join(allowed)}, not {_short(value)}")
        return str(word)


def _is_coordinate(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST_COORDINATE  # false for NaN and infinity too


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _short(value: object) -> str:
    """A value for a message; whatever it is, it stays short."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_COORDINATE:
        return "a huge number"
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value)[:60]


def _plain(seconds: float) -> float:
    """Whole seconds without a decimal point, as people write them."""
    return int(seconds) if math.isfinite(seconds) and seconds == int(seconds) else seconds
