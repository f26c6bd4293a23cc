"""Which groups are worth an update: those whose siblings differ (dynamic sampling).

Source: DAPO, arXiv:2503.14476, section 3.2; the statistics are those of UI-S1's release (reference
vectors `dapo_filter`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gui_agent.errors import ConfigError


class FilterMetric(StrEnum):
    """Which rows' values a group is judged by."""

    SEQ_FUTURE_REWARD = "seq_future_reward"
    """Returns of the first step (UI-S1's choice)."""
    SEQ_FINAL_REWARD = "seq_final_reward"
    """Values at the last step that any rollout of the group reached; rollouts that ended earlier do not
    count, so do not use it but to compare."""
    SEQ_REWARD = "seq_reward"
    """The same as `seq_final_reward`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterResult:
    """What a filter did.

    Attributes:
        kept: groups to learn from, in order of first appearance.
        deviations: population deviation (ddof 0) of every group.
    """

    kept: tuple[str, ...]
    deviations: dict[str, float]


def filter_groups(
    groups_N: Sequence[str],
    steps_N: Sequence[int],
    values_N: Sequence[float],
    *,
    metric: FilterMetric = FilterMetric.SEQ_FUTURE_REWARD,
    threshold: float = 0.3,
) -> FilterResult:
    """Keep groups whose values deviate by more than the threshold, and groups with one value.

    Args:
        groups_N: group of each row.
        steps_N: time of each row within its rollout, from 0.
        values_N: discounted returns for `seq_future_reward`, rewards otherwise.
        metric: which rows count.
        threshold: deviation to exceed, in the unit of the values.

    Raises:
        ConfigError: the threshold is negative.
    """
    if threshold < 0:
        raise ConfigError(f"filter threshold is {threshold}; expected 0 or more")
    last: dict[str, int] = {}
    for group, step in zip(groups_N, steps_N, strict=True):
        last[group] = max(step, last.get(group, step))
    values: dict[str, list[float]] = {}
    for group, step, value in zip(groups_N, steps_N, values_N, strict=True):
        if step == (0 if metric is FilterMetric.SEQ_FUTURE_REWARD else last[group]):
            values.setdefault(group, []).append(value)
    deviations = {group: float(np.std(np.asarray(found))) for group, found in values.items()}
    single = {group for group, found in values.items() if len(found) == 1}
    kept = tuple(group for group in values if group in single or deviations[group] > threshold)
    return FilterResult(kept=kept, deviations=deviations)
