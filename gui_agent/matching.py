"""One function that says whether two actions are the same deed: for replay, reward and evaluation.

A matcher is a named set of rules. Training and evaluation take the same object, and every report
carries its name.

Points are compared in the *normalised square*: x divided by the width of the screenshot and y by its
height, so that a radius means the same share of the screen on both axes.

A `Scroll` names the side on which the wanted content lies, a `Swipe` the way of the finger. They move
the content alike when their directions are opposite (scroll down = finger up), and count as the same
deed then, unless a matcher's `scroll_as_swipe` is off.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gui_agent.actions import (
    Action,
    Answer,
    Click,
    Direction,
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
    finger_direction,
)
from gui_agent.errors import ConfigError

if TYPE_CHECKING:  # `device` names MatchResult, so this import may not happen at run time
    from gui_agent.device import ExpertAction
    from gui_agent.observation import Box

_ROUNDING: Final = 1e-9
_OPPOSITE: Final = {
    Direction.UP: Direction.DOWN,
    Direction.DOWN: Direction.UP,
    Direction.LEFT: Direction.RIGHT,
    Direction.RIGHT: Direction.LEFT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchResult:
    """How a predicted action compares with the expert's.

    Attributes:
        type_match: the same kind of deed.
        exact_match: the same deed; implies `type_match`.
        reason: for people: which rule decided.
    """

    type_match: bool
    exact_match: bool
    reason: str = ""

    def __post_init__(self) -> None:
        assert self.type_match or not self.exact_match


class BoxRule(StrEnum):
    """Which of the expert's boxes a point may hit instead of being near the expert's point."""

    ALL = "all"
    SMALLEST = "smallest"
    """Only the first box, which is the smallest."""
    NONE = "none"


class TextRule(StrEnum):
    """When two texts are the same, both stripped and in lower case."""

    EQUAL = "equal"
    CONTAINS = "contains"
    """One contains the other."""
    F1 = "f1"
    """The F1 score of their characters, counted as multisets, exceeds `text_f1`."""


class SwipeRule(StrEnum):
    """What of a swipe has to agree."""

    DIRECTION = "direction"
    TYPE = "type"
    """That it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatcherRules:
    """The rules of a matcher; the defaults are the recommended ones.

    Attributes:
        radius: largest distance between points, in the normalised square.
        boxes: which boxes of the expert count.
        box_scale: boxes are enlarged about their centre by this factor; their edges count as inside.
        text: rule for typed text, answers and names of apps.
        text_f1: what `TextRule.F1` has to exceed.
        key_text: rule for names of keys.
        allow_empty_text: an empty prediction counts as contained in every text.
        swipe: what of a swipe or scroll has to agree.
        scroll_as_swipe: a scroll and a swipe that move the content alike are the same deed.
        normalised_direction: take a swipe's main direction in the normalised square, not in pixels.
        flip_vertical: compare with the reverse of the expert's direction if it is vertical; only to
            reproduce a release whose data were stored the wrong way round.
        compare_status: success and failure are different ways to finish.
        open_by_icon: a click on one of the expert's boxes opens an app as well.
        type_for_answer_and_key: an answer or a key is matched by typing its text and by nothing else.
        unsupported: names of expert actions that nothing matches.
    """

    radius: float = 0.04
    boxes: BoxRule = BoxRule.ALL
    box_scale: float = 1.2
    text: TextRule = TextRule.CONTAINS
    text_f1: float = 0.5
    key_text: TextRule = TextRule.EQUAL
    allow_empty_text: bool = False
    swipe: SwipeRule = SwipeRule.DIRECTION
    scroll_as_swipe: bool = True
    normalised_direction: bool = False
    flip_vertical: bool = False
    compare_status: bool = True
    open_by_icon: bool = False
    type_for_answer_and_key: bool = False
    unsupported: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.radius >= 0:
            raise ConfigError(f"matcher radius is {self.radius}; it must be 0 or more")
        if not self.box_scale > 0:
            raise ConfigError(f"matcher box_scale is {self.box_scale}; it must be positive")
        if not 0 <= self.text_f1 <= 1:
            raise ConfigError(f"matcher text_f1 is {self.text_f1}; it must lie in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionMatcher:
    """Compares a predicted action with an expert's by named rules.

    Example: with the default rules a click at (110, 200) matches an expert's click at (100, 200) on a
    screen of 1000 x 2000 pixels, because the points are 0.01 apart.
    """

    name: str
    version: int
    rules: MatcherRules

    @property
    def identifier(self) -> str:
        """Name and version, as reports print them."""
        return f"{self.name}@{self.version}"

    def match(
        self, predicted: Action | ParseError, expected: ExpertAction, width_px: int, height_px: int
    ) -> MatchResult:
        """Compare; a prediction that did not parse matches nothing.

        Args:
            predicted: in pixels of the screenshot.
            expected: the expert's action and boxes, in pixels of the same screenshot.
            width_px: width of the screenshot, positive.
            height_px: height of the screenshot, positive.

        Raises:
            ValueError: the screen has no area.

        Source: UI-S1, arXiv:2509.11543, section 3 and its release (reference vectors
            `uis1_step_reward` and `sop_matcher`).
        """
        if width_px < 1 or height_px < 1:
            raise ValueError(f"a screen of {width_px}x{height_px} pixels has no area to compare points on")
        if isinstance(predicted, ParseError):
            return _different(f"no action: {predicted.reason}")
        if action_name(expected.action) in self.rules.unsupported:
            return _different(f"no rule for {action_name(expected.action)}")
        return _Comparison(self.rules, width_px, height_px).compare(predicted, expected)


def _different(reason: str) -> MatchResult:
    return MatchResult(type_match=False, exact_match=False, reason=reason)


def _verdict(exact: bool, rule: str) -> MatchResult:
    return MatchResult(type_match=True, exact_match=exact, reason=rule if exact else f"not {rule}")


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One comparison on a screen of known size."""

    rules: MatcherRules
    width_px: int
    height_px: int

    def compare(self, predicted: Action, expected: ExpertAction) -> MatchResult:
        match predicted, expected.action:
            case (
                (Click(x=x, y=y), Click() as expert)
                | (DoubleClick(x=x, y=y), DoubleClick() as expert)
                | (LongPress(x=x, y=y), LongPress() as expert)
            ):
                return self._point((x, y), (expert.x, expert.y), expected.boxes)
            case Drag() as drag, Drag() as expert_drag:
                return self._drag(drag, expert_drag, expected.boxes)
            case (Swipe() | Scroll()) as moved, (Swipe() | Scroll()) as expert_move:
                return self._move(moved, expert_move)
            case TypeText(text=text), (Answer(text=wanted) | PressKey(key=wanted)) if (
                self.rules.type_for_answer_and_key
            ):
                return self._text(text, wanted, self.rules.text)
            case (Answer(), Answer()) | (PressKey(), PressKey()) if self.rules.type_for_answer_and_key:
                return _different("only typing counts here")
            case (TypeText(text=text), TypeText(text=wanted)) | (Answer(text=text), Answer(text=wanted)):
                return self._text(text, wanted, self.rules.text)
            case PressKey(key=key), PressKey(key=wanted):
                return self._text(key, wanted, self.rules.key_text)
            case OpenApp(name=name), OpenApp(name=wanted):
                return self._text(name, wanted, self.rules.text)
            case Click(x=x, y=y), OpenApp() if self.rules.open_by_icon and self._boxes(expected.boxes):
                return self._point((x, y), _centre(expected.boxes[0]), expected.boxes)
            case SystemButton(button=button), SystemButton(button=wanted_button):
                return _verdict(button is wanted_button, "the same button")
            case Finish(status=status), Finish(status=wanted_status):
                same = status is wanted_status or not self.rules.compare_status
                return _verdict(same, "the same status" if self.rules.compare_status else "finished")
            case Wait(), Wait():
                return _verdict(True, "waited")
            case _:
                return _different(f"{action_name(predicted)}, expected {action_name(expected.action)}")

    def _boxes(self, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        match self.rules.boxes:
            case BoxRule.ALL:
                return boxes
            case BoxRule.SMALLEST:
                return boxes[:1]
            case BoxRule.NONE:
                return ()

    def _hits(
        self, point: tuple[int, int], expert: tuple[float, float], boxes: tuple[Box, ...]
    ) -> str | None:
        """The rule by which the point is right, None if it is not."""
        if any(inside_enlarged(point, box, self.rules.box_scale) for box in self._boxes(boxes)):
            return "inside a box of the expert"
        distance = math.hypot((point[0] - expert[0]) / self.width_px, (point[1] - expert[1]) / self.height_px)
        return "near the expert's point" if distance <= self.rules.radius + _ROUNDING else None

    def _point(
        self, point: tuple[int, int], expert: tuple[float, float], boxes: tuple[Box, ...]
    ) -> MatchResult:
        rule = self._hits(point, expert, boxes)
        return _verdict(rule is not None, rule or "on the expert's target")

    def _drag(self, drag: Drag, expert: Drag, boxes: tuple[Box, ...]) -> MatchResult:
        starts = self._hits((drag.x, drag.y), (expert.x, expert.y), boxes)
        ends = self._hits((drag.to_x, drag.to_y), (expert.to_x, expert.to_y), ())
        return _verdict(bool(starts and ends), "the same start and end")

    def _move(self, moved: Swipe | Scroll, expert: Swipe | Scroll) -> MatchResult:
        if type(moved) is not type(expert) and not self.rules.scroll_as_swipe:
            return _different(f"{action_name(moved)}, expected {action_name(expert)}")
        if self.rules.swipe is SwipeRule.TYPE:
            return _verdict(True, "a swipe, in whatever direction")
        wanted = self._finger(expert)
        if self.rules.flip_vertical and wanted in (Direction.UP, Direction.DOWN):
            wanted = _OPPOSITE[wanted]
        return _verdict(self._finger(moved) is wanted, f"finger {wanted.value}")

    def _finger(self, move: Swipe | Scroll) -> Direction:
        if isinstance(move, Scroll):
            return _OPPOSITE[move.direction]
        if not self.rules.normalised_direction:
            return move.finger_direction
        width, height = self.width_px, self.height_px
        return finger_direction((move.x / width, move.y / height), (move.to_x / width, move.to_y / height))

    def _text(self, text: str, wanted: str, rule: TextRule) -> MatchResult:
        text, wanted = text.lower().strip(), wanted.lower().strip()
        if not text and not self.rules.allow_empty_text:
            return _verdict(False, "a text: it is empty")
        if not wanted and text and not self.rules.allow_empty_text:
            return _verdict(False, "the expert's text, which is empty")
        match rule:
            case TextRule.EQUAL:
                return _verdict(text == wanted, "equal text")
            case TextRule.CONTAINS:
                return _verdict(text in wanted or wanted in text, "one text within the other")
            case TextRule.F1:
                return _verdict(character_f1(text, wanted) > self.rules.text_f1, "similar text")


def enlarge(edges: tuple[float, float, float, float], scale: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a box enlarged about its centre; it may leave the screen."""
    left, top, right, bottom = edges
    grow_x, grow_y = (right - left) * (scale - 1) / 2, (bottom - top) * (scale - 1) / 2
    return left - grow_x, top - grow_y, right + grow_x, bottom + grow_y


def inside_enlarged(point: tuple[float, float], box: Box, scale: float) -> bool:
    """Whether a point lies in a box enlarged about its centre, edges included."""
    left, top, right, bottom = enlarge((box.left, box.top, box.right, box.bottom), scale)
    x, y = point
    return left - _ROUNDING <= x <= right + _ROUNDING and top - _ROUNDING <= y <= bottom + _ROUNDING


def _centre(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def character_f1(text: str, wanted: str) -> float:
    """F1 score in [0, 1] of the characters of two texts, counted as multisets."""
    common = sum((Counter(text) & Counter(wanted)).values())
    return 2 * common / (len(text) + len(wanted)) if common else 0.0


MATCHERS: Final[dict[str, ActionMatcher]] = {
    matcher.name: matcher
    for matcher in (
        # Recommended for training, replay and evaluation alike.
        ActionMatcher(name="ui_s1", version=1, rules=MatcherRules()),
        # What the training code of the UI-S1 release rewards, its oddities included. It expects swipes
        # as the release stores them: converted data, where a swipe is the finger's path, needs `ui_s1`.
        ActionMatcher(
            name="ui_s1_release",
            version=1,
            rules=MatcherRules(
                allow_empty_text=True,
                flip_vertical=True,
                normalised_direction=True,
                compare_status=False,
                type_for_answer_and_key=True,
                scroll_as_swipe=False,
            ),
        ),
        # The matching function of the release's SOP evaluation; answers, keys and endings have no rule.
        ActionMatcher(
            name="sop_release",
            version=1,
            rules=MatcherRules(
                allow_empty_text=True,
                swipe=SwipeRule.TYPE,
                open_by_icon=True,
                scroll_as_swipe=False,
                unsupported=frozenset({"answer", "key", "finish"}),
            ),
        ),
        # Comparable with published SOP figures: the release's driver loses all boxes on the way.
        ActionMatcher(
            name="distance_only",
            version=1,
            rules=MatcherRules(boxes=BoxRule.NONE, swipe=SwipeRule.TYPE),
        ),
        # SOP with the tightest box and with directions, as the method is described.
        ActionMatcher(name="boxes", version=1, rules=MatcherRules(boxes=BoxRule.SMALLEST, open_by_icon=True)),
    )
}


def get_matcher(name: str) -> ActionMatcher:
    """The matcher of that name; "default" stands for the recommended one.

    Raises:
        ConfigError: there is none; the message suggests the closest name.
    """
    name = "ui_s1" if name == "default" else name
    if name in MATCHERS:
        return MATCHERS[name]
    close = difflib.get_close_matches(name, MATCHERS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"unknown matcher {name!r}; {hint}known are {', '.join(MATCHERS)}")
