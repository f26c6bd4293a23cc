"""Actions in a person's words, without coordinates: "tap Wi-Fi", "type hello", "press back".

A planner's instruction written by a template has these words, and so has what a planner's history says
about the step that was taken.
"""

from __future__ import annotations

import json
from typing import assert_never

from gui_agent.actions import (
    Action,
    Answer,
    Click,
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
)


def instruction_for(action: Action, target: str | None = None) -> str:
    """An action as an instruction in one line.

    Args:
        action: what is to be done, or was.
        target: what a person calls the thing that the action points at ("Wi-Fi"); None where nobody
            knows, and the instruction is then the verb alone. Actions without a point have no use for it.

    Returns:
        `Click` on "Wi-Fi" is "tap Wi-Fi"; texts that are no plain words are written as JSON strings.
    """
    match action:
        case Click():
            return _aimed("tap", target)
        case DoubleClick():
            return _aimed("double tap", target)
        case LongPress():
            return _aimed("hold", target)
        case Drag():
            return _aimed("drag", target)
        case Swipe():
            return f"swipe {action.finger_direction.value}"
        case Scroll(direction=direction):
            return f"scroll {direction.value}"
        case TypeText(text=text):
            return f"type {_text(text)}"
        case PressKey(key=key):
            return f"press {_text(key)}"
        case SystemButton(button=button):
            return f"press {button.value}"
        case OpenApp(name=name):
            return f"open {_text(name)}"
        case Wait():
            return "wait"
        case Answer(text=text):
            return f"answer {_text(text)}"
        case Finish(status=FinishStatus.SUCCESS):
            return "finish"
        case Finish():
            return "give up"
        case _:
            assert_never(action)


def _aimed(verb: str, target: str | None) -> str:
    words = " ".join((target or "").split())
    return f"{verb} {words}" if words else verb


def _text(text: str) -> str:
    plain = bool(text) and text.isprintable() and text == " ".join(text.split()) and '"' not in text
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
