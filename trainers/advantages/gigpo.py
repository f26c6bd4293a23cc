"""GiGPO: whole episodes compared, and returns in equal states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gui_agent.errors import ConfigError
from trainers.advantages.anchors import AnchorOptions
from trainers.advantages.rows import (
    AdvantageTerms,
    EstimatorRow,
    HasTerms,
    Rng,
    episode_rewards,
    step_returns,
)
from trainers.advantages.states import SameState, anchor_clusters
from trainers.advantages.terms import PAPER_TERM, EpisodeTerm, two_terms
from trainers.choices import Compat
from trainers.normalisation import NormMode


@dataclass(frozen=True, slots=True, kw_only=True)
class GigpoAdvantage(HasTerms):
    """A = A_episode + omega * A_step, the step term over equal states of siblings, whatever the step.

    Attributes:
        gamma: discount of the step returns, which run to the end of the episode.
        step_weight: omega.
        same: joins states whose keys are not equal, see `StateClusters`; None compares keys exactly.
        episode_term: how episodes are compared.

    Source: GiGPO, arXiv:2505.10978, equations 3 to 9 (reference vectors `gigpo`).
    """

    gamma: float = 0.95
    step_weight: float = 1.0
    same: SameState | None = None
    episode_term: EpisodeTerm = PAPER_TERM

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage and its parts."""
        return two_terms(
            self.episode_term.of(rows, episode_rewards(rows)),
            step_returns(rows, self.gamma, cut=False),
            anchor_clusters(rows, self.same),
            like=self.episode_term,
            step_weight=self.step_weight,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GigpoOptions(AnchorOptions):
    """Options of `gigpo`, beside those of `AnchorOptions`.

    Attributes:
        gamma: discount of the returns of steps, in [0, 1].
        step_weight: omega, the weight of the step term beside the episode term.
        mode: mean_std_norm divides by the deviation within each cluster, mean_norm does not.
    """

    gamma: float = 0.95
    step_weight: float = 1.0
    mode: NormMode = NormMode.MEAN_STD_NORM

    def __post_init__(self) -> None:
        AnchorOptions.__post_init__(self)
        if not 0 <= self.gamma <= 1:
            raise ConfigError(f"gamma is {self.gamma}; expected a discount in [0, 1]")

    def build(self, compat: Compat) -> GigpoAdvantage:
        """The estimator."""
        return GigpoAdvantage(
            gamma=self.gamma,
            step_weight=self.step_weight,
            same=self.same,
            episode_term=EpisodeTerm.under(compat, self.mode),
        )
