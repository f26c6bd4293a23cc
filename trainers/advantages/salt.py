"""SALT: steps that several trajectories of a group share get the mean of what those deserve.

The trajectories of a group form a graph: nodes are states, edges are steps. An edge that several
trajectories pass is merged; where they diverge, each keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from gui_agent.errors import ConfigError
from trainers.advantages.anchors import AnchorOptions
from trainers.advantages.grpo import GrpoAdvantage
from trainers.advantages.rloo import RlooAdvantage
from trainers.advantages.rows import (
    AdvantageTerms,
    EstimatorRow,
    HasTerms,
    Rng,
    group_codes,
    rollout_codes,
    step_numbers,
    with_silent_steps,
)
from trainers.advantages.states import SameState, alone_where, state_codes
from trainers.advantages.terms import EpisodeTerm
from trainers.choices import Compat
from trainers.clusters import Codes, cluster_codes, time_order
from trainers.normalisation import NormMode
from trainers.returns import Floats

_GRPO: Final = GrpoAdvantage()


@dataclass(frozen=True, slots=True, kw_only=True)
class SaltAdvantage(HasTerms):
    """The mean of the trajectory advantages over all trajectories that made the same step.

    Two steps are the same if they agree in the state, the action, the state that followed, and the
    `history` states before. A step whose state, action or successor is unknown is the same as none.
    A trajectory that makes a step twice counts once.

    Attributes:
        history: states before the present one that must agree too; -1 compares all of them.
        trajectory: the advantages of whole trajectories, which are shared out.
        same: joins states whose keys are not equal, see `StateClusters`; None compares keys exactly.

    Source: SALT, arXiv:2510.20022. Its abstract and summaries were read, not its equations: that each
    trajectory counts once, that unknown ends never merge, and the default of `history` are ours.
    """

    history: int = 3
    trajectory: HasTerms = _GRPO
    same: SameState | None = None

    def __post_init__(self) -> None:
        if self.history < -1:
            raise ConfigError(f"history is {self.history}; expected 0 or more states, or -1 for all")

    def terms(self, rows: Sequence[EstimatorRow], rng: Rng) -> AdvantageTerms:
        """The advantage; the step term is what sharing changed, a cluster is an edge of the graph."""
        own = self.trajectory.terms(rows, rng).combined
        edges = self.edges(rows)
        shared = _mean_over_rollouts(own, edges, rollout_codes(rows))
        return AdvantageTerms(
            combined=shared, episode=own, step=shared - own, step_value=own, step_clusters=edges
        )

    def edges(self, rows: Sequence[EstimatorRow]) -> Codes:
        """Numbers of the edges of the graph, shape (N,), in order of first appearance."""
        every = with_silent_steps(rows)
        groups = group_codes(every)
        both = state_codes(
            np.concatenate([groups, groups]),
            [*(row.state_key for row in every), *(row.next_state_key for row in every)],
            self.same,
        )
        states, after = both[: len(every)], both[len(every) :]
        past = self._past(every, states)
        edges = cluster_codes(groups, states, [row.action_key for row in every], after, *past)
        unknown = np.array([row.action_key is None for row in every], dtype=bool)
        for column in (states, after, *past):
            unknown |= column == -1
        return cluster_codes(alone_where(unknown, edges)[: len(rows)])

    def _past(self, rows: Sequence[EstimatorRow], states_N: Codes) -> list[Codes]:
        """The state 1, 2, … up to `history` steps before each row; -2 before the rollout began."""
        order = time_order(rollout_codes(rows), step_numbers(rows))
        ages = order.places
        longest = int(ages.max()) if len(rows) else 0
        reach = longest if self.history == -1 else min(self.history, longest)
        past = []
        for back in range(1, reach + 1):
            column = np.full(len(rows), -2)
            old = np.flatnonzero(ages >= back)
            column[order.rows[old]] = states_N[order.rows[old - back]]
            past.append(column)
        return past


def _mean_over_rollouts(values_N: Floats, edges_N: Codes, rollouts_N: Codes) -> Floats:
    """For each row the mean over the rollouts that pass its edge, each rollout once."""
    if not len(values_N):
        return values_N
    _, once = np.unique(edges_N * (int(rollouts_N.max()) + 1) + rollouts_N, return_index=True)
    passing = np.bincount(edges_N[once])
    mean: Floats = np.bincount(edges_N[once], values_N[once]) / passing
    return mean[edges_N]


class TrajectoryAdvantage(StrEnum):
    """How SALT judges whole trajectories."""

    GRPO = "grpo"
    RLOO = "rloo"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaltOptions(AnchorOptions):
    """Options of `salt`, beside those of `AnchorOptions`.

    Attributes:
        history: states before the present one that must agree for two steps to be the same; -1 is all.
        trajectory: how whole trajectories are judged before their common steps share: grpo or rloo.
        mode: of grpo: mean_std_norm divides by the deviation over the group, mean_norm does not.
    """

    history: int = 3
    trajectory: TrajectoryAdvantage = TrajectoryAdvantage.GRPO
    mode: NormMode = NormMode.MEAN_STD_NORM

    def __post_init__(self) -> None:
        AnchorOptions.__post_init__(self)
        self.build(Compat.PAPER)  # refuses an impossible history

    def build(self, compat: Compat) -> SaltAdvantage:
        """The estimator."""
        grpo = GrpoAdvantage(episode_term=EpisodeTerm.under(compat, self.mode))
        by_rloo = self.trajectory is TrajectoryAdvantage.RLOO
        return SaltAdvantage(
            history=self.history, trajectory=RlooAdvantage() if by_rloo else grpo, same=self.same
        )
