"""In the quickstart, the goal and the picture decide what to do: nothing depends on the past."""

from __future__ import annotations

import random
from dataclasses import replace

from devices.phone.drawing import draw
from devices.phone.labelled import wandered
from devices.phone.suites import phone_suite
from devices.phone.tasks.oracle import expert_action
from devices.phone.transition import layout_of, perform
from gui_agent.actions import Action, Finish


def test_equal_goal_and_equal_pixels_mean_equal_expert_action() -> None:
    suite, display = phone_suite("quickstart"), phone_suite("quickstart").display
    chosen: dict[tuple[str, bytes], Action] = {}
    num_met_again = 0
    for template in suite.templates:
        for seed in range(6):
            plan = suite.task(template, seed).plan
            for walk in range(3):
                rng = random.Random(walk)
                state = plan.start
                for _ in range(6):
                    state = replace(state, num_steps=0, start_minute=0)
                    shown = layout_of(state, display)
                    expert = expert_action(plan, state, display, shown)
                    if expert is None:
                        break
                    key = (f"{template}/{seed}: {plan.goal}", draw(shown, state, display).tobytes())
                    num_met_again += key in chosen
                    assert chosen.setdefault(key, expert.action) == expert.action, (key[0], state.page)
                    if isinstance(expert.action, Finish):
                        break  # what was done need not show on every page
                    if rng.random() < 0.6:
                        state = perform(state, expert.action, display).state
                    else:
                        state = wandered(state, display, rng)
    assert num_met_again > 100
