"""RLOO: each episode against the mean of its siblings, itself left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainers.advantages.rows import (
    AdvantageTerms,
    EstimatorRow,
    HasTerms,
    Rng,
    episode_rewards,
    first_rows,
    group_codes,
)
from trainers.choices import Compat
from trainers.normalisation import leave_one_out


@dataclass(frozen=True, slots=True, kw_only=True)
class RlooAdvantage(HasTerms):
    """A_i = R_i - mean of R_j over the siblings j other than i, for every row of episode i.

    There is no division by a deviation: groups that differ much weigh more. A lone episode has no
    sibling and gets 0.

    Source: RLOO, arXiv:2402.14740, section 2 (the REINFORCE leave-one-out estimator), with an episode in
    the place of a response.
    """

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage; there is no step term."""
        codes = group_codes(rows)
        return AdvantageTerms.of_episodes(leave_one_out(episode_rewards(rows), codes, first_rows(rows)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RlooOptions:
    """`rloo` has no options."""

    def build(self, compat: Compat) -> RlooAdvantage:
        """The estimator; no release of its own is reproduced, so that `compat` changes nothing."""
        return RlooAdvantage()
