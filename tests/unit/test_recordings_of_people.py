"""Which recordings are imitated: those that reach the goal and show when it is reached."""

from __future__ import annotations

import warnings

import pytest

from gui_agent.device import Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from trainers.recordings import successful
from trajectories.records import Trajectory


def recording(stop: StopReason, verdict: Verdict) -> Trajectory:
    return Trajectory(
        episode_id=f"{stop}-{verdict}", task_id="t", template="t", suite="s", goal="g", steps=(),
        stop=stop, outcome=Outcome(verdict=verdict),
    )  # fmt: skip


def test_a_person_may_say_when_it_is_done() -> None:
    every = [recording(stop, verdict) for stop in StopReason for verdict in Verdict]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        taken = successful(every)
    ends = (StopReason.FINISHED, StopReason.TASK_ENDED, StopReason.EXPERT_END, StopReason.USER)
    assert taken == [recording(stop, Verdict.SUCCESS) for stop in ends]
    assert f"{len(every) - 4} of {len(every)}" in str(said[0].message)
    stopped = taken[-1]
    assert not stopped.succeeded  # for rewards and reports the agent has to end by itself


@pytest.mark.parametrize("verdict", [Verdict.FAILURE, Verdict.UNSCORED])
def test_stopping_alone_says_nothing(verdict: Verdict) -> None:
    with pytest.raises(DataError, match="none is left to imitate"):
        successful([recording(StopReason.USER, verdict)])
