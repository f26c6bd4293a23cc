"""What a template writes, a literal reader does; what names nothing on the screen, it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.phone.labelled import labelled_screens
from devices.phone.suites import phone_suite
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
from gui_agent.instructions import instruction_for
from gui_agent.literal import named_widget, read_instruction
from gui_agent.matching import get_matcher
from gui_agent.observation import Box, UiElement

MATCHER = get_matcher("ui_s1")
TEXT = st.text(min_size=1, max_size=20)
ACTIONS = st.one_of(
    st.builds(TypeText, text=TEXT),
    st.builds(Answer, text=TEXT),
    st.builds(OpenApp, name=TEXT),
    st.builds(PressKey, key=TEXT.filter(lambda key: key not in list(Button))),
    st.builds(SystemButton, button=st.sampled_from(Button)),
    st.builds(Scroll, direction=st.sampled_from(Direction)),
    st.builds(Finish, status=st.sampled_from(FinishStatus)),
    st.builds(Wait),
)


def widget(name: str, left: int = 0, *, clickable: bool = True, size: int = 10) -> UiElement:
    box = Box(left=left, top=0, right=left + size, bottom=size)
    return UiElement(name=name, role="button", box=box, clickable=clickable)


def read(words: str, *elements: UiElement) -> Action | None:
    return read_instruction(words, elements, width_px=100, height_px=200).action


@given(ACTIONS)
def test_templates_of_actions_without_a_point_are_read_back(action: Action) -> None:
    assert read(instruction_for(action)) == action


@pytest.mark.parametrize("direction", list(Direction))
def test_a_swipe_keeps_its_direction(direction: Direction) -> None:
    found = read(f"swipe {direction.value}")
    assert isinstance(found, Swipe)
    assert found.finger_direction is direction
    assert min(found.x, found.to_x, found.y, found.to_y) >= 0
    assert max(found.x, found.to_x) < 100
    assert max(found.y, found.to_y) < 200


@pytest.mark.parametrize("suite", ["quickstart", "long", "phone"])
@pytest.mark.parametrize("kind", [Click, DoubleClick, LongPress])
def test_templates_lead_to_the_widget_they_name(
    suite: str, kind: type[Click] | type[DoubleClick] | type[LongPress]
) -> None:
    num_read = 0
    for screen in labelled_screens(phone_suite(suite), 20, 3):
        shot = screen.screenshot
        names = [element.name for element in screen.elements if element.clickable]
        for element in screen.elements:
            if not element.clickable or names.count(element.name) > 1:
                continue
            x, y = element.box.center
            expert = ExpertAction(action=kind(x=x, y=y), boxes=(element.box,))
            words = instruction_for(expert.action, element.name)
            size = {"width_px": shot.width_px, "height_px": shot.height_px}
            found = read_instruction(words, screen.elements, **size).action
            assert found is not None, words
            assert MATCHER.match(found, expert, **size).exact_match, words
            others = [other for other in screen.elements if other.name != element.name]
            if not any(is_part_of_name(element.name, other.name) for other in others):
                assert read_instruction(words, others, **size).action is None, "it is not there"
            num_read += 1
    assert num_read > 40


def is_part_of_name(one: str, other: str) -> bool:
    return one in other or other in one


def test_words_around_a_name_and_quotation_marks_do_no_harm() -> None:
    screen = [widget("Wi-Fi"), widget("Fi", 20), widget("Settings, tab 1 of 5", 40)]
    assert named_widget('the "Wi-Fi" switch', screen) is screen[0]
    assert named_widget("settings", screen) is screen[2]
    assert read("click on the wi-fi", *screen) == Click(x=5, y=5)
    assert read("Tap Fi", *screen) == Click(x=25, y=5)


def test_of_equal_names_the_clickable_and_small_comes_first() -> None:
    label, large, small = widget("ok", clickable=False), widget("ok", 20, size=40), widget("ok", 70)
    assert named_widget("ok", [label, large, small]) is small
    assert named_widget("save all", [widget("all save"), widget("save all b"), widget("save all c")]) is None


def test_buttons_widgets_and_keys_share_a_verb() -> None:
    assert read("press back", widget("back")) == SystemButton(button=Button.BACK)
    assert read("press save", widget("save")) == Click(x=5, y=5)
    assert read("press Enter") == PressKey(key="Enter")
    assert read("go home") == SystemButton(button=Button.HOME)


def test_what_cannot_be_done_and_what_is_not_understood_are_told_apart() -> None:
    nothing = read_instruction("tap mars", [widget("ok")], width_px=10, height_px=10)
    assert nothing.understood
    assert "nothing on this screen is called 'mars'" in nothing.problem
    prose = read_instruction("make the phone quiet", [widget("ok")], width_px=10, height_px=10)
    assert not prose.understood
    assert prose.action is None
    for words in ("tap", "swipe", "scroll sideways", instruction_for(Drag(x=0, y=0, to_x=1, to_y=1), "ok")):
        reading = read_instruction(words, [widget("ok")], width_px=10, height_px=10)
        assert reading.action is None, words
        assert reading.problem
