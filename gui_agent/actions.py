"""What an agent can do: a closed union of frozen values.

Coordinates are integer pixels of the screenshot that was shown, origin at the top left, x to the
right and y downward. `Scroll.direction` is the direction in which the *content of interest* lies
(scroll down shows what is further down); `Swipe` is the path of a *finger* (a swipe whose finger
moves up also shows what is further down). The two are never converted silently.

Handle an `Action` with `match` and `typing.assert_never`, so that a new member is found by the type
checker everywhere it matters.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final, get_args

from gui_agent.errors import DataError


class Direction(StrEnum):
    """One of the four sides of the screen."""

    UP = "up"
    DOWN = "down"
    LEFT = "left"
    RIGHT = "right"


class Button(StrEnum):
    """Buttons that belong to the system, not to an app."""

    BACK = "back"
    HOME = "home"
    MENU = "menu"
    ENTER = "enter"


class FinishStatus(StrEnum):
    """What the agent claims when it stops."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """Tap, or left-click, a point."""

    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleClick:
    """Tap, or left-click, a point twice in quick succession."""

    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPress:
    """Press a point and hold it for `duration_s` seconds."""

    x: int
    y: int
    duration_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drag:
    """Hold what is at (x, y) and move it to (to_x, to_y)."""

    x: int
    y: int
    to_x: int
    to_y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Swipe:
    """Move a finger from (x, y) to (to_x, to_y)."""

    x: int
    y: int
    to_x: int
    to_y: int

    @property
    def finger_direction(self) -> Direction:
        """The main direction of the finger (see `finger_direction`)."""
        return finger_direction((self.x, self.y), (self.to_x, self.to_y))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scroll:
    """Bring content into view that lies in `direction`, at (x, y) or at the screen's centre."""

    direction: Direction
    x: int | None = None
    y: int | None = None

    def __post_init__(self) -> None:
        if (self.x is None) != (self.y is None):
            raise ValueError("Scroll needs both x and y, or neither")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeText:
    """Enter text where the focus is."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PressKey:
    """Press one key by name, for instance `volume_up` or `Tab`."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemButton:
    """Press a button of the system."""

    button: Button


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApp:
    """Start an app, or bring it to the front, by its name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Do nothing for `duration_s` seconds."""

    duration_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Tell the user the answer to a question."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Declare the task done, or impossible."""

    status: FinishStatus = FinishStatus.SUCCESS


Action = (
    Click
    | DoubleClick
    | LongPress
    | Drag
    | Swipe
    | Scroll
    | TypeText
    | PressKey
    | SystemButton
    | OpenApp
    | Wait
    | Answer
    | Finish
)

_NAMES: Final[dict[type, str]] = {
    Click: "click",
    DoubleClick: "double_click",
    LongPress: "long_press",
    Drag: "drag",
    Swipe: "swipe",
    Scroll: "scroll",
    TypeText: "type",
    PressKey: "key",
    SystemButton: "system_button",
    OpenApp: "open",
    Wait: "wait",
    Answer: "answer",
    Finish: "finish",
}
_TYPES: Final[dict[str, type]] = {name: cls for cls, name in _NAMES.items()}
_ENUMS: Final[dict[str, type[StrEnum]]] = {
    "direction": Direction,
    "button": Button,
    "status": FinishStatus,
}
ACTION_TYPES: Final[tuple[type, ...]] = get_args(Action)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseError:
    """A response that is no action: the agent's mistake, kept as data.

    `reason` says what was expected; `text` is the response, whole.
    """

    reason: str
    text: str


def action_name(action: Action) -> str:
    """The stable lower-case name of an action's type, as stored on disk."""
    return _NAMES[type(action)]


def action_type_name(kind: type) -> str:
    """The same for a type of `Action`; `KeyError` if it is none."""
    return _NAMES[kind]


def action_points(action: Action) -> tuple[tuple[int, int], ...]:
    """The points of the screen that an action refers to, in order; empty where it has none."""
    match action:
        case Click(x=x, y=y) | DoubleClick(x=x, y=y) | LongPress(x=x, y=y):
            return ((x, y),)
        case Drag(x=x, y=y, to_x=to_x, to_y=to_y) | Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
            return ((x, y), (to_x, to_y))
        case Scroll(x=int(x), y=int(y)):
            return ((x, y),)
        case _:
            return ()


def action_to_dict(action: Action) -> dict[str, Any]:
    """A JSON-ready dictionary; `action_from_dict` restores it. Fields that are None are left out."""
    arguments = {key: value for key, value in asdict(action).items() if value is not None}
    return {"type": action_name(action), **arguments}


def action_from_dict(data: dict[str, Any]) -> Action:
    """Restore what `action_to_dict` wrote.

    Raises:
        DataError: the type is unknown, or an argument is missing, unknown or of the wrong kind.
    """
    arguments = dict(data)
    name = arguments.pop("type", None)
    cls = _TYPES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise DataError(f"unknown action type {name!r}; expected one of {', '.join(sorted(_TYPES))}")
    known = {field.name: field.type for field in fields(cls)}
    if unknown := sorted(set(arguments) - set(known)):
        raise DataError(f"action {name!r} has no argument {unknown[0]!r}; it takes {sorted(known)}")
    try:
        for key, value in arguments.items():
            arguments[key] = _checked_argument(key, value, str(known[key]))
        action: Action = cls(**arguments)
    except (TypeError, ValueError) as error:
        raise DataError(f"action {name!r} with arguments {arguments!r}: {error}") from error
    return action


def _checked_argument(key: str, value: Any, kind: str) -> Any:
    if key in _ENUMS:
        return _ENUMS[key](value)
    if kind.startswith("int"):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{key} must be a whole number of pixels, not {value!r}")
        return value
    if kind == "float":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} must be a number, not {value!r}")
        return float(value)
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text, not {value!r}")
    return value


def finger_direction(start: tuple[float, float], end: tuple[float, float]) -> Direction:
    """The direction in which a finger moved from start to end, in pixels with y downward.

    Horizontal only if |dx| > |dy| strictly; a movement of zero length counts as up.

    Source: UI-S1 release, `predict_direction` (reference vectors of the same name).
    """
    dx, dy = end[0] - start[0], end[1] - start[1]
    if abs(dx) > abs(dy):
        return Direction.RIGHT if dx > 0 else Direction.LEFT
    return Direction.DOWN if dy > 0 else Direction.UP
