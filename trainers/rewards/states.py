"""Parts of process rewards that compare states of the device, by their keys.

What equal keys mean is the device's to say: the virtual phone names its whole state, a browser its
picture. All need `Step.state_key_before`, most also `Step.state_key_after`.
"""

from __future__ import annotations

from typing import Final

from gui_agent.actions import Action, Answer, Finish, ParseError, PressKey, Wait
from gui_agent.device import ActionSource
from gui_agent.errors import DataError
from trainers.rewards.base import where
from trajectories.records import Step, Trajectory

_MAY_CHANGE_NOTHING: Final = (Wait, Answer, Finish, PressKey)
"""Waiting, telling the user and ending do; a key may change what no screen shows (clipboard, volume)."""


def screen_changed(trajectory: Trajectory) -> list[float]:
    """1 where the state after the step is another one than before."""
    return [float(_key_before(trajectory, step) != _key_after(trajectory, step)) for step in trajectory.steps]


def no_op(trajectory: Trajectory) -> list[float]:
    """1 where an action of the agent was performed and changed nothing.

    Waiting, answering, finishing and pressing a key may change nothing that is seen, and are never
    counted. What could not be performed at all is an `error`, not a `no_op`.
    """
    return [float(_changed_nothing(trajectory, step)) for step in trajectory.steps]


def _changed_nothing(trajectory: Trajectory, step: Step) -> bool:
    if step.executed is None or isinstance(step.executed, _MAY_CHANGE_NOTHING):
        return False
    if step.source is not ActionSource.POLICY:
        return False
    return _key_before(trajectory, step) == _key_after(trajectory, step)


def repeated_action(trajectory: Trajectory) -> list[float]:
    """1 where the same request was made before in the same state of this episode.

    Waiting twice is patience and does not count, nor does a response that could not be read.
    """
    seen: set[tuple[str, Action]] = set()
    values = []
    for step in trajectory.steps:
        state, action = _key_before(trajectory, step), step.requested or step.executed
        if action is None or isinstance(action, ParseError | Wait):
            values.append(0.0)
            continue
        values.append(float((state, action) in seen))
        seen.add((state, action))
    return values


def revisited_state(trajectory: Trajectory) -> list[float]:
    """1 where a step led away from its state and back to one of earlier in this episode."""
    seen: set[str] = set()
    values = []
    for step in trajectory.steps:
        before, after = _key_before(trajectory, step), _key_after(trajectory, step)
        values.append(float(after != before and after in seen))
        seen.add(before)
    return values


def _key_before(trajectory: Trajectory, step: Step) -> str:
    if step.state_key_before is None:
        raise DataError(
            f"{where(trajectory, step)}: the state before it has no name (state_key_before); record the "
            "episode on a device that names its states, or leave parts that compare states out of the reward"
        )
    return step.state_key_before


def _key_after(trajectory: Trajectory, step: Step) -> str:
    if step.state_key_after is None:
        raise DataError(
            f"{where(trajectory, step)}: the state after it has no name (state_key_after); live episodes "
            "that were looked at once more at their end have one (observe_end), replays have none: leave "
            "parts that compare states out of the reward"
        )
    return step.state_key_after
