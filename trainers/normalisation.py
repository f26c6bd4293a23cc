"""Values compared within clusters of rows, in float64 and linear time.

A *cluster* holds the rows whose values are compared to each other; a cluster of one row, or of equal
values, gives exactly 0.

Shape letters: N rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from trainers.returns import Floats

Codes = npt.NDArray[np.int64]
_EQUAL: Final = 1e-6
"""Values that differ by less than this are equal: their spread is rounding noise."""


class NormMode(StrEnum):
    """How values are compared within a cluster."""

    MEAN_STD_NORM = "mean_std_norm"
    """Minus the mean, divided by the deviation (n - 1 in the denominator) plus eps."""
    MEAN_NORM = "mean_norm"
    """Minus the mean."""


def cluster_codes(labels: Sequence[Hashable]) -> Codes:
    """Numbers for labels, 0, 1, …, in order of first appearance."""
    codes: dict[Hashable, int] = {}
    return np.array([codes.setdefault(label, len(codes)) for label in labels], dtype=np.int64)


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
    num = int(codes_N.max()) + 1
    counted = np.ones(len(values_N), dtype=bool) if counted_N is None else counted_N
    values, codes = values_N[counted], codes_N[counted]
    count = np.bincount(codes, minlength=num)
    mean = np.bincount(codes, values, minlength=num) / np.maximum(count, 1)
    squares = np.bincount(codes, (values - mean[codes]) ** 2, minlength=num)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    highest, lowest = np.full(num, -np.inf), np.full(num, np.inf)
    np.maximum.at(highest, codes, values)
    np.minimum.at(lowest, codes, values)
    single = count == 1
    if raw_singletons:
        mean, deviation = np.where(single, 0.0, mean), np.where(single, 1.0, deviation)
    equal = (highest - lowest < _EQUAL) & ~(single & raw_singletons)
    result = values_N - mean[codes_N]
    if mode is NormMode.MEAN_STD_NORM:
        result = result / (deviation[codes_N] + eps)
    return np.where(equal[codes_N], 0.0, result)
