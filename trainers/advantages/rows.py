"""What estimators are given and what they give back.

Shape letters: N rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gui_agent.errors import DataError
from gui_agent.policy import AgentRole
from trainers.clusters import Codes, cluster_codes, time_order
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
        action_key: equal for equal actions; None if unknown.
        next_state_key: of the state that the step led to; None if unknown.
        role: part of the agent; roles are never compared to each other.
    """

    group_id: str
    episode_id: str
    step: int
    reward: float
    episode_reward: float = 0.0
    matched: bool = True
    state_key: str | None = None
    action_key: str | None = None
    next_state_key: str | None = None
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

    @classmethod
    def of_episodes(cls, episode_N: Floats) -> AdvantageTerms:
        """Without a step term: every row has what its episode has."""
        nothing = np.zeros(len(episode_N))
        return cls(
            combined=episode_N,
            episode=episode_N,
            step=nothing,
            step_value=nothing,
            step_clusters=np.arange(len(episode_N)),
        )


class HasTerms(ABC):
    """An estimator that can say what its advantages are made of."""

    __slots__ = ()

    @abstractmethod
    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantages and their parts."""

    def __call__(self, rows: Sequence[EstimatorRow], rng: Rng) -> list[float]:
        """One advantage per row."""
        found: list[float] = self.terms(rows, rng).combined.tolist()
        return found


def group_codes(rows: Sequence[EstimatorRow]) -> Codes:
    """Equal for rows of siblings in one role, shape (N,)."""
    return cluster_codes([row.group_id for row in rows], role_codes(rows))


def rollout_codes(rows: Sequence[EstimatorRow]) -> Codes:
    """Equal for rows of one episode in one role, shape (N,)."""
    return cluster_codes(group_codes(rows), [row.episode_id for row in rows])


def role_codes(rows: Sequence[EstimatorRow]) -> Codes:
    """Equal for rows of one role, shape (N,)."""
    return cluster_codes([row.role for row in rows])


def with_silent_steps(rows: Sequence[EstimatorRow]) -> Sequence[EstimatorRow]:
    """The rows, and behind them a stand-in for each step at which a role did not speak, but another did.

    Where a planner writes no usable subgoal, no actor is asked. The step is one of the episode all the same:
    returns of the actor's earlier steps count its reward, and end there if it is a mismatch.
    """
    if len({row.role for row in rows}) < 2:
        return rows
    episodes: dict[tuple[str, str], dict[AgentRole, dict[int, EstimatorRow]]] = {}
    for row in rows:
        roles = episodes.setdefault((row.group_id, row.episode_id), {})
        roles.setdefault(row.role, {})[row.step] = row
    silent = []
    for roles in episodes.values():
        steps = {step: row for spoken in roles.values() for step, row in spoken.items()}
        silent += [
            replace(steps[step], role=role)
            for role, spoken in roles.items()
            for step in sorted(steps.keys() - spoken.keys())
        ]
    return [*rows, *silent] if silent else rows


def step_numbers(rows: Sequence[EstimatorRow]) -> Codes:
    """Time within the episode, shape (N,)."""
    return np.array([row.step for row in rows], dtype=np.int64)


def step_rewards(rows: Sequence[EstimatorRow]) -> Floats:
    """Immediate rewards, shape (N,)."""
    return _finite("reward", rows, np.array([row.reward for row in rows], dtype=np.float64))


def episode_rewards(rows: Sequence[EstimatorRow]) -> Floats:
    """The reward of each row's episode, shape (N,)."""
    return _finite("episode_reward", rows, np.array([row.episode_reward for row in rows], dtype=np.float64))


def _finite(name: str, rows: Sequence[EstimatorRow], values_N: Floats) -> Floats:
    """The values; one that is missing or not finite would spoil its whole cluster.

    Raises:
        DataError: there is such a value.
    """
    wrong = np.flatnonzero(~np.isfinite(values_N))
    if len(wrong):
        row = rows[int(wrong[0])]
        raise DataError(
            f"trajectory {row.episode_id!r} of group {row.group_id!r}, step {row.step}: {name} is "
            f"{values_N[wrong[0]]}; expected a finite number: correct the reward, or leave the group out"
        )
    return values_N


def step_returns(
    rows: Sequence[EstimatorRow], gamma: float, *, cut: bool, includes_mismatch: bool = True
) -> Floats:
    """Discounted returns over all steps of an episode, shape (N,); see `discounted_returns`.

    Args:
        rows: of whole episodes; a role need not have spoken at every step.
        gamma: discount.
        cut: end a return with the first mismatch; without, it runs to the end of the episode.
        includes_mismatch: count the reward of that mismatch.
    """
    every = with_silent_steps(rows)
    return discounted_returns(
        step_rewards(every),
        [row.matched or not cut for row in every],
        rollout_codes(every),
        step_numbers(every),
        gamma=gamma,
        cut_includes_mismatch=includes_mismatch,
    )[: len(rows)]


def first_rows(rows: Sequence[EstimatorRow]) -> npt.NDArray[np.bool_]:
    """True at the earliest row of each rollout, shape (N,): one row per episode and role."""
    order = time_order(rollout_codes(rows), step_numbers(rows))
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[order.rows[order.starts]] = True
    return chosen
