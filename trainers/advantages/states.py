"""Which rows of siblings were in the same state: by equal keys, or by keys that are nearly equal."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gui_agent.errors import ConfigError
from trainers.advantages.rows import EstimatorRow, group_codes
from trainers.clusters import Codes, cluster_codes


class SameState(Protocol):
    """Whether two state keys that are not equal mean the same state."""

    def __call__(self, key: str, other: str) -> bool:
        """Compare."""
        ...


@dataclass(frozen=True, slots=True)
class TextSimilarity:
    """Keys that are text, compared by difflib's ratio.

    Attributes:
        threshold: least ratio, in (0, 1).

    Source: the option `similarity` of GiGPO's release (reference vectors `gigpo_similarity`).
    """

    threshold: float

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ConfigError(f"similarity is {self.threshold}; expected a threshold in (0, 1), or none")

    def __call__(self, key: str, other: str) -> bool:
        """Whether the ratio of two texts reaches the threshold."""
        total = len(key) + len(other)
        if 2 * min(len(key), len(other)) < self.threshold * total:
            return False
        matcher = difflib.SequenceMatcher(None, key, other)
        # The quick ratio, like that of the lengths, is an upper bound.
        return matcher.quick_ratio() >= self.threshold and matcher.ratio() >= self.threshold


@dataclass(frozen=True, slots=True)
class HammingTolerance:
    """Keys that are hashes in hexadecimal digits, compared bit by bit.

    Attributes:
        bits: that may differ, 0 or more.
    """

    bits: int

    def __call__(self, key: str, other: str) -> bool:
        """Whether no more than `bits` bits differ."""
        return len(key) == len(other) and (int(key, 16) ^ int(other, 16)).bit_count() <= self.bits


@dataclass(slots=True)
class StateClusters:
    """The states of one group, each named by the first key that was seen of it.

    A key joins the first cluster whose first key is the same as itself, so that the result depends on
    the order of keys wherever sameness is not transitive. Each distinct key is compared once.
    """

    same: SameState | None
    _leaders: list[str]
    _found: dict[str, str]

    @classmethod
    def empty(cls, same: SameState | None) -> StateClusters:
        """Before any key was seen."""
        return cls(same, [], {})

    def name_of(self, key: str) -> str:
        """The first key of the cluster that the key belongs to."""
        if self.same is None:
            return key
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._search(key, self.same)
        return found

    def _search(self, key: str, same: SameState) -> str:
        for leader in self._leaders:
            if same(key, leader):
                return leader
        self._leaders.append(key)
        return key


def state_codes(
    groups_N: Codes, keys_N: Sequence[str | None], same: SameState | None = None
) -> npt.NDArray[np.int64]:
    """Numbers of the states of each group, shape (N,); -1 for an unknown state.

    Args:
        groups_N: the group of each key; keys of other groups mean other states.
        keys_N: names of states, None if unknown.
        same: joins states whose keys are not equal, see `StateClusters`; None compares keys exactly.
    """
    names: list[str | None] = list(keys_N)
    if same is not None:
        found: dict[int, StateClusters] = {}
        for index, (group, key) in enumerate(zip(groups_N.tolist(), keys_N, strict=True)):
            if key is not None:
                states = found.get(group) or found.setdefault(group, StateClusters.empty(same))
                names[index] = states.name_of(key)
    known = np.array([key is not None for key in keys_N], dtype=bool)
    return np.where(known, cluster_codes(groups_N, names), -1)


def anchor_clusters(rows: Sequence[EstimatorRow], same: SameState | None = None) -> Codes:
    """Numbers of the states of siblings, shape (N,); a row of unknown state is alone."""
    states = state_codes(group_codes(rows), [row.state_key for row in rows], same)
    return alone_where(states < 0, states)


def alone_where(alone_N: npt.NDArray[np.bool_], codes_N: Codes) -> Codes:
    """The same clusters, some rows taken out of them and put into clusters of their own."""
    return cluster_codes(codes_N, np.where(alone_N, np.arange(len(codes_N)), -1))
