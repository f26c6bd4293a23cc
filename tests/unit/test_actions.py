"""Actions round-trip through their stored form, and damage is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_from_dict,
    action_points,
    action_to_dict,
    finger_direction,
)
from gui_agent.errors import DataError

pixels = st.integers(-50, 5000)
seconds = st.floats(0, 60, allow_nan=False)
words = st.text(max_size=30)
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(Click, x=pixels, y=pixels),
    st.builds(DoubleClick, x=pixels, y=pixels),
    st.builds(LongPress, x=pixels, y=pixels, duration_s=seconds),
    st.builds(Drag, x=pixels, y=pixels, to_x=pixels, to_y=pixels),
    st.builds(Swipe, x=pixels, y=pixels, to_x=pixels, to_y=pixels),
    st.builds(Scroll, direction=st.sampled_from(Direction), x=pixels, y=pixels),
    st.builds(Scroll, direction=st.sampled_from(Direction)),
    st.builds(TypeText, text=words),
    st.builds(PressKey, key=words),
    st.builds(SystemButton, button=st.sampled_from(Button)),
    st.builds(OpenApp, name=words),
    st.builds(Wait, duration_s=seconds),
    st.builds(Answer, text=words),
    st.builds(Finish, status=st.sampled_from(FinishStatus)),
)


@given(actions)
def test_stored_form_restores_the_action(action: Action) -> None:
    assert action_from_dict(action_to_dict(action)) == action


def test_every_type_of_action_has_a_name() -> None:
    assert len(ACTION_TYPES) == 13
    assert len({action_to_dict(Wait())["type"], action_to_dict(Finish())["type"]}) == 2


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"type": "fly"}, "unknown action type 'fly'"),
        ({}, "unknown action type None"),
        ({"type": "click", "x": 1}, "'y'"),
        ({"type": "click", "x": 1, "y": 2, "z": 3}, "no argument 'z'"),
        ({"type": "click", "x": 1.5, "y": 2}, "whole number"),
        ({"type": "click", "x": True, "y": 2}, "whole number"),
        ({"type": "system_button", "button": "fire"}, "fire"),
        ({"type": "type", "text": 3}, "must be text"),
        ({"type": "scroll", "direction": "down", "x": 3}, "both x and y"),
    ],
)
def test_damaged_actions_are_refused_by_name(data: dict[str, object], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        action_from_dict(data)


@given(actions)
def test_points_are_the_coordinates_of_the_action(action: Action) -> None:
    numbers = [value for key, value in action_to_dict(action).items() if key in {"x", "y", "to_x", "to_y"}]
    assert [coordinate for point in action_points(action) for coordinate in point] == numbers


def test_a_diagonal_finger_counts_as_vertical() -> None:
    assert finger_direction((0, 0), (5, 5)) is Direction.DOWN
    assert finger_direction((0, 0), (-6, 5)) is Direction.LEFT
    assert finger_direction((3, 3), (3, 3)) is Direction.UP
