"""Single values as a page shows them: numbers, texts of any length, actions in few words."""

from __future__ import annotations

import math
from typing import Any, Final, assert_never

from gui_agent.actions import (
    Action,
    Answer,
    Click,
    DoubleClick,
    Drag,
    Finish,
    LongPress,
    OpenApp,
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_name,
    action_points,
)

LONGEST_TEXT_CHARS: Final = 20_000
"""A text beyond this makes a page slow, and nobody reads it to its end."""


def number(value: float | None) -> float | None:
    """A number that JSON can hold; nan and infinity become None."""
    return None if value is None or not math.isfinite(value) else round(value, 4)


def shortened(text: str, limit_chars: int = LONGEST_TEXT_CHARS) -> str:
    """A text that a page can show, with a word about what is left out."""
    if len(text) <= limit_chars:
        return text
    return f"{text[:limit_chars]}… ({len(text) - limit_chars:,} more characters)"


def action_label(action: Action) -> str:
    """An action in few words, for people."""
    match action:
        case Click(x=x, y=y) | DoubleClick(x=x, y=y) | LongPress(x=x, y=y):
            return f"{_words(action)} ({x}, {y})"
        case Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
            return f"swipe {action.finger_direction.value} ({x}, {y}) → ({to_x}, {to_y})"
        case Drag(x=x, y=y, to_x=to_x, to_y=to_y):
            return f"drag ({x}, {y}) → ({to_x}, {to_y})"
        case Scroll(direction=direction):
            return f"scroll {direction.value}"
        case TypeText(text=text):
            return f"type “{text}”"
        case Answer(text=text):
            return f"answer “{text}”"
        case PressKey(key=key):
            return f"key {key}"
        case SystemButton(button=button):
            return f"{button.value} button"
        case OpenApp(name=name):
            return f"open {name}"
        case Wait(duration_s=duration):
            return f"wait {duration:g} s"
        case Finish(status=status):
            return f"finish: {status.value}"
        case _:
            assert_never(action)


def _words(action: Action) -> str:
    return action_name(action).replace("_", " ")


def request_data(request: Action | ParseError) -> dict[str, Any]:
    """What was asked for: an action, or why there is none."""
    if isinstance(request, ParseError):
        return {
            "kind": "parse_error",
            "label": shortened(f"no action: {request.reason}"),
            "points": [],
            "text": shortened(request.text),
        }
    return action_data(request)


def action_data(action: Action) -> dict[str, Any]:
    """Kind, words and points of an action."""
    shown: dict[str, Any] = {
        "kind": action_name(action),
        "label": shortened(action_label(action)),
        "points": [list(point) for point in action_points(action)],
    }
    if isinstance(action, Scroll):
        shown["direction"] = action.direction.value
    return shown
