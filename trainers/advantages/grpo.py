"""GRPO: whole episodes compared with their siblings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainers.advantages.rows import AdvantageTerms, EstimatorRow, HasTerms, Rng, episode_rewards
from trainers.advantages.terms import PAPER_TERM, EpisodeTerm
from trainers.choices import Compat
from trainers.normalisation import NormMode


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoAdvantage(HasTerms):
    """A = (R - mean) / (std + eps) over the episodes of a group, for every row of an episode.

    Source: DeepSeekMath, arXiv:2402.03300, section 4.1.2 (outcome supervision).
    """

    episode_term: EpisodeTerm = PAPER_TERM

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage; there is no step term."""
        return AdvantageTerms.of_episodes(self.episode_term.of(rows, episode_rewards(rows)))


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoOptions:
    """Options of `grpo`.

    Attributes:
        mode: mean_std_norm divides by the deviation over the group, mean_norm does not.
    """

    mode: NormMode = NormMode.MEAN_STD_NORM

    def build(self, compat: Compat) -> GrpoAdvantage:
        """The estimator."""
        return GrpoAdvantage(episode_term=EpisodeTerm.under(compat, self.mode))
