"""The shortest dialect, for models of a few million parameters.

One user message: the picture first, then the goal, then one line per earlier step, oldest first:

    <picture>turn on wifi
    settings click 28 60

A response is one line: a few words of thought, which may be missing, and a command.

    response  = [ thought " " ] command
    command   = ( "click" | "double_click" ) X " " Y
              | "long_press" X " " Y [ " " SECONDS ]
              | ( "swipe" | "drag" ) X " " Y " " X " " Y
              | "scroll" ( "up" | "down" | "left" | "right" ) [ " " X " " Y ]
              | ( "type" | "key" | "open" | "answer" ) TEXT
              | "button" ( "back" | "home" | "menu" | "enter" )
              | "wait" [ SECONDS ]
              | "finish" ( "success" | "failure" )
    TEXT      = words without quotation marks, line breaks, double spaces or command words
              | a JSON string

(one space follows each command word that takes arguments.) `settings click 28 60` taps the point
(28, 60), in pixels of the resized picture, because of "settings".

A thought may hold command words: the command is the last one that completes the line. A text that would
be misread then is written as a JSON string.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from gui_agent.actions import (
    ACTION_TYPES,
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
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.formats.base import ParsedResponse, Turn
from gui_agent.formats.points import read_point, write_point
from gui_agent.observation import Screenshot
from gui_agent.policy import ImagePart, Message, Prompt, Role, TextPart

KEYWORDS: Final = (
    "click",
    "double_click",
    "long_press",
    "drag",
    "swipe",
    "scroll",
    "type",
    "key",
    "open",
    "answer",
    "button",
    "wait",
    "finish",
)
_LONGEST_CHARS: Final = 4096
_LONGEST_S: Final = 3600.0
_WHOLE: Final = re.compile(r"-?[0-9]{1,5}")
_SECONDS: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactOptions:
    """Choices within the dialect.

    Attributes:
        history_limit: earlier steps that are remembered, the latest ones; 0 remembers none.
        snap_px: rendered coordinates are the centres of cells of this size, so that a tiny model has
            few numbers to tell apart; 1 renders every pixel.
        require_thought: a response without a thought has the wrong form.
        space: pixels of the resized picture, or thousandths.
    """

    history_limit: int = 8
    snap_px: int = 1
    require_thought: bool = False
    space: CoordinateSpace = CoordinateSpace.RESIZED_PIXELS

    def __post_init__(self) -> None:
        if self.history_limit < 0:
            raise ConfigError(f"history_limit is {self.history_limit}; it must be 0 or more")
        if self.snap_px < 1:
            raise ConfigError(f"snap_px is {self.snap_px}; it must be 1 or more")
        if self.space is CoordinateSpace.NORMALISED:
            raise ConfigError("the compact format writes whole numbers; use resized_pixels or thousand")


class CompactFormat:
    """One line per step; see the module."""

    name = "compact"

    def __init__(self, options: CompactOptions | None = None) -> None:
        """Fix the options; None takes the defaults."""
        self.options = options or CompactOptions()

    @property
    def space(self) -> CoordinateSpace:
        """The unit in which the model writes points."""
        return self.options.space

    @property
    def action_space(self) -> frozenset[type]:
        """Every type of action."""
        return frozenset(ACTION_TYPES)

    def prompt(self, goal: str, history: Sequence[Turn], screenshot: Screenshot) -> Prompt:
        """One user message: picture, goal, earlier responses line by line."""
        return _user_message(self._lines(goal, history), screenshot)

    def parse(self, text: str, geometry: ScreenGeometry) -> ParsedResponse:
        """Read a line; points become screen pixels."""
        line = text.strip()
        if len(line) > _LONGEST_CHARS or len(line.splitlines()) != 1:
            error = ParseError(reason=f"expected one line of at most {_LONGEST_CHARS} characters", text=text)
            return ParsedResponse(action=error, thought=None, format_ok=False)
        for start in reversed(_keyword_starts(line)):
            keyword, _, rest = line[start:].partition(" ")
            action = _read_command(keyword, rest.strip(), self.space, geometry)
            if action is not None:
                thought = line[:start].strip() or None
                format_ok = thought is not None or not self.options.require_thought
                return ParsedResponse(action=action, thought=thought, format_ok=format_ok)
        error = ParseError(
            reason=f"no command completes the line; known are {', '.join(KEYWORDS)}", text=text
        )
        return ParsedResponse(action=error, thought=None, format_ok=False)

    def render(self, action: Action, thought: str | None, geometry: ScreenGeometry) -> str:
        """Write an action as one line; the thought's white space becomes single spaces."""
        words = " ".join((thought or "").split())
        command = _command(action, _Writer(self.space, geometry, self.options.snap_px))
        return f"{words} {command}" if words else command

    def thought_prompt(
        self,
        goal: str,
        history: Sequence[Turn],
        screenshot: Screenshot,
        expert: Action,
        geometry: ScreenGeometry,
    ) -> Prompt:
        """Ask why: the prompt of the step, then the expert's command behind the word `why`."""
        command = self.render(expert, None, geometry)
        return _user_message(f"{self._lines(goal, history)}why {command}\n", screenshot)

    def parse_thought(self, text: str) -> str:
        """The first line of a response, without white space around it."""
        lines = text.strip().splitlines()
        return " ".join(lines[0].split()) if lines else ""

    def _lines(self, goal: str, history: Sequence[Turn]) -> str:
        limit = self.options.history_limit
        past = history[-limit:] if limit else ()
        lines = [goal, *(turn.response for turn in past)]
        return "".join(" ".join(line.split()) + "\n" for line in lines)


def compact_vocabulary(*, max_coordinate: int = 999, snap_px: int = 1) -> list[str]:
    """Strings that a tiny tokenizer should hold as single tokens, without duplicates.

    Command words with and without a space in front (the thought may be missing), the words of closed
    arguments and every coordinate that `render` can write, each with a space in front.

    Args:
        max_coordinate: the largest coordinate, in the units of the format's space.
        snap_px: as in `CompactOptions`.
    """
    if snap_px == 1:
        numbers = list(range(max_coordinate + 1))
    else:
        centres = range(snap_px // 2, max_coordinate + 1, snap_px)
        numbers = sorted({*centres, max_coordinate})
    closed = [*Direction, *Button, *FinishStatus]
    words = [*KEYWORDS, *(f" {keyword}" for keyword in KEYWORDS), *(f" {word.value}" for word in closed)]
    return [*words, *(f" {number}" for number in numbers)]


def _user_message(text: str, screenshot: Screenshot) -> Prompt:
    parts = (ImagePart(screenshot=screenshot), TextPart(text=text))
    return (Message(role=Role.USER, parts=parts),)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes points in the model's units."""

    space: CoordinateSpace
    geometry: ScreenGeometry
    snap_px: int

    def point(self, x: int, y: int) -> str:
        written_x, written_y = write_point(x, y, self.space, self.geometry)
        if self.space is CoordinateSpace.RESIZED_PIXELS:
            width, height = self.geometry.resized_width_px, self.geometry.resized_height_px
        else:
            width = height = 1000
        return f"{self._snapped(written_x, width)} {self._snapped(written_y, height)}"

    def _snapped(self, value: float, span: int) -> int:
        if self.snap_px == 1:
            return int(value)
        centre = math.floor(value / self.snap_px) * self.snap_px + self.snap_px // 2
        return min(centre, span - 1)


def _command(action: Action, writer: _Writer) -> str:
    match action:
        case Click(x=x, y=y):
            return f"click {writer.point(x, y)}"
        case DoubleClick(x=x, y=y):
            return f"double_click {writer.point(x, y)}"
        case LongPress(x=x, y=y, duration_s=duration):
            return f"long_press {writer.point(x, y)}{_seconds(duration)}"
        case Drag(x=x, y=y, to_x=to_x, to_y=to_y):
            return f"drag {writer.point(x, y)} {writer.point(to_x, to_y)}"
        case Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
            return f"swipe {writer.point(x, y)} {writer.point(to_x, to_y)}"
        case Scroll(direction=direction, x=int(x), y=int(y)):
            return f"scroll {direction.value} {writer.point(x, y)}"
        case Scroll(direction=direction):
            return f"scroll {direction.value}"
        case TypeText(text=text):
            return f"type {_text(text)}"
        case PressKey(key=key):
            return f"key {_text(key)}"
        case OpenApp(name=name):
            return f"open {_text(name)}"
        case Answer(text=text):
            return f"answer {_text(text)}"
        case SystemButton(button=button):
            return f"button {button.value}"
        case Wait(duration_s=duration):
            return f"wait{_seconds(duration)}"
        case Finish(status=status):
            return f"finish {status.value}"
        case _:
            assert_never(action)


def _seconds(duration_s: float) -> str:
    if duration_s == 1.0:
        return ""
    return " " + f"{min(duration_s, _LONGEST_S):.6f}".rstrip("0").rstrip(".")


def _text(text: str) -> str:
    return text if _is_bare(text) else json.dumps(text, ensure_ascii=not text.isprintable())


def _is_bare(text: str) -> bool:
    words = text.split(" ")
    return (
        bool(text)
        and text.isprintable()
        and '"' not in text
        and all(word and word not in KEYWORDS for word in words)
    )


def _keyword_starts(line: str) -> list[int]:
    """Where a word of the line is a command word, in order."""
    starts, position = [], 0
    for word in line.split(" "):
        if word in KEYWORDS:
            starts.append(position)
        position += len(word) + 1
    return starts


def _read_command(keyword: str, rest: str, space: CoordinateSpace, geometry: ScreenGeometry) -> Action | None:
    """The action of a command; None if `rest` is not exactly its arguments."""
    match keyword:
        case "type" | "key" | "open" | "answer":
            text = _read_text(rest)
            return None if text is None else _with_text(keyword, text)
        case "button":
            return SystemButton(button=Button(rest)) if rest in list(Button) else None
        case "finish":
            return Finish(status=FinishStatus(rest)) if rest in list(FinishStatus) else None
        case "wait":
            duration = _read_seconds(rest)
            return None if duration is None else Wait(duration_s=duration)
    words = rest.split()
    if keyword == "scroll":
        return _read_scroll(words, space, geometry)
    count = 4 if keyword in ("swipe", "drag") else 2
    numbers = _read_points(words[:count], space, geometry)
    extra = words[count:]
    if numbers is None or len(numbers) != count or (extra and keyword != "long_press"):
        return None
    match keyword, numbers:
        case "click", [x, y]:
            return Click(x=x, y=y)
        case "double_click", [x, y]:
            return DoubleClick(x=x, y=y)
        case "long_press", [x, y]:
            duration = _read_seconds(" ".join(extra))
            return None if duration is None else LongPress(x=x, y=y, duration_s=duration)
        case "swipe", [x, y, to_x, to_y]:
            return Swipe(x=x, y=y, to_x=to_x, to_y=to_y)
        case "drag", [x, y, to_x, to_y]:
            return Drag(x=x, y=y, to_x=to_x, to_y=to_y)
    return None


def _with_text(keyword: str, text: str) -> Action | None:
    match keyword:
        case "type":
            return TypeText(text=text)
        case "key":
            return PressKey(key=text)
        case "open":
            return OpenApp(name=text)
        case _:
            return Answer(text=text)


def _read_text(rest: str) -> str | None:
    if rest.startswith('"'):
        try:
            value = json.loads(rest)
        except ValueError:
            return None
        return value if isinstance(value, str) else None
    return rest if _is_bare(rest) else None


def _read_seconds(rest: str) -> float | None:
    if not rest:
        return 1.0
    if not _SECONDS.fullmatch(rest):
        return None
    duration = float(rest)
    return duration if duration <= _LONGEST_S else None


def _read_scroll(words: list[str], space: CoordinateSpace, geometry: ScreenGeometry) -> Scroll | None:
    if not words or words[0] not in list(Direction):
        return None
    direction = Direction(words[0])
    if len(words) == 1:
        return Scroll(direction=direction)
    numbers = _read_points(words[1:], space, geometry)
    if numbers is None or len(numbers) != 2:
        return None
    return Scroll(direction=direction, x=numbers[0], y=numbers[1])


def _read_points(words: list[str], space: CoordinateSpace, geometry: ScreenGeometry) -> list[int] | None:
    """Screen pixels, x and y in turn; None unless all words are whole numbers, in pairs."""
    if len(words) % 2 or not all(_WHOLE.fullmatch(word) for word in words):
        return None
    values = [int(word) for word in words]
    pixels: list[int] = []
    for index in range(0, len(values), 2):
        pixels += read_point((values[index], values[index + 1]), space, geometry)
    return pixels
