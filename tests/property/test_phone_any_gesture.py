"""Whatever is done to the phone, it stays a phone: on any display, with pop-ups."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.phone.accessibility import accessibility_dump
from devices.phone.apps.registry import APP_DATA_TYPES
from devices.phone.display import PHONE_DISPLAY, QUICKSTART_DISPLAY, PhoneDisplay
from devices.phone.drawing import draw
from devices.phone.state import LAUNCHER, state_from_json, state_key, state_to_json
from devices.phone.suites import phone_suite
from devices.phone.transition import layout_of, perform
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    LongPress,
    OpenApp,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)

DISPLAYS = (QUICKSTART_DISPLAY, PHONE_DISPLAY, PhoneDisplay(width_px=300, height_px=600, buttons=True))
SHARE = st.floats(min_value=0, max_value=0.999)
TAPS = st.tuples(SHARE, SHARE)


@st.composite
def gesture(draw_one: st.DrawFn, display: PhoneDisplay) -> Action:
    x, y = (
        int(share * size)
        for share, size in zip(draw_one(TAPS), (display.width_px, display.height_px), strict=True)
    )
    others: list[Action] = [
        LongPress(x=x, y=y),
        Swipe(x=x, y=y, to_x=x, to_y=display.height_px // 3),
        Scroll(direction=Direction.DOWN),
        SystemButton(button=Button.BACK),
        TypeText(text="ab 1"),
        OpenApp(name="contacts"),
        Answer(text="7"),
        Wait(),
    ]
    return draw_one(st.one_of(st.just(Click(x=x, y=y)), st.sampled_from(others)))


@pytest.mark.parametrize("display", DISPLAYS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_gestures_leave_a_phone_that_can_be_drawn_stored_and_dumped(
    display: PhoneDisplay, data: st.DataObject
) -> None:
    suite = phone_suite(data.draw(st.sampled_from(("quickstart", "phone"))))
    template = data.draw(st.sampled_from(sorted(suite.templates)))
    state = replace(suite.task(template, data.draw(st.integers(0, 50))).plan.start, popup_rate=0.1)
    for action in data.draw(st.lists(gesture(display), max_size=12)):
        change = perform(state, action, display)
        assert perform(state, action, display) == change  # no hidden dice
        if change.error is not None:
            assert change.state == state
        state = change.state
    shown = layout_of(state, display)
    assert state.stack[0].app == LAUNCHER
    assert state.page.scroll_dp >= 0
    restored = state_from_json(state_to_json(state), APP_DATA_TYPES)
    assert restored == state
    assert state_key(restored) == state_key(state)
    assert (
        draw(shown, state, display).tobytes()
        == draw(layout_of(restored, display), restored, display).tobytes()
    )
    assert accessibility_dump(shown, package=state.foreground_app).startswith("<?xml")
    for element in shown.elements():
        assert 0 <= element.box.left < element.box.right <= display.width_px
        assert 0 <= element.box.top < element.box.bottom <= display.height_px
