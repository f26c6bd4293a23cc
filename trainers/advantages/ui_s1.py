"""UI-S1: the ends of rollouts compared, and returns at equal steps of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from gui_agent.errors import ConfigError
from trainers.advantages.rows import (
    AdvantageTerms,
    EstimatorRow,
    HasTerms,
    Rng,
    group_codes,
    rollout_codes,
    step_numbers,
    step_returns,
    step_rewards,
    with_silent_steps,
)
from trainers.advantages.terms import PAPER_TERM, EpisodeTerm, Statistics, two_terms
from trainers.choices import Compat
from trainers.clusters import cluster_codes, time_order
from trainers.normalisation import NormMode
from trainers.returns import Floats


class EpisodeReturn(StrEnum):
    """What UI-S1's episode advantage compares."""

    FINAL = "final"
    """The reward of the last step, as the paper's text says."""
    FIRST = "first"
    """The return of the first step."""
    SUM = "sum"
    """All rewards, without discount."""
    ROW = "row"
    """The reward of the row itself, as the release does; not an episode value at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1Advantage(HasTerms):
    """A = A_episode + omega * A_step, the step term over equal steps of siblings.

    Attributes:
        gamma: discount of the step returns.
        step_weight: omega.
        episode_weight: 0 leaves the episode term out.
        episode_return: what the episode term compares.
        episode_term: how it compares it.
        cut_includes_mismatch: see `discounted_returns`.

    Source: UI-S1, arXiv:2509.11543, equations 9 to 12 (reference vectors `uis1_advantage`).
    """

    gamma: float = 0.5
    step_weight: float = 1.0
    episode_weight: float = 1.0
    episode_return: EpisodeReturn = EpisodeReturn.FINAL
    episode_term: EpisodeTerm = PAPER_TERM
    cut_includes_mismatch: bool = True

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage and its parts."""
        every = with_silent_steps(rows)
        returns = step_returns(every, self.gamma, cut=True, includes_mismatch=self.cut_includes_mismatch)
        episodes = self._episode_values(every, returns)
        return two_terms(
            self.episode_term.of(rows, episodes[: len(rows)]),
            returns[: len(rows)],
            cluster_codes(group_codes(rows), step_numbers(rows)),
            like=self.episode_term,
            episode_weight=self.episode_weight,
            step_weight=self.step_weight,
        )

    def _episode_values(self, rows: Sequence[EstimatorRow], returns: Floats) -> Floats:
        rewards, rollouts = step_rewards(rows), rollout_codes(rows)
        order = time_order(rollouts, step_numbers(rows))
        of_rollouts: Floats
        match self.episode_return:
            case EpisodeReturn.ROW:
                return rewards
            case EpisodeReturn.FINAL:
                of_rollouts = rewards[order.rows[order.lasts]]
            case EpisodeReturn.FIRST:
                of_rollouts = returns[order.rows[order.starts]]
            case EpisodeReturn.SUM:
                of_rollouts = np.bincount(rollouts, rewards).astype(np.float64)
        return of_rollouts[rollouts]


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1Options:
    """Options of `ui_s1`.

    Attributes:
        gamma: discount of the returns of steps, in [0, 1].
        step_weight: omega, the weight of the step term beside the episode term.
        mode: mean_std_norm divides by the deviation within each cluster, mean_norm does not.
        episode_return: what the episode term compares; none takes the last reward, or with
            compat=release the reward of each row.
    """

    gamma: float = 0.5
    step_weight: float = 1.0
    mode: NormMode = NormMode.MEAN_STD_NORM
    episode_return: EpisodeReturn | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise ConfigError(f"gamma is {self.gamma}; expected a discount in [0, 1]")

    def build(self, compat: Compat) -> UiS1Advantage:
        """The estimator."""
        release = compat is Compat.RELEASE
        compared = self.episode_return or (EpisodeReturn.ROW if release else EpisodeReturn.FINAL)
        term = EpisodeTerm.under(compat, self.mode)
        if compared is EpisodeReturn.ROW:  # every row has a value of its own, which must count
            term = replace(term, statistics=Statistics.ROWS)
        return UiS1Advantage(
            gamma=self.gamma,
            step_weight=self.step_weight,
            episode_return=compared,
            episode_term=term,
            cut_includes_mismatch=not release,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1OfflineOptions:
    """Options of `ui_s1_offline`.

    Attributes:
        mode: mean_std_norm divides by the deviation over the siblings at a step, mean_norm does not.
    """

    mode: NormMode = NormMode.MEAN_STD_NORM

    def build(self, compat: Compat) -> UiS1Advantage:
        """The reward of a step among siblings at the same step: no returns, no episode term."""
        term = EpisodeTerm.under(compat, self.mode)
        return UiS1Advantage(gamma=0.0, episode_weight=0.0, episode_term=term)
