"""Formulas of long-horizon evaluation hold for whatever was right and wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.horizon import HorizonMetrics, JudgedSteps, horizon_length, horizon_metrics
from eval.sop import SopTask, sop_metrics

ACCURACY = st.floats(min_value=1e-6, max_value=1 - 1e-6)
SUCCESS = st.floats(min_value=1e-4, max_value=1 - 1e-4)
TRAJECTORIES = st.lists(st.lists(st.booleans(), min_size=1, max_size=9), min_size=1, max_size=12)


def metrics(trajectories: list[list[bool]], seed: int = 0) -> HorizonMetrics:
    judged = [
        JudgedSteps(trajectory_id=str(number), right=tuple(right))
        for number, right in enumerate(trajectories)
    ]
    return horizon_metrics(judged, matcher="m", seed=seed)


@given(ACCURACY, SUCCESS)
def test_horizon_steps_succeed_with_the_asked_probability(accuracy: float, success: float) -> None:
    assert accuracy ** horizon_length(accuracy, success) == pytest.approx(success, rel=1e-6)


@given(ACCURACY, ACCURACY, SUCCESS)
def test_horizon_rises_with_accuracy_and_falls_with_success(one: float, other: float, success: float) -> None:
    low, high = sorted((one, other))
    assert horizon_length(low, success) <= horizon_length(high, success)
    assert horizon_length(one, math.sqrt(success)) == pytest.approx(horizon_length(one, success) / 2)
    assert horizon_length(math.sqrt(one), success) == pytest.approx(
        2 * horizon_length(one, success), rel=1e-6
    )


@given(TRAJECTORIES, st.integers(0, 3))
def test_prefix_accuracy_never_rises_and_ends_at_the_share_of_right_trajectories(
    trajectories: list[list[bool]], seed: int
) -> None:
    found = metrics(trajectories, seed)
    for earlier, later in zip(found.depths, found.depths[1:], strict=False):
        assert later.prefix.value <= earlier.prefix.value
        assert later.prefix.low <= earlier.prefix.low
        assert later.prefix.high <= earlier.prefix.high
        assert later.if_constant <= earlier.if_constant
    sop = sop_metrics(
        [
            SopTask(matched=(right.index(False) if False in right else len(right)), length=len(right))
            for right in trajectories
        ],
        matcher="m",
    )
    assert found.depths[-1].prefix.value == sop.tsr.value
    assert found.depths[0].prefix == found.depths[0].step


@given(TRAJECTORIES)
def test_depths_add_up_to_all_steps_and_values_lie_within_their_bounds(
    trajectories: list[list[bool]],
) -> None:
    found = metrics(trajectories)
    right = sum(depth.step.value * depth.step.count for depth in found.depths)
    assert right == pytest.approx(found.step_accuracy.value * found.num_steps)
    assert sum(depth.step.count for depth in found.depths) == found.num_steps
    for interval in (found.step_accuracy, *(depth.step for depth in found.depths)):
        assert 0 <= interval.low <= interval.high <= 1
    for depth in found.depths:
        for name in ("low", "high"):
            bound = getattr(depth.step, name)
            assert getattr(depth.horizon, name) == horizon_length(bound, depth.horizon.success)
    for horizon in found.horizons:
        assert 0 <= horizon.low <= horizon.high
    assert metrics(trajectories) == found, "equal seeds give equal bounds"


@given(st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_constant_agents_are_what_the_formula_says(length: int, count: int, right: bool) -> None:
    found = metrics([[right] * length] * count)
    assert [depth.prefix.value for depth in found.depths] == [depth.if_constant for depth in found.depths]
    assert {horizon.steps for horizon in found.horizons} == {math.inf if right else 0.0}
