"""Rows that belong together: numbers for their labels, and their order in time.

Shape letters: N rows in any order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]
"""Small whole numbers in place of labels."""


def cluster_codes(*labels_N: Sequence[Hashable] | Codes) -> Codes:
    """Numbers for labels, 0, 1, …, in order of first appearance.

    Args:
        labels_N: one label per row; where several columns are given, a row's label is all of them.

    Returns:
        Shape (N,).
    """
    first, *others = (_numbered(column) for column in labels_N)
    for column in others:
        if len(column):  # one number for each pair, small enough whatever the number of columns
            first = _renumbered(first * (int(column.max()) + 1) + column)
    return first


def _numbered(labels_N: Sequence[Hashable] | Codes) -> Codes:
    if isinstance(labels_N, np.ndarray):
        return _renumbered(labels_N)
    codes: dict[Hashable, int] = {}
    return np.array([codes.setdefault(label, len(codes)) for label in labels_N], dtype=np.int64)


def _renumbered(numbers_N: Codes) -> Codes:
    """Numbers 0, 1, … in order of first appearance, for any whole numbers."""
    _, first, inverse = np.unique(numbers_N, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOrder:
    """Rows sorted by rollout and, within it, by time.

    Attributes:
        rows: numbers of the rows in that order.
        starts: at each place of `rows`, whether a rollout begins there.
        lasts: at each place, whether a rollout ends there.
    """

    rows: Codes
    starts: npt.NDArray[np.bool_]
    lasts: npt.NDArray[np.bool_]

    @property
    def places(self) -> Codes:
        """At each place of `rows`, how many rows of its rollout stand before it."""
        begins = np.flatnonzero(self.starts)
        every = np.arange(len(self.rows))
        return every - begins[np.cumsum(self.starts) - 1] if len(every) else every

    @property
    def backwards(self) -> list[Codes]:
        """Places that are followed by another of their rollout: those second to last, third to last, …"""
        ends = np.flatnonzero(self.lasts)
        places = np.arange(len(self.rows))
        left = ends[np.searchsorted(ends, places)] - places if len(ends) else places
        by_left = np.argsort(left, kind="stable")
        counts = np.bincount(left) if len(left) else np.zeros(1, dtype=np.int64)
        return np.split(by_left, np.cumsum(counts)[:-1])[1:]


def time_order(rollouts_N: Sequence[Hashable] | Codes, steps_N: Sequence[int] | Codes) -> TimeOrder:
    """The rows of each rollout together, in time order.

    Args:
        rollouts_N: the rollout of each row.
        steps_N: the time of each row within its rollout.
    """
    codes = cluster_codes(rollouts_N)
    rows = np.lexsort((np.asarray(steps_N, dtype=np.int64), codes))
    changes = np.diff(codes[rows]) != 0
    edge = np.ones(min(1, len(rows)), dtype=bool)
    return TimeOrder(rows=rows, starts=np.concatenate([edge, changes]), lasts=np.concatenate([changes, edge]))
