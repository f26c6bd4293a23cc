"""Intervals around shares and means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and the bounds of its 95 % interval, all in the unit of the values."""

    value: float
    low: float
    high: float
    count: int


def bootstrap_mean(values: Sequence[float], *, seed: int = 0, num_resamples: int = 2_000) -> Interval:
    """Mean with a percentile bootstrap interval over the values; equal seeds give equal bounds.

    Args:
        values: one per independent unit (an episode, a task), at least one.
        seed: of the resampling.
        num_resamples: bootstrap samples.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a mean of no values does not exist; leave the score out instead")
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = data[rng.integers(len(data), size=(num_resamples, len(data)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(value=float(data.mean()), low=float(low), high=float(high), count=len(data))


def wilson(successes: int, trials: int) -> Interval:
    """A share with Wilson's interval, which stays honest near 0 and 1.

    Raises:
        ValueError: there are no trials, or more successes than trials.

    Source: E. B. Wilson, Journal of the American Statistical Association 22, 1927.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials are impossible")
    share = successes / trials
    denominator = 1 + _Z_95**2 / trials
    centre = (share + _Z_95**2 / (2 * trials)) / denominator
    half = _Z_95 * math.sqrt(share * (1 - share) / trials + _Z_95**2 / (4 * trials**2)) / denominator
    # Without rounding the bound on the side of 0 or 1 is that number itself.
    low = centre - half if successes else 0.0
    high = centre + half if successes < trials else 1.0
    return Interval(value=share, low=low, high=high, count=trials)


def bootstrap_ratio(
    numerators: Sequence[float], denominators: Sequence[float], *, seed: int = 0, num_resamples: int = 2_000
) -> Interval:
    """A share of all parts of all units, with a percentile bootstrap interval that draws whole units.

    For figures over steps: the steps of one task are not independent, so tasks are drawn.

    Args:
        numerators: parts that count, by unit.
        denominators: all parts, by unit; units without any carry no weight.
        seed: of the resampling.
        num_resamples: bootstrap samples.

    Raises:
        ValueError: the lengths differ, or no unit has any part.
    """
    if len(numerators) != len(denominators):
        raise ValueError(f"{len(numerators)} numerators for {len(denominators)} denominators")
    pairs = np.array(
        [pair for pair in zip(numerators, denominators, strict=True) if pair[1] > 0], dtype=np.float64
    )
    if not len(pairs):
        raise ValueError("a share of nothing does not exist; leave the score out instead")
    rng = np.random.default_rng(seed)
    sums = pairs[rng.integers(len(pairs), size=(num_resamples, len(pairs)))].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    value = float(pairs[:, 0].sum() / pairs[:, 1].sum())
    return Interval(value=value, low=float(low), high=float(high), count=len(pairs))
