"""How gestures change the phone: `perform(state, action, display)`, a pure function."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from devices.phone.apps.launcher import HOME_SCREEN, POPUPS
from devices.phone.apps.registry import view_of
from devices.phone.display import PhoneDisplay
from devices.phone.layout import Layout
from devices.phone.placing import back, hide_keyboard, place, place_dialog
from devices.phone.state import SYSTEM, Page, PhoneState, change_page, go_home, open_app, push, write
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    DoubleClick,
    Drag,
    Finish,
    LongPress,
    OpenApp,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_name,
    action_points,
)

ACTION_SPACE: frozenset[type] = frozenset(
    {
        Click,
        DoubleClick,
        LongPress,
        Swipe,
        Drag,
        Scroll,
        TypeText,
        SystemButton,
        OpenApp,
        Wait,
        Answer,
        Finish,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a gesture did: the new state, or why nothing could be done."""

    state: PhoneState
    error: str | None = None


def layout_of(state: PhoneState, display: PhoneDisplay) -> Layout:
    """The screen that a phone shows."""
    view = view_of(state, state.page)
    if not view.dialog:
        return place(state, display, view)
    for page in reversed(state.stack[:-1]):
        below = view_of(state, page)
        if not below.dialog:
            return place_dialog(state, display, view, below, page)
    raise AssertionError("the launcher, at the bottom of the stack, is no dialog")


def perform(state: PhoneState, action: Action, display: PhoneDisplay, shown: Layout | None = None) -> Change:
    """The phone after an action.

    Args:
        state: the phone before.
        action: in pixels of the display.
        display: the screen.
        shown: `layout_of(state, display)` if the caller has it already.

    Returns:
        The new state, or the old one and the agent's mistake: a point outside the screen, text
        without a focused field, an app that is not installed, an action a phone does not have.
    """
    for x, y in action_points(action):
        if not (0 <= x < display.width_px and 0 <= y < display.height_px):
            return Change(
                state=state,
                error=f"({x}, {y}) is outside the screen of {display.width_px}x{display.height_px} pixels",
            )
    shown = shown or layout_of(state, display)
    change = _apply(state, action, display, shown)
    if change.error is not None or isinstance(action, Finish):
        return change
    place = change.state.page.place
    visited = state.visited if place in state.visited else tuple(sorted((*state.visited, place)))
    after = replace(change.state, num_steps=state.num_steps + 1, visited=visited)
    return Change(state=_with_popup(after))


def _apply(state: PhoneState, action: Action, display: PhoneDisplay, shown: Layout) -> Change:
    match action:
        case Click(x=x, y=y) | DoubleClick(x=x, y=y) | LongPress(x=x, y=y):
            widget = shown.at(x, y)
            if widget is None or widget.tap is None:
                return Change(state=state)
            effect = widget.hold if isinstance(action, LongPress) and widget.hold else widget.tap
            return Change(state=effect(state))
        case SystemButton(button=Button.BACK):
            return Change(state=back(state))
        case SystemButton(button=Button.HOME):
            return Change(state=go_home(state))
        case SystemButton(button=Button.ENTER):
            return Change(state=hide_keyboard(state))
        case Scroll(direction=direction):
            return Change(state=_scrolled(state, direction, display, shown))
        case Swipe(y=y, to_y=to_y) | Drag(y=y, to_y=to_y):
            return Change(state=_dragged(state, round((y - to_y) / display.density), shown))
        case TypeText(text=text):
            return _typed(state, text, shown)
        case OpenApp(name=name):
            return _opened(state, name)
        case Answer(text=text):
            return Change(state=replace(state, answer=text))
        case Wait() | Finish():
            return Change(state=state)
        case _:
            names = ", ".join(sorted(kind.__name__ for kind in ACTION_SPACE))
            return Change(state=state, error=f"a phone has no {action_name(action)!r} here; it has {names}")


def scroll_distance_dp(shown: Layout, display: PhoneDisplay) -> int:
    """How far a `Scroll` moves the list: three quarters of what is seen of it, in whole rows."""
    height_dp = (shown.viewport.bottom - shown.viewport.top) / display.density
    row = display.measures.row
    return max(row, int(height_dp * 0.75) // row * row)


def _scrolled(state: PhoneState, direction: Direction, display: PhoneDisplay, shown: Layout) -> PhoneState:
    distance_dp = scroll_distance_dp(shown, display)
    match direction:
        case Direction.DOWN:
            return _dragged(state, distance_dp, shown)
        case Direction.UP:
            return _dragged(state, -distance_dp, shown)
        case _:
            return state


def _dragged(state: PhoneState, distance_dp: int, shown: Layout) -> PhoneState:
    if shown.first_live:  # a dialog does not scroll
        return state
    target_dp = min(max(0, state.page.scroll_dp + distance_dp), shown.max_scroll_dp)
    return state if target_dp == state.page.scroll_dp else change_page(state, scroll_dp=target_dp)


def _typed(state: PhoneState, text: str, shown: Layout) -> Change:
    for widget in shown.live:
        if widget.field and widget.on:
            return Change(state=write(state, widget.field, state.page.value(widget.field) + text))
    return Change(state=state, error="no text field has the focus; tap one first")


def _opened(state: PhoneState, name: str) -> Change:
    installed = HOME_SCREEN.get(state).order
    wanted = name.strip().lower()
    if wanted not in installed:
        return Change(state=state, error=f"no app {name!r} is installed; there are {', '.join(installed)}")
    return Change(state=open_app(state, wanted))


def _with_popup(state: PhoneState) -> PhoneState:
    """Now and then a notice comes up; when is decided by the seed and the number of gestures."""
    if not state.popup_rate or state.page.app == SYSTEM:
        return state
    text = f"{state.popup_seed}/{state.num_steps}".encode()
    draw = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    if (draw >> 32) / 2**32 >= state.popup_rate:
        return state
    return push(state, Page(app=SYSTEM, name="popup", item=POPUPS[draw % len(POPUPS)]))
