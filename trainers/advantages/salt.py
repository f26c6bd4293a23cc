"""SALT: steps that several trajectories of a group share get the mean of what those deserve.

The trajectories of a group form a graph: nodes are states, edges are steps. An edge that several
trajectories pass is merged; where they diverge, each keeps its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from gui_agent.errors import ConfigError
from trainers.advantages.anchors import AnchorOptions
from trainers.advantages.grpo import GrpoAdvantage
from trainers.advantages.rloo import RlooAdvantage
from trainers.advantages.rows import AdvantageTerms, EstimatorRow, HasTerms, Rng, rollout_codes
from trainers.advantages.states import SameState, StateClusters
from trainers.advantages.terms import EpisodeTerm
from trainers.clusters import Codes, cluster_codes
from trainers.config import Compat
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
        groups: dict[Hashable, StateClusters] = {}
        before: dict[Hashable, deque[str | None]] = {}
        labels: list[Hashable] = [None] * len(rows)
        for index in sorted(range(len(rows)), key=lambda index: rows[index].step):
            row = rows[index]
            group = (row.group_id, row.role)
            states = groups.get(group) or groups.setdefault(group, StateClusters.empty(self.same))
            past = before.setdefault((group, row.episode_id), self._no_past())
            state = None if row.state_key is None else states.name_of(row.state_key)
            after = None if row.next_state_key is None else states.name_of(row.next_state_key)
            known = None not in (state, row.action_key, after) and None not in past
            labels[index] = (group, tuple(past), state, row.action_key, after) if known else index
            past.append(state)
        return cluster_codes(labels)

    def _no_past(self) -> deque[str | None]:
        return deque(maxlen=None if self.history == -1 else self.history)


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
