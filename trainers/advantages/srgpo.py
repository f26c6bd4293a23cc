"""SRGPO: whole episodes compared, and step rewards in random clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gui_agent.errors import ConfigError
from trainers.advantages.rows import (
    AdvantageTerms,
    EstimatorRow,
    HasTerms,
    Rng,
    episode_rewards,
    group_codes,
    role_codes,
    rollout_codes,
    step_rewards,
)
from trainers.advantages.terms import PAPER_TERM, EpisodeTerm, two_terms
from trainers.choices import Compat
from trainers.clusters import Codes, cluster_codes
from trainers.normalisation import NormMode


class DrawWithin(StrEnum):
    """Whose rows SRGPO may put into one random cluster."""

    BATCH = "batch"
    GROUP = "group"
    EPISODE = "episode"


@dataclass(frozen=True, slots=True, kw_only=True)
class SrgpoAdvantage(HasTerms):
    """A = A_episode + omega * A_step, the step term over random clusters of rows, undiscounted.

    Attributes:
        cluster_size: rows per cluster, the last one may be smaller; -1 puts all into one.
        step_weight: omega.
        within: whose rows may meet.
        episode_term: how episodes are compared.

    Needs step rewards that can be compared across states and tasks.

    Source: SRGPO (SeeNav-Agent), as released (reference vectors `srgpo`); its `sample_within_task`,
    which has no effect there, works here.
    """

    cluster_size: int = 16
    step_weight: float = 0.5
    within: DrawWithin = DrawWithin.BATCH
    episode_term: EpisodeTerm = PAPER_TERM

    def __post_init__(self) -> None:
        if self.cluster_size == 0 or self.cluster_size < -1:
            raise ConfigError(f"cluster_size is {self.cluster_size}; expected 1 or more, or -1 for all rows")

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage and its parts."""
        return two_terms(
            self.episode_term.of(rows, episode_rewards(rows)),
            step_rewards(rows),
            self.draw(rows, rng),
            like=self.episode_term,
            step_weight=self.step_weight,
        )

    def draw(self, rows: Sequence[EstimatorRow], rng: Rng) -> Codes:
        """Random clusters: every row is in exactly one."""
        pools = self._pools(rows)
        by_pool = np.argsort(pools, kind="stable")
        clusters, used = np.zeros(len(rows), dtype=np.int64), 0
        for pool in np.split(by_pool, np.cumsum(np.bincount(pools))[:-1]) if len(rows) else []:
            size = len(pool) if self.cluster_size == -1 else self.cluster_size
            clusters[pool[rng.permutation(len(pool))]] = used + np.arange(len(pool)) // size
            used += -(-len(pool) // size)
        return cluster_codes(clusters)

    def _pools(self, rows: Sequence[EstimatorRow]) -> Codes:
        match self.within:
            case DrawWithin.BATCH:
                return role_codes(rows)
            case DrawWithin.GROUP:
                return group_codes(rows)
            case DrawWithin.EPISODE:
                return rollout_codes(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class SrgpoOptions:
    """Options of `srgpo`.

    Attributes:
        cluster_size: rows per random cluster; the last one may be smaller, and -1 puts all into one.
        within: whose rows may meet in a cluster: those of the batch, of one group or of one episode.
        step_weight: omega, the weight of the step term beside the episode term.
        mode: mean_std_norm divides by the deviation within each cluster, mean_norm does not.
    """

    cluster_size: int = 16
    within: DrawWithin = DrawWithin.BATCH
    step_weight: float = 0.5
    mode: NormMode = NormMode.MEAN_STD_NORM

    def __post_init__(self) -> None:
        self.build(Compat.PAPER)  # refuses an impossible size
        if self.cluster_size == 1:
            raise ConfigError(
                "cluster_size is 1, so that no step is compared with another; expected 2 or more (the paper "
                "has 16), -1 for all rows, or the algorithm grpo, which has no step term"
            )

    def build(self, compat: Compat) -> SrgpoAdvantage:
        """The estimator."""
        return SrgpoAdvantage(
            cluster_size=self.cluster_size,
            step_weight=self.step_weight,
            within=self.within,
            episode_term=EpisodeTerm.under(compat, self.mode),
        )
