"""REINFORCE++: episodes normalised over the whole batch, not within their group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trainers.advantages.rows import (
    AdvantageTerms,
    EstimatorRow,
    HasTerms,
    Rng,
    episode_rewards,
    first_rows,
    group_codes,
    role_codes,
)
from trainers.choices import Compat
from trainers.normalisation import NormMode, cluster_statistics, normalise


class Baseline(StrEnum):
    """What is subtracted from the reward of an episode."""

    BATCH = "batch"
    """The mean over all episodes of the batch (REINFORCE++)."""
    GROUP = "group"
    """The mean over the siblings (REINFORCE++ with baseline)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforcePpAdvantage(HasTerms):
    """A = (R - baseline) / (std + eps), the deviation taken over all episodes of the batch.

    Attributes:
        baseline: `batch` takes mean and deviation of R over the batch. `group` takes the mean over the
            siblings first, and then the deviation of what is left over the batch.
        eps: added to the deviation, in the unit of the rewards.

    One value counts per episode and role; the paper's counts one per token, because its KL penalty is part
    of the reward of every token. Here the KL stays in the loss.

    Source: REINFORCE++, arXiv:2501.03262, both variants.
    """

    baseline: Baseline = Baseline.BATCH
    eps: float = 1e-6

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage; there is no step term."""
        values, counted = episode_rewards(rows), first_rows(rows)
        roles = role_codes(rows)
        if self.baseline is Baseline.BATCH:
            return AdvantageTerms.of_episodes(normalise(values, roles, eps=self.eps, counted_N=counted))
        if not rows:
            return AdvantageTerms.of_episodes(values)
        groups = group_codes(rows)
        centred = normalise(values, groups, mode=NormMode.MEAN_NORM, counted_N=counted)
        # The mean of what is left is 0 by construction; to subtract its rounding would bring noise.
        found = cluster_statistics(centred, roles, counted)
        scale = np.where(found.equal, 1.0, found.deviation + self.eps)
        return AdvantageTerms.of_episodes(centred / scale[roles])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforcePpOptions:
    """Options of `reinforce_pp`.

    Attributes:
        baseline: batch subtracts the mean of the whole batch, group that of the siblings; both divide by a
            deviation over the batch.
    """

    baseline: Baseline = Baseline.BATCH

    def build(self, compat: Compat) -> ReinforcePpAdvantage:
        """The estimator; no release of its own is reproduced, so that `compat` changes nothing."""
        return ReinforcePpAdvantage(baseline=self.baseline)
