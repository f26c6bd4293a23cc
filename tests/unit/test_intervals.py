"""Intervals around shares: known values, and what stands at 0 and 1."""

from __future__ import annotations

import math

import pytest

from eval.horizon import JudgedSteps, horizon_metrics
from eval.intervals import wilson
from eval.sop import SopTask, sop_metrics


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_wilsons_interval_at_known_values(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert found.low <= found.value <= found.high
    assert (found.low == 0, found.high == 1) == (successes == 0, successes == trials)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (2, 1), (-1, 1)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="are impossible"):
        wilson(successes, trials)


def test_a_few_trajectories_that_agree_are_no_proof() -> None:
    """Resampling them would give the same share every time: an interval of width 0."""
    right, wrong = ([SopTask(matched=matched, length=2)] * 3 for matched in (2, 0))
    assert sop_metrics(right, matcher="m").tsr.low < 0.5
    assert sop_metrics(wrong, matcher="m").tsr.high > 0.5
    judged = [JudgedSteps(trajectory_id=name, right=(True, True)) for name in "abc"]
    for depth in horizon_metrics(judged, matcher="m").depths:
        assert max(depth.step.low, depth.prefix.low) < 0.5
        assert depth.horizon.low < 2
        assert depth.horizon.steps == depth.horizon.high == math.inf
