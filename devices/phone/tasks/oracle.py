"""The expert: from a plan and a state to the action on the screen that comes next."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from devices.phone.display import PhoneDisplay
from devices.phone.layout import Layout, Widget
from devices.phone.state import SYSTEM, PhoneState
from devices.phone.tasks.plan import Enter, Hold, Plan, Press, Say, Tap
from devices.phone.transition import layout_of, perform
from gui_agent.actions import Action, Answer, Button, Click, Finish, LongPress, Swipe, SystemButton, TypeText
from gui_agent.device import ExpertAction
from gui_agent.observation import Box

_HORIZON: Final = 60


def expert_action(
    plan: Plan, state: PhoneState, display: PhoneDisplay, shown: Layout | None = None
) -> ExpertAction | None:
    """What the expert does at this state.

    Returns:
        The next action with the box of its target and, as thought, the target's name; `Finish` when
        the goal is reached; None when it cannot be reached any more.
    """
    if plan.done(state):
        return ExpertAction(action=Finish(), thought="done")
    shown = shown or layout_of(state, display)
    if state.page.app == SYSTEM:
        return _tap("close", shown)
    move = plan.route(state)
    match move:
        case None:
            return None
        case Press(button=button):
            return ExpertAction(action=SystemButton(button=button), thought=button.value)
        case Enter(text=text):
            return ExpertAction(action=TypeText(text=text), thought=text)
        case Say(text=text):
            return ExpertAction(action=Answer(text=text), thought="answer")
        case Tap(name=name):
            return _tap(name, shown)
        case Hold(name=name):
            return _tap(name, shown, hold=True)
        case _:
            assert_never(move)


def _tap(name: str, shown: Layout, *, hold: bool = False) -> ExpertAction | None:
    widget = shown.find(name)
    if widget is None:
        # What is wanted is not here at all: an open keyboard or a wrong turn hides it.
        return ExpertAction(action=SystemButton(button=Button.BACK), thought=Button.BACK.value)
    box = shown.visible_box(widget)
    if box is None:
        return _scroll(widget, shown.viewport)
    x, y = box.center
    action: Action = LongPress(x=x, y=y) if hold else Click(x=x, y=y)
    return ExpertAction(action=action, boxes=(box,), thought=name)


def _scroll(widget: Widget, viewport: Box) -> ExpertAction:
    """A finger's way that brings the widget nearer to the middle of the list."""
    x, _ = viewport.center
    height = viewport.bottom - viewport.top
    upper, lower = viewport.top + height // 5, viewport.bottom - height // 5
    below = widget.box.top > viewport.top
    start, end = (lower, upper) if below else (upper, lower)
    thought = "scroll down" if below else "scroll up"
    swipe: Action = Swipe(x=x, y=start, to_x=x, to_y=end)
    return ExpertAction(action=swipe, boxes=(viewport,), thought=thought)


def num_expert_actions(plan: Plan, state: PhoneState, display: PhoneDisplay) -> int | None:
    """How many actions the expert needs from this state, `Finish` not counted; None if it cannot.

    Pop-ups to come are not counted.
    """
    state = replace(state, popup_rate=0.0)
    for count in range(_HORIZON):
        expert = expert_action(plan, state, display)
        if expert is None:
            return None
        if isinstance(expert.action, Finish):
            return count
        state = perform(state, expert.action, display).state
    return None
