"""Discounted returns of the steps of rollouts, in float64.

Shape letters: N rows in any order; a row is one step of one rollout.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from trainers.clusters import Codes, time_order

Floats = npt.NDArray[np.float64]


def discounted_returns(
    rewards_N: Sequence[float] | Floats,
    matched_N: Sequence[bool],
    rollouts_N: Sequence[Hashable] | Codes,
    steps_N: Sequence[int] | Codes,
    *,
    gamma: float,
    cut_includes_mismatch: bool = True,
) -> Floats:
    """The return of each row: rewards from its step to the end of the natural segment, discounted.

    A segment is natural as long as the agent's own actions matched. A step that itself mismatched
    returns its own reward alone. With all steps matched this is the ordinary discounted return.

    Args:
        rewards_N: immediate rewards.
        matched_N: whether the agent's own action was the expert's.
        rollouts_N: the rollout of each row.
        steps_N: the time of each row within its rollout, without repetitions.
        gamma: discount in [0, 1].
        cut_includes_mismatch: count the reward of the mismatch that ends a segment, as equation 9 is
            written; without, the segment ends before it, as the release computes it.

    Example: rewards 1, 0.5, 1, the second mismatched, gamma 0.5: returns 1.25, 0.5, 1 (without the
    mismatch 1, 0.5, 1).

    Source: UI-S1, arXiv:2509.11543, equation 9 (reference vectors `uis1_discounted_returns`).
    """
    returns = np.array(rewards_N, dtype=np.float64)
    matched = np.asarray(matched_N, dtype=bool)
    order = time_order(rollouts_N, steps_N)
    earlier, later = order.rows[:-1], order.rows[1:]
    goes_on = ~order.starts[1:] & matched[earlier]
    if not cut_includes_mismatch:
        goes_on &= matched[later]
    # Backwards: all second-to-last steps at once, then all third-to-last, …
    for position in order.backwards:
        here = position[goes_on[position]]
        returns[earlier[here]] += gamma * returns[later[here]]
    return returns
