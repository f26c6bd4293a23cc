"""What counts as the same deed."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.device import ExpertAction
from gui_agent.errors import ConfigError
from gui_agent.matching import MATCHERS, ActionMatcher, BoxRule, MatcherRules, TextRule, get_matcher
from gui_agent.observation import Box

WIDTH, HEIGHT = 1000, 2000
UP = Swipe(x=500, y=1500, to_x=500, to_y=500)
DOWN = Swipe(x=500, y=500, to_x=500, to_y=1500)
RIGHT = Swipe(x=100, y=900, to_x=900, to_y=1000)


def verdict(predicted: Action | ParseError, expert: Action | ExpertAction, matcher: str = "ui_s1") -> str:
    return judge(predicted, expert, MATCHERS[matcher])


def judge(predicted: Action | ParseError, expert: Action | ExpertAction, matcher: ActionMatcher) -> str:
    expected = expert if isinstance(expert, ExpertAction) else ExpertAction(action=expert)
    result = matcher.match(predicted, expected, WIDTH, HEIGHT)
    return "exact" if result.exact_match else "type" if result.type_match else "different"


def with_rules(**rules: object) -> ActionMatcher:
    return ActionMatcher(name="test", version=1, rules=replace(MatcherRules(), **rules))  # type: ignore[arg-type]


def test_radius_is_a_share_of_each_axis() -> None:
    expert = Click(x=500, y=1000)
    assert verdict(Click(x=540, y=1000), expert) == "exact"
    assert verdict(Click(x=541, y=1000), expert) == "type"
    assert verdict(Click(x=500, y=1080), expert) == "exact"
    assert verdict(Click(x=500, y=1081), expert) == "type"


def test_a_box_counts_enlarged_with_its_edges() -> None:
    expert = ExpertAction(action=Click(x=50, y=50), boxes=(Box(left=400, top=1000, right=500, bottom=1100),))
    assert verdict(Click(x=390, y=1110), expert) == "exact"
    assert verdict(Click(x=389, y=1050), expert) == "type"
    assert verdict(Click(x=450, y=1111), expert) == "type"
    assert verdict(Click(x=50, y=50), expert) == "exact", "the point counts beside the boxes"
    assert verdict(Click(x=450, y=1050), expert, "distance_only") == "type"


def test_the_smallest_box_can_be_the_only_one() -> None:
    small, large = Box(left=0, top=0, right=10, bottom=10), Box(left=0, top=0, right=1000, bottom=2000)
    expert = ExpertAction(action=Click(x=5, y=5), boxes=(small, large))
    assert verdict(Click(x=900, y=1900), expert, "ui_s1") == "exact"
    assert verdict(Click(x=900, y=1900), expert, "boxes") == "type"
    assert judge(Click(x=900, y=1900), expert, with_rules(boxes=BoxRule.NONE)) == "type"


@pytest.mark.parametrize(
    ("predicted", "expert", "expected"),
    [
        (LongPress(x=10, y=10, duration_s=5), LongPress(x=10, y=10), "exact"),
        (LongPress(x=10, y=10), Click(x=10, y=10), "different"),
        (DoubleClick(x=10, y=10), Click(x=10, y=10), "different"),
        (DoubleClick(x=10, y=10), DoubleClick(x=10, y=10), "exact"),
        (Drag(x=10, y=10, to_x=900, to_y=900), Drag(x=12, y=12, to_x=901, to_y=901), "exact"),
        (Drag(x=10, y=10, to_x=900, to_y=900), Drag(x=12, y=12, to_x=501, to_y=901), "type"),
        (SystemButton(button=Button.BACK), SystemButton(button=Button.BACK), "exact"),
        (SystemButton(button=Button.BACK), SystemButton(button=Button.HOME), "type"),
        (Wait(duration_s=9), Wait(), "exact"),
        (Finish(), Finish(), "exact"),
        (Finish(status=FinishStatus.FAILURE), Finish(), "type"),
        (Answer(text="42"), Answer(text=" 42 "), "exact"),
        (TypeText(text="42"), Answer(text="42"), "different"),
        (PressKey(key="ENTER"), PressKey(key="enter"), "exact"),
        (PressKey(key="e"), PressKey(key="enter"), "type"),
        (OpenApp(name="zoho"), OpenApp(name="Zoho Meeting"), "exact"),
        (TypeText(text=" WELSH "), TypeText(text="Welsh cakes"), "exact"),
        (TypeText(text="pizza"), TypeText(text="Welsh cakes"), "type"),
        (TypeText(text=""), TypeText(text="Welsh cakes"), "type"),
        (TypeText(text="  "), TypeText(text="Welsh cakes"), "type"),
        (TypeText(text="x"), TypeText(text=""), "type"),
        (OpenApp(name=""), OpenApp(name="Zoho"), "type"),
        (Click(x=1, y=1), OpenApp(name="Zoho"), "different"),
        (UP, UP, "exact"),
        (UP, DOWN, "type"),
        (UP, RIGHT, "type"),
        (Scroll(direction=Direction.DOWN), Scroll(direction=Direction.DOWN, x=5, y=5), "exact"),
        (Scroll(direction=Direction.DOWN), UP, "exact"),
        (UP, Scroll(direction=Direction.DOWN), "exact"),
        (Scroll(direction=Direction.UP), UP, "type"),
        (Scroll(direction=Direction.LEFT), RIGHT, "exact"),
    ],
)
def test_recommended_rules(predicted: Action, expert: Action, expected: str) -> None:
    assert verdict(predicted, expert) == expected


@pytest.mark.parametrize("name", MATCHERS)
def test_what_did_not_parse_matches_nothing(name: str) -> None:
    error = ParseError(reason="no braces", text="click")
    result = MATCHERS[name].match(error, ExpertAction(action=Wait()), WIDTH, HEIGHT)
    assert not result.type_match
    assert "no braces" in result.reason


def test_the_release_turns_vertical_directions_round_and_only_those() -> None:
    assert verdict(UP, UP, "ui_s1_release") == "type"
    assert verdict(UP, DOWN, "ui_s1_release") == "exact"
    assert verdict(RIGHT, RIGHT, "ui_s1_release") == "exact"


def test_the_release_accepts_typing_for_answers_and_keys() -> None:
    assert verdict(TypeText(text="42"), Answer(text="42"), "ui_s1_release") == "exact"
    assert verdict(Answer(text="42"), Answer(text="42"), "ui_s1_release") == "different"
    assert verdict(TypeText(text=""), TypeText(text="x"), "ui_s1_release") == "exact"
    assert verdict(Finish(status=FinishStatus.FAILURE), Finish(), "ui_s1_release") == "exact"


def test_the_released_evaluation_opens_apps_by_icon_and_ignores_directions() -> None:
    icon = ExpertAction(action=OpenApp(name="pCloud"), boxes=(Box(left=600, top=300, right=700, bottom=400),))
    assert verdict(Click(x=650, y=350), icon, "sop_release") == "exact"
    assert verdict(Click(x=50, y=1350), icon, "sop_release") == "type"
    assert verdict(Click(x=650, y=350), OpenApp(name="pCloud"), "sop_release") == "different"
    assert verdict(UP, DOWN, "sop_release") == "exact"
    assert verdict(Finish(), Finish(), "sop_release") == "different"
    assert verdict(UP, DOWN, "boxes") == "type"


def test_main_direction_depends_on_the_square_it_is_measured_in() -> None:
    slanted = Swipe(x=100, y=100, to_x=400, to_y=500)  # 300 x 400 pixels, 0.3 x 0.2 of the screen
    assert judge(slanted, DOWN, with_rules()) == "exact"
    assert judge(slanted, RIGHT, with_rules(normalised_direction=True)) == "exact"


def test_text_rules() -> None:
    assert (
        judge(TypeText(text="cakes"), TypeText(text="Welsh cakes"), with_rules(text=TextRule.EQUAL)) == "type"
    )
    assert judge(TypeText(text="CAKES"), TypeText(text="cakes"), with_rules(text=TextRule.EQUAL)) == "exact"
    similar = with_rules(text=TextRule.F1, text_f1=0.5)
    assert judge(TypeText(text="welsh cake"), TypeText(text="Welsh cakes"), similar) == "exact"
    assert judge(TypeText(text="w"), TypeText(text="Welsh cakes"), similar) == "type"


def test_a_scroll_can_be_kept_apart_from_a_swipe() -> None:
    assert judge(Scroll(direction=Direction.DOWN), UP, with_rules(scroll_as_swipe=False)) == "different"


def test_bad_settings_and_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="radius"):
        MatcherRules(radius=float("nan"))
    with pytest.raises(ConfigError, match="box_scale"):
        MatcherRules(box_scale=0)
    with pytest.raises(ConfigError, match="did you mean 'ui_s1'"):
        get_matcher("ui_s2")
    assert get_matcher("default") is MATCHERS["ui_s1"]
    with pytest.raises(ValueError, match="no area"):
        MATCHERS["ui_s1"].match(Wait(), ExpertAction(action=Wait()), 0, 10)
