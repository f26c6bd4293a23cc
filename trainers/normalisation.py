"""Values compared within clusters of rows, in float64 and linear time.

A *cluster* holds the rows whose values are compared to each other; a cluster of one row, or of equal
values, gives exactly 0.

Shape letters: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from trainers.clusters import Codes
from trainers.returns import Floats

_EQUAL: Final = 1e-6
"""Values that differ by less than this are equal: their spread is rounding noise."""


class NormMode(StrEnum):
    """How values are compared within a cluster."""

    MEAN_STD_NORM = "mean_std_norm"
    """Minus the mean, divided by the deviation (n - 1 in the denominator) plus eps."""
    MEAN_NORM = "mean_norm"
    """Minus the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatistics:
    """What is known of each cluster, by its number.

    Attributes:
        count: counted rows.
        mean: of the counted values.
        deviation: of the counted values, n - 1 in the denominator; 0 for one value.
        equal: the counted values differ by less than 1e-6.
    """

    count: Codes
    mean: Floats
    deviation: Floats
    equal: npt.NDArray[np.bool_]


def cluster_statistics(
    values_N: Floats, codes_N: Codes, counted_N: npt.NDArray[np.bool_] | None = None
) -> ClusterStatistics:
    """Mean, deviation and spread of each cluster, in linear time.

    Args:
        values_N: what to describe, at least one value.
        codes_N: cluster of each row, small whole numbers.
        counted_N: rows that count, at least one per cluster; None counts all.
    """
    num = int(codes_N.max()) + 1
    values = values_N if counted_N is None else values_N[counted_N]
    codes = codes_N if counted_N is None else codes_N[counted_N]
    count = np.bincount(codes, minlength=num)
    mean = np.bincount(codes, values, minlength=num) / np.maximum(count, 1)
    squares = np.bincount(codes, (values - mean[codes]) ** 2, minlength=num)
    highest, lowest = np.full(num, -np.inf), np.full(num, np.inf)
    np.maximum.at(highest, codes, values)
    np.minimum.at(lowest, codes, values)
    return ClusterStatistics(
        count=count,
        mean=mean,
        deviation=np.sqrt(squares / np.maximum(count - 1, 1)),
        equal=highest - lowest < _EQUAL,
    )


def normalise(
    values_N: Floats,
    codes_N: Codes,
    *,
    mode: NormMode = NormMode.MEAN_STD_NORM,
    eps: float = 1e-6,
    counted_N: npt.NDArray[np.bool_] | None = None,
    raw_singletons: bool = False,
) -> Floats:
    """Compare each value with those of its cluster, in linear time.

    Args:
        values_N: what to compare.
        codes_N: cluster of each row, small whole numbers.
        mode: centre, or centre and scale.
        eps: added to the deviation, in the unit of the values.
        counted_N: rows that enter mean and deviation, at least one per cluster; None counts all.
        raw_singletons: a cluster with one counted row has mean 0 and deviation 1 (a quirk of releases);
            otherwise its rows get 0.

    Returns:
        Shape (N,). Clusters whose counted values differ by less than 1e-6 get exactly 0.
    """
    if not len(values_N):
        return np.zeros(0)
    found = cluster_statistics(values_N, codes_N, counted_N)
    mean, deviation, equal = found.mean, found.deviation, found.equal
    if raw_singletons:
        single = found.count == 1
        mean, deviation = np.where(single, 0.0, mean), np.where(single, 1.0, deviation)
        equal = equal & ~single
    result = values_N - mean[codes_N]
    if mode is NormMode.MEAN_STD_NORM:
        result = result / (deviation[codes_N] + eps)
    return np.where(equal[codes_N], 0.0, result)


def leave_one_out(values_N: Floats, codes_N: Codes, counted_N: npt.NDArray[np.bool_]) -> Floats:
    """Each value minus the mean of the other counted values of its cluster.

    Args:
        values_N: what to compare; rows that do not count have the value of one that does.
        codes_N: cluster of each row, small whole numbers.
        counted_N: rows that count, at least one per cluster.

    Returns:
        Shape (N,). Clusters of one counted value, or of equal ones, get exactly 0.
    """
    if not len(values_N):
        return np.zeros(0)
    found = cluster_statistics(values_N, codes_N, counted_N)
    # The mean of the others is (n * mean - value) / (n - 1).
    factor = found.count / np.maximum(found.count - 1, 1)
    return np.where(found.equal[codes_N], 0.0, (values_N - found.mean[codes_N]) * factor[codes_N])
