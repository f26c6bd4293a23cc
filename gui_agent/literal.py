"""Instructions taken at their word: "tap Wi-Fi" becomes a tap on the widget that is labelled so.

The way back from `gui_agent.instructions`, for instructions that templates or planners wrote. It needs
the labels of the screen and uses nothing else: no goal, no history, no picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    DoubleClick,
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
from gui_agent.observation import UiElement

_AIMED: Final[tuple[tuple[str, type[Click] | type[DoubleClick] | type[LongPress]], ...]] = (
    ("double tap", DoubleClick),
    ("double click", DoubleClick),
    ("double-click", DoubleClick),
    ("long press", LongPress),
    ("long-press", LongPress),
    ("hold", LongPress),
    ("tap", Click),
    ("click", Click),
)
_WITHOUT_ARGUMENT: Final[dict[str, Action]] = {
    "wait": Wait(),
    "finish": Finish(),
    "give up": Finish(status=FinishStatus.FAILURE),
    "go back": SystemButton(button=Button.BACK),
    "go home": SystemButton(button=Button.HOME),
}
_NO_WORD: Final = re.compile(r"[^\w#+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an instruction means on a screen.

    Attributes:
        action: what it asks for; None if it cannot be done here, or nobody can tell.
        problem: why there is no action; empty if there is one.
        understood: false where the words themselves say nothing to a literal reader, so that whoever wrote
            them may have meant something right.
    """

    action: Action | None = None
    problem: str = ""
    understood: bool = True


def read_instruction(
    instruction: str, elements: Sequence[UiElement], *, width_px: int, height_px: int
) -> Reading:
    """Take an instruction at its word.

    Args:
        instruction: one line, such as `gui_agent.instructions.instruction_for` writes.
        elements: the labelled widgets of the screen.
        width_px, height_px: size of the screen; swipes go through its middle.

    Returns:
        "tap ok" is a click on the middle of the widget "ok". A widget is meant by its whole name, or if none
        has it, by the longest name that is part of the words, or by the only name of which they are a part;
        of several widgets with one name the clickable ones and then the smallest come first.
    """
    line = " ".join(instruction.split())
    words = line.casefold()
    if fixed := _WITHOUT_ARGUMENT.get(words):
        return Reading(action=fixed)
    for verb, kind in _AIMED:
        if words == verb or words.startswith(f"{verb} "):
            return _aimed(kind, line[len(verb) :].strip(), elements)
    verb, _, rest = line.partition(" ")
    match verb.casefold():
        case "swipe" | "scroll" as gesture:
            return _moved(gesture, rest, width_px, height_px)
        case "press" if rest:
            return _pressed(rest, elements)
        case "drag":
            return Reading(problem=f"{line!r} does not say where to")
        case "type":
            return Reading(action=TypeText(text=_text(rest)))
        case "open":
            return Reading(action=OpenApp(name=_text(rest)))
        case "answer":
            return Reading(action=Answer(text=_text(rest)))
    return Reading(problem=f"no literal reader understands {line!r}", understood=False)


def _aimed(
    kind: type[Click] | type[DoubleClick] | type[LongPress], name: str, elements: Sequence[UiElement]
) -> Reading:
    widget = named_widget(name, elements)
    if widget is None:
        return Reading(problem=f"nothing on this screen is called {name!r}")
    x, y = widget.box.center
    return Reading(action=kind(x=x, y=y))


def named_widget(name: str, elements: Sequence[UiElement]) -> UiElement | None:
    """The widget that words mean, see `read_instruction`; None if there is none, or no single one."""
    wanted = _words(name)
    names = {_words(element.name) for element in elements} - {""}
    if not wanted:
        return None
    chosen = {wanted} & names
    if not chosen:
        inside = {known for known in names if _is_part(known, wanted)}
        longest = max((len(known) for known in inside), default=0)
        chosen = {known for known in inside if len(known) == longest}
    if not chosen:
        chosen = {known for known in names if _is_part(wanted, known)}
    if len(chosen) != 1:
        return None
    meant = [element for element in elements if _words(element.name) in chosen]
    return min(meant, key=lambda element: (not element.clickable, element.box.area_px))


def _words(name: str) -> str:
    """Lower-case words with single spaces; quotation marks and other signs are left out."""
    return " ".join(_NO_WORD.sub(" ", name.casefold()).split()) or " ".join(name.casefold().split())


def _is_part(part: str, whole: str) -> bool:
    return f" {part} " in f" {whole} "


def _moved(gesture: str, rest: str, width_px: int, height_px: int) -> Reading:
    if rest.casefold() not in list(Direction):
        return Reading(problem=f"{rest!r} is no direction to {gesture} in")
    direction = Direction(rest.casefold())
    if gesture == "scroll":
        return Reading(action=Scroll(direction=direction))
    step_x = {Direction.LEFT: -1, Direction.RIGHT: 1}.get(direction, 0) * (width_px // 4)
    step_y = {Direction.UP: -1, Direction.DOWN: 1}.get(direction, 0) * (height_px // 4)
    x, y = width_px // 2, height_px // 2
    return Reading(action=Swipe(x=x - step_x, y=y - step_y, to_x=x + step_x, to_y=y + step_y))


def _pressed(rest: str, elements: Sequence[UiElement]) -> Reading:
    """A system button, a widget of just this name, or a key."""
    if rest in list(Button):
        return Reading(action=SystemButton(button=Button(rest)))
    if any(_words(element.name) == _words(rest) for element in elements):
        return _aimed(Click, rest, elements)
    return Reading(action=PressKey(key=_text(rest)))


def _text(rest: str) -> str:
    if rest.startswith('"'):
        try:
            value = json.loads(rest)
        except ValueError:
            return rest
        return value if isinstance(value, str) else rest
    return rest
