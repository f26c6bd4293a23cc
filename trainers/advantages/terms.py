"""The two terms that estimators are made of: whole episodes compared, and steps compared.

Shape letters: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trainers.advantages.rows import AdvantageTerms, EstimatorRow, first_rows, group_codes
from trainers.choices import Compat
from trainers.clusters import Codes
from trainers.normalisation import NormMode, normalise
from trainers.returns import Floats


class Statistics(StrEnum):
    """What the mean and deviation of episode values are taken over."""

    EPISODES = "episodes"
    """One value per episode."""
    ROWS = "rows"
    """One value per row: long episodes weigh more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTerm:
    """Compares whole episodes with their siblings.

    Attributes:
        mode, eps: see `normalise`.
        statistics: what mean and deviation are taken over.
        raw_singletons: see `normalise`.

    Source: GRPO, arXiv:2402.03300; GiGPO, arXiv:2505.10978, equation 3.
    """

    mode: NormMode = NormMode.MEAN_STD_NORM
    eps: float = 1e-6
    statistics: Statistics = Statistics.EPISODES
    raw_singletons: bool = False

    @classmethod
    def under(cls, compat: Compat, mode: NormMode) -> EpisodeTerm:
        """The term of the papers, or that of the releases of UI-S1, GiGPO and SRGPO."""
        if compat is Compat.RELEASE:
            return cls(mode=mode, statistics=Statistics.ROWS, raw_singletons=True)
        return cls(mode=mode)

    def of(self, rows: Sequence[EstimatorRow], values_N: Floats) -> Floats:
        """The term of each row; `values_N` are the rows' episode values."""
        return normalise(
            values_N,
            group_codes(rows),
            mode=self.mode,
            eps=self.eps,
            counted_N=first_rows(rows) if self.statistics is Statistics.EPISODES else None,
            raw_singletons=self.raw_singletons,
        )


PAPER_TERM: Final = EpisodeTerm()


def two_terms(
    episode_N: Floats,
    step_values_N: Floats,
    step_clusters_N: Codes,
    *,
    like: EpisodeTerm,
    episode_weight: float = 1.0,
    step_weight: float,
) -> AdvantageTerms:
    """The weighted sum of an episode term and of step values, which are compared in the same way."""
    step_N = normalise(step_values_N, step_clusters_N, mode=like.mode, eps=like.eps)
    return AdvantageTerms(
        combined=episode_weight * episode_N + step_weight * step_N,
        episode=episode_N,
        step=step_N,
        step_value=step_values_N,
        step_clusters=step_clusters_N,
    )
