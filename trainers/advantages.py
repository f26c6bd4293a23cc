"""Advantage estimators: rewards of sibling episodes become one number per row.

Vocabulary: a *row* is one completion, that is one step of one episode in one role; a *group* holds
sibling episodes of one task or expert trajectory; a *cluster* holds the rows whose values are compared
to each other, see `trainers.normalisation`. Names of estimators: `trainers.algorithms`.

Shape letters: N rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gui_agent.errors import ConfigError
from gui_agent.policy import AgentRole
from trainers.normalisation import Codes, NormMode, cluster_codes, normalise
from trainers.returns import Floats, discounted_returns


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorRow:
    """What an estimator may know of a completion.

    Attributes:
        group_id: equal for siblings.
        episode_id: of the episode.
        step: time within the episode.
        reward: of this step.
        episode_reward: of the whole episode; the same for all its rows.
        matched: the agent's action was the expert's; True where there is no expert.
        state_key: equal for equal states; None if unknown, which is equal to nothing.
        role: part of the agent; roles are never compared to each other.
    """

    group_id: str
    episode_id: str
    step: int
    reward: float
    episode_reward: float = 0.0
    matched: bool = True
    state_key: str | None = None
    role: AgentRole = AgentRole.ACTOR


class Rng(Protocol):
    """The one thing that estimators draw: numpy's Generator has it, and RandomState."""

    def permutation(self, x: int, /) -> npt.NDArray[Any]:
        """The numbers below `x` in random order."""
        ...


class AdvantageEstimator(Protocol):
    """One advantage per row, in the order of the rows; a pure function of rows and generator."""

    def __call__(self, rows: Sequence[EstimatorRow], rng: Rng) -> list[float]:
        """Estimate."""
        ...


class Statistics(StrEnum):
    """What the mean and deviation of episode values are taken over."""

    EPISODES = "episodes"
    """One value per episode."""
    ROWS = "rows"
    """One value per row: long episodes weigh more."""


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
class AdvantageTerms:
    """An advantage and what it is made of, each of shape (N,)."""

    combined: Floats
    episode: Floats
    step: Floats
    step_value: Floats
    """What the step term compared: a return or a reward."""
    step_clusters: Codes
    """Numbers of the step clusters, in order of first appearance."""


def _group_keys(rows: Sequence[EstimatorRow]) -> list[Hashable]:
    return [(row.group_id, row.role) for row in rows]


def _rollout_keys(rows: Sequence[EstimatorRow]) -> list[Hashable]:
    return [(row.group_id, row.episode_id, row.role) for row in rows]


def _rewards(rows: Sequence[EstimatorRow]) -> Floats:
    return np.array([row.reward for row in rows], dtype=np.float64)


def _episode_rewards(rows: Sequence[EstimatorRow]) -> Floats:
    return np.array([row.episode_reward for row in rows], dtype=np.float64)


def _returns(rows: Sequence[EstimatorRow], gamma: float, *, cut: bool, includes_mismatch: bool) -> Floats:
    return discounted_returns(
        _rewards(rows),
        [row.matched or not cut for row in rows],
        _rollout_keys(rows),
        [row.step for row in rows],
        gamma=gamma,
        cut_includes_mismatch=includes_mismatch,
    )


def _first_rows(rows: Sequence[EstimatorRow]) -> npt.NDArray[np.bool_]:
    """True at the earliest row of each rollout."""
    keys = _rollout_keys(rows)
    first: dict[Hashable, int] = {}
    for index, (key, row) in enumerate(zip(keys, rows, strict=True)):
        if key not in first or row.step < rows[first[key]].step:
            first[key] = index
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[list(first.values())] = True
    return chosen


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

    def of(self, rows: Sequence[EstimatorRow], values_N: Floats) -> Floats:
        """The term of each row; `values_N` are the rows' episode values."""
        return normalise(
            values_N,
            cluster_codes(_group_keys(rows)),
            mode=self.mode,
            eps=self.eps,
            counted_N=_first_rows(rows) if self.statistics is Statistics.EPISODES else None,
            raw_singletons=self.raw_singletons,
        )


def _two_terms(
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


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoAdvantage:
    """A = (R - mean) / (std + eps) over the episodes of a group, for every row of an episode.

    Source: DeepSeekMath, arXiv:2402.03300, section 4.1.2 (outcome supervision).
    """

    episode_term: EpisodeTerm = EpisodeTerm()

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage and its parts; there is no step term."""
        episode = self.episode_term.of(rows, _episode_rewards(rows))
        nothing = np.zeros(len(rows))
        return AdvantageTerms(
            combined=episode,
            episode=episode,
            step=nothing,
            step_value=nothing,
            step_clusters=np.arange(len(rows)),
        )

    def __call__(self, rows: Sequence[EstimatorRow], rng: Rng) -> list[float]:
        """One advantage per row."""
        return [float(value) for value in self.terms(rows, rng).combined]


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1Advantage:
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
    episode_term: EpisodeTerm = EpisodeTerm()
    cut_includes_mismatch: bool = True

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage and its parts."""
        returns = _returns(rows, self.gamma, cut=True, includes_mismatch=self.cut_includes_mismatch)
        return _two_terms(
            self.episode_term.of(rows, self._episode_values(rows, returns)),
            returns,
            cluster_codes([(row.group_id, row.role, row.step) for row in rows]),
            like=self.episode_term,
            episode_weight=self.episode_weight,
            step_weight=self.step_weight,
        )

    def __call__(self, rows: Sequence[EstimatorRow], rng: Rng) -> list[float]:
        """One advantage per row."""
        return [float(value) for value in self.terms(rows, rng).combined]

    def _episode_values(self, rows: Sequence[EstimatorRow], returns: Floats) -> Floats:
        rewards, keys = _rewards(rows), _rollout_keys(rows)
        if self.episode_return is EpisodeReturn.ROW:
            return rewards
        values: dict[Hashable, float] = {}
        for index in sorted(range(len(rows)), key=lambda index: rows[index].step):
            key = keys[index]
            match self.episode_return:
                case EpisodeReturn.FINAL:
                    values[key] = rewards[index]
                case EpisodeReturn.FIRST:
                    values.setdefault(key, returns[index])
                case EpisodeReturn.SUM:
                    values[key] = values.get(key, 0.0) + rewards[index]
        return np.array([values[key] for key in keys], dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class GigpoAdvantage:
    """A = A_episode + omega * A_step, the step term over equal states of siblings, whatever the step.

    Attributes:
        gamma: discount of the step returns, which run to the end of the episode.
        step_weight: omega.
        similarity: None compares state keys exactly; a threshold in (0, 1) joins a state to the first
            cluster whose first member is at least that similar as text (difflib's ratio; the result
            depends on the order of rows, and the cost is the number of states times clusters). For worlds
            whose state keys are text: those of phone and browser are hashes, of which none are similar.
        episode_term: how episodes are compared.

    Source: GiGPO, arXiv:2505.10978, equations 3 to 9 (reference vectors `gigpo`).
    """

    gamma: float = 0.95
    step_weight: float = 1.0
    similarity: float | None = None
    episode_term: EpisodeTerm = EpisodeTerm()

    def __post_init__(self) -> None:
        if self.similarity is not None and not 0 < self.similarity < 1:
            raise ConfigError(f"similarity is {self.similarity}; expected a threshold in (0, 1), or None")

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage and its parts."""
        returns = _returns(rows, self.gamma, cut=False, includes_mismatch=True)
        return _two_terms(
            self.episode_term.of(rows, _episode_rewards(rows)),
            returns,
            anchor_clusters(rows, self.similarity),
            like=self.episode_term,
            step_weight=self.step_weight,
        )

    def __call__(self, rows: Sequence[EstimatorRow], rng: Rng) -> list[float]:
        """One advantage per row."""
        return [float(value) for value in self.terms(rows, rng).combined]


def anchor_clusters(rows: Sequence[EstimatorRow], similarity: float | None = None) -> Codes:
    """Rows of siblings that were in the same, or a similar, state; see `GigpoAdvantage`."""
    labels: list[Hashable] = []
    leaders: dict[Hashable, list[str]] = {}
    for index, row in enumerate(rows):
        group = (row.group_id, row.role)
        if row.state_key is None:
            labels.append(index)
        elif similarity is None:
            labels.append((group, row.state_key))
        else:
            known = leaders.setdefault(group, [])
            labels.append((group, _leader(row.state_key, known, similarity)))
    return cluster_codes(labels)


def _leader(state: str, known: list[str], threshold: float) -> int:
    for index, leader in enumerate(known):
        if are_similar(state, leader, threshold):
            return index
    known.append(state)
    return len(known) - 1


def are_similar(text: str, other: str, threshold: float) -> bool:
    """Whether difflib's ratio of two texts reaches the threshold."""
    if text == other:
        return True
    matcher = difflib.SequenceMatcher(None, text, other)
    # The quick ratios are upper bounds.
    return (
        matcher.real_quick_ratio() >= threshold
        and matcher.quick_ratio() >= threshold
        and matcher.ratio() >= threshold
    )


class DrawWithin(StrEnum):
    """Whose rows SRGPO may put into one random cluster."""

    BATCH = "batch"
    GROUP = "group"
    EPISODE = "episode"


@dataclass(frozen=True, slots=True, kw_only=True)
class SrgpoAdvantage:
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
    episode_term: EpisodeTerm = EpisodeTerm()

    def __post_init__(self) -> None:
        if self.cluster_size == 0 or self.cluster_size < -1:
            raise ConfigError(f"cluster_size is {self.cluster_size}; expected 1 or more, or -1 for all rows")

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage and its parts."""
        return _two_terms(
            self.episode_term.of(rows, _episode_rewards(rows)),
            _rewards(rows),
            self.draw(rows, rng),
            like=self.episode_term,
            step_weight=self.step_weight,
        )

    def __call__(self, rows: Sequence[EstimatorRow], rng: Rng) -> list[float]:
        """One advantage per row."""
        return [float(value) for value in self.terms(rows, rng).combined]

    def draw(self, rows: Sequence[EstimatorRow], rng: Rng) -> Codes:
        """Random clusters: every row is in exactly one."""
        pools: dict[Hashable, list[int]] = {}
        for index, row in enumerate(rows):
            pools.setdefault(self._pool(row), []).append(index)
        labels: list[Hashable] = [None] * len(rows)
        for number, pool in enumerate(pools.values()):
            size = len(pool) if self.cluster_size == -1 else self.cluster_size
            for position, chosen in enumerate(rng.permutation(len(pool))):
                labels[pool[chosen]] = (number, position // size)
        return cluster_codes(labels)

    def _pool(self, row: EstimatorRow) -> Hashable:
        match self.within:
            case DrawWithin.BATCH:
                return row.role
            case DrawWithin.GROUP:
                return row.role, row.group_id
            case DrawWithin.EPISODE:
                return row.role, row.group_id, row.episode_id
