"""Accuracy by depth from replayed episodes."""

from __future__ import annotations

import json
import math

import pytest

from eval.horizon import JudgedSteps, horizon_length, horizon_metrics, judged_steps
from gui_agent.actions import Action, Click, Wait
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.matching import MatchResult
from trajectories.records import Step, Trajectory
from trajectories.replay_task import ReplayFrame, ReplayTask


def task(name: str, length: int) -> ReplayTask:
    frame = ReplayFrame(
        sha256="0" * 64, width_px=10, height_px=10, expert=ExpertAction(action=Wait()), state_key="s"
    )
    return ReplayTask(
        task_id="same-task",
        template="t",
        goal="g",
        frames=(frame,) * length,
        screenshots={},
        trajectory_id=name,
    )


def played(*right: bool, compared: bool = True) -> Trajectory:
    action: Action = Click(x=1, y=1)
    steps = [
        Step(
            index=index,
            screenshot_sha256=None,
            width_px=10,
            height_px=10,
            requested=action,
            executed=action,
            match=MatchResult(type_match=True, exact_match=one) if compared else None,
        )
        for index, one in enumerate(right)
    ]
    return Trajectory(
        episode_id="e",
        task_id="same-task",
        template="t",
        suite="s",
        goal="g",
        steps=tuple(steps),
        stop=StopReason.EXPERT_END,
        outcome=Outcome(verdict=Verdict.FAILURE),
    )


def test_whole_replays_and_single_steps_are_read_alike() -> None:
    whole = judged_steps([task("a", 3), task("b", 1)], [played(True, False, True), played(True)])
    singles = judged_steps(
        [*task("a", 3).single_steps(), *task("b", 1).single_steps()],
        [played(True), played(False), played(True), played(True)],
    )
    assert whole == singles
    assert whole[0] == JudgedSteps(trajectory_id="a", right=(True, False, True))


def test_figures_of_a_small_example() -> None:
    judged = [
        JudgedSteps(trajectory_id="a", right=(True, True, False)),
        JudgedSteps(trajectory_id="b", right=(True,)),
    ]
    found = horizon_metrics(judged, matcher="ui_s1@1", success_rates=(0.5,))
    assert found.step_accuracy.value == 0.75
    assert [depth.step.value for depth in found.depths] == [1, 1, 0]
    assert [depth.step.count for depth in found.depths] == [2, 1, 1]
    assert [depth.prefix.value for depth in found.depths] == [1, 1, 0.5]
    assert found.depths[2].if_constant == pytest.approx((0.75**3 + 0.75) / 2)
    assert found.horizons[0].steps == pytest.approx(math.log(0.5) / math.log(0.75))
    assert [depth.horizon.steps for depth in found.depths] == [math.inf, math.inf, 0]
    assert found.horizons[0].high == math.inf, "a bootstrap sample of b alone has no wrong step"
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert stored["horizons"][0]["high"] is None
    assert [depth["horizon"]["steps"] for depth in stored["depths"]] == [None, None, 0]
    assert stored["matcher"] == "ui_s1@1"


def test_edges_of_the_horizon() -> None:
    assert horizon_length(0, 0.5) == 0
    assert horizon_length(1, 0.5) == math.inf
    assert horizon_length(0.9, 0.5) == pytest.approx(6.58, abs=0.01)
    for accuracy, success in ((1.1, 0.5), (-0.1, 0.5), (0.5, 0), (0.5, 1)):
        with pytest.raises(ValueError, match="strictly between"):
            horizon_length(accuracy, success)


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(DataError, match="1 of its 2 steps"):
        judged_steps([task("a", 2)], [played(True)])
    with pytest.raises(DataError, match="not compared"):
        judged_steps([task("a", 1)], [played(True, compared=False)])
    with pytest.raises(DataError, match="2 replay tasks for 1 episodes"):
        judged_steps([task("a", 1), task("b", 1)], [played(True)])
    with pytest.raises(DataError, match="at least one trajectory"):
        horizon_metrics([], matcher="m")
    with pytest.raises(DataError, match="no step was judged"):
        JudgedSteps(trajectory_id="a", right=())
