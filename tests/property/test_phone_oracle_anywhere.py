"""The expert answers from wherever random gestures have led, and gets to the goal from there."""

from __future__ import annotations

import random

import pytest

from devices.phone.apps.registry import APP_DATA_TYPES
from devices.phone.labelled import wandered
from devices.phone.state import state_from_json, state_to_json
from devices.phone.suites import phone_suite
from devices.phone.tasks.oracle import expert_action, num_expert_actions
from devices.phone.transition import perform
from gui_agent.actions import Finish

SUITES = ("quickstart", "long", "phone")
CASES = [(name, template) for name in SUITES for template in phone_suite(name).templates]


@pytest.mark.parametrize(("suite_name", "template"), CASES)
def test_expert_reaches_the_goal_after_random_gestures(suite_name: str, template: str) -> None:
    suite = phone_suite(suite_name)
    num_solved = 0
    for seed in range(4):
        rng = random.Random(seed)
        plan = suite.task(template, seed).plan
        state = plan.start
        for _ in range(rng.randrange(1, 12)):
            state = wandered(state, suite.display, rng)
        assert state_from_json(state_to_json(state), APP_DATA_TYPES) == state
        needed = num_expert_actions(plan, state, suite.display)
        if needed is None:  # what must be kept was deleted or ordered on the way
            continue
        num_solved += 1
        for _ in range(3 * needed + 12):  # pop-ups come and go
            expert = expert_action(plan, state, suite.display)
            assert expert is not None
            if isinstance(expert.action, Finish):
                break
            change = perform(state, expert.action, suite.display)
            assert change.error is None
            state = change.state
        assert plan.done(state)
    assert num_solved >= 1
