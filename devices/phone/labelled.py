"""Screens with labels, from random walks through a suite's worlds: training data for grounding."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from devices.phone.display import PhoneDisplay
from devices.phone.drawing import draw
from devices.phone.state import PhoneState
from devices.phone.suites import PhoneSuite
from devices.phone.tasks.oracle import expert_action
from devices.phone.transition import layout_of, perform
from gui_agent.actions import Action, Button, Click, Direction, Finish, Scroll, SystemButton
from gui_agent.device import TaskSource
from gui_agent.errors import ConfigError
from gui_agent.observation import LabelledScreen, Screenshot

_WALK_LENGTH = 5


def labelled_screens(
    suite: PhoneSuite, count: int, seed: int, *, display: PhoneDisplay | None = None
) -> Iterator[LabelledScreen]:
    """Screens that an agent meets in a suite, with the widgets that can be seen.

    Each walk begins at the start of a task drawn from the suite. Half of its gestures are the
    expert's, which lead to the pages that matter, half are random, mostly taps on widgets.

    Args:
        suite: whose worlds to walk through.
        count: how many screens, at least 0.
        seed: equal seeds give equal screens, whatever the tasks of a training run.
        display: the screen; the suite's own by default.
    """
    display = display or suite.display
    rng = random.Random(f"labelled/{suite.suite}/{seed}")
    made = 0
    while made < count:
        template = rng.choice(suite.templates)
        plan = suite.builds[template](random.Random(rng.getrandbits(48)))
        state = plan.start
        for _ in range(min(_WALK_LENGTH, count - made)):
            shown = layout_of(state, display)
            screenshot = Screenshot.from_image(draw(shown, state, display))
            yield LabelledScreen(screenshot=screenshot, elements=shown.elements())
            made += 1
            expert = expert_action(plan, state, display, shown) if rng.random() < 0.5 else None
            if expert is None or isinstance(expert.action, Finish):
                state = wandered(state, display, rng)
            else:
                state = _later(perform(state, expert.action, display, shown).state, rng)


async def suite_screens(suite: TaskSource, count: int, seed: int) -> list[LabelledScreen]:
    """As `labelled_screens`, in the form that every world has.

    Raises:
        ConfigError: the suite belongs to another world.
    """
    if not isinstance(suite, PhoneSuite):
        raise ConfigError(f"suite {suite.suite!r} does not run on virtual phones; choose one of phone/…")
    return list(labelled_screens(suite, count, seed))


def wandered(state: PhoneState, display: PhoneDisplay, rng: random.Random) -> PhoneState:
    """The phone after a random gesture, a little later in the day."""
    shown = layout_of(state, display)
    targets = [element for element in shown.elements() if element.clickable and element.role != "key"]
    chance = rng.random()
    action: Action
    if targets and chance < 0.85:
        x, y = rng.choice(targets).box.center
        action = Click(x=x, y=y)
    elif chance < 0.9 and shown.max_scroll_dp:
        action = Scroll(direction=rng.choice((Direction.UP, Direction.DOWN)))
    elif chance < 0.96:
        action = SystemButton(button=Button.BACK)
    else:
        action = SystemButton(button=Button.HOME)
    return _later(perform(state, action, display, shown).state, rng)


def _later(state: PhoneState, rng: random.Random) -> PhoneState:
    """Another time of the day, so that the clock tells nothing about the screen."""
    return replace(state, start_minute=(state.start_minute + rng.randrange(240)) % (24 * 60))
