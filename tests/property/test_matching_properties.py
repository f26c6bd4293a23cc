"""What holds for every matcher whatever the actions are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
)
from gui_agent.device import ExpertAction
from gui_agent.matching import MATCHERS, ActionMatcher, MatcherRules
from gui_agent.observation import Box

WIDTH, HEIGHT = 300, 500
xs, ys = st.integers(-10, WIDTH + 10), st.integers(-10, HEIGHT + 10)
text = st.text(max_size=8)
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(Click, x=xs, y=ys),
    st.builds(DoubleClick, x=xs, y=ys),
    st.builds(LongPress, x=xs, y=ys),
    st.builds(Drag, x=xs, y=ys, to_x=xs, to_y=ys),
    st.builds(Swipe, x=xs, y=ys, to_x=xs, to_y=ys),
    st.builds(Scroll, direction=st.sampled_from(Direction), x=st.none(), y=st.none()),
    st.builds(TypeText, text=text),
    st.builds(PressKey, key=text),
    st.builds(SystemButton, button=st.sampled_from(Button)),
    st.builds(OpenApp, name=text),
    st.builds(Wait),
    st.builds(Answer, text=text),
    st.builds(Finish, status=st.sampled_from(FinishStatus)),
)
boxes = st.lists(st.builds(Box, left=xs, top=ys, right=xs, bottom=ys), max_size=3).map(tuple)
experts = st.builds(ExpertAction, action=actions, boxes=boxes)


def says_something(action: Action) -> bool:
    words = next((getattr(action, name) for name in ("text", "key", "name") if hasattr(action, name)), "x")
    return bool(words.strip())


@pytest.mark.parametrize("name", ["ui_s1", "distance_only", "boxes"])
@settings(max_examples=100, deadline=None)
@given(expert=experts)
def test_the_expert_matches_itself(name: str, expert: ExpertAction) -> None:
    result = MATCHERS[name].match(expert.action, expert, WIDTH, HEIGHT)
    assert result.exact_match == says_something(expert.action)
    assert result.reason


@pytest.mark.parametrize("name", MATCHERS)
@settings(max_examples=100, deadline=None)
@given(predicted=actions, expert=experts)
def test_every_pair_gets_an_answer(name: str, predicted: Action, expert: ExpertAction) -> None:
    result = MATCHERS[name].match(predicted, expert, WIDTH, HEIGHT)
    assert result.type_match or not result.exact_match


@settings(max_examples=100, deadline=None)
@given(predicted=actions, expert=experts, radius=st.floats(0, 2), more=st.floats(0, 2), scale=st.floats(1, 3))
def test_laxer_rules_never_lose_a_match(
    predicted: Action, expert: ExpertAction, radius: float, more: float, scale: float
) -> None:
    strict = MatcherRules(radius=radius, box_scale=1.0)
    lax = replace(strict, radius=radius + more, box_scale=scale)
    first, second = (
        ActionMatcher(name="m", version=1, rules=rules).match(predicted, expert, WIDTH, HEIGHT)
        for rules in (strict, lax)
    )
    assert second.exact_match or not first.exact_match
    assert second.type_match == first.type_match


@settings(max_examples=100, deadline=None)
@given(predicted=actions, expert=actions, factor=st.integers(2, 5))
def test_points_are_compared_as_shares_of_the_screen(predicted: Action, expert: Action, factor: int) -> None:
    def scaled(action: Action) -> Action:
        names = [name for name in ("x", "y", "to_x", "to_y") if getattr(action, name, None) is not None]
        return replace(action, **{name: getattr(action, name) * factor for name in names})

    matcher = MATCHERS["ui_s1"]
    small = matcher.match(predicted, ExpertAction(action=expert), WIDTH, HEIGHT)
    large = matcher.match(
        scaled(predicted), ExpertAction(action=scaled(expert)), WIDTH * factor, HEIGHT * factor
    )
    assert (small.type_match, small.exact_match) == (large.type_match, large.exact_match)
