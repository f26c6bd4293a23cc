"""RAPO: what a training remembers of its tasks, so that groups without a signal cost less or give one.

Three measures, each on its own:

* pruning: a task whose latest group was solved by `max_solve_rate` of its episodes is left out from the
  next epoch on;
* success replay: in a group that failed as a whole, one episode at random gives its place to the latest
  success of the same task;
* scaling: the advantages of groups that teach something are multiplied by all groups / such groups.

The first two need a memory, `Rapo`: a solve rate and an episode id per task. Episodes themselves stay in
the store of the run. Nothing here draws from a generator that moves: which place a replay takes is a
function of seed and group, so that a resumed run needs the memory alone.

Source: Fathom-DeepResearch, arXiv:2509.24107 (reward-aware policy optimisation), which adds the three to
GRPO with a solve rate of 0.9 and calls an episode solved if its reward is above 0.5.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from trainers.rl_config import RLConfig
from trainers.sources import Group
from trajectories.records import EpisodeRecord

ReadEpisode = Callable[[str], EpisodeRecord]


class Rapo:
    """The memory of one training: solve rates and latest successes, by task."""

    def __init__(
        self, *, max_solve_rate: float | None = None, replay_successes: bool = False, seed: int = 0
    ) -> None:
        """Remember nothing yet.

        Args:
            max_solve_rate: tasks solved by at least this share of their latest group are pruned; None
                prunes none.
            replay_successes: put stored successes into groups that failed.
            seed: of the places that they take.
        """
        self._max_solve_rate = max_solve_rate
        self._replay_successes = replay_successes
        self._seed = seed
        self._solve_rates: dict[str, float] = {}
        self._successes: dict[str, str] = {}

    @classmethod
    def of(cls, config: RLConfig) -> Self | None:
        """The memory that a training asks for; None where it needs none."""
        if config.max_solve_rate is None and not config.replay_successes:
            return None
        return cls(
            max_solve_rate=config.max_solve_rate,
            replay_successes=config.replay_successes,
            seed=config.seed,
        )

    @property
    def pruned(self) -> frozenset[str]:
        """Tasks that the next epoch is to leave out."""
        limit = self._max_solve_rate
        if limit is None:
            return frozenset()
        return frozenset(task for task, rate in self._solve_rates.items() if rate >= limit)

    @property
    def state(self) -> dict[str, Any]:
        """All that is remembered, JSON-ready: `solve_rates` and `successes` (episode ids) by task."""
        return {"solve_rates": dict(self._solve_rates), "successes": dict(self._successes)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; an empty one, of a run that remembered nothing, forgets all."""
        self._solve_rates = dict(state.get("solve_rates", {}))
        self._successes = dict(state.get("successes", {}))

    def take(self, group: Group, solved: Sequence[bool], read: ReadEpisode) -> Group:
        """Remember a group as it was sampled, and say what to learn from.

        Args:
            group: the siblings.
            solved: which of them solved the task.
            read: fetches a stored episode of this run with its pictures.

        Returns:
            The same group; or, if all failed and the task was solved before, one in which the latest
            success stands in place of one sibling.
        """
        self._solve_rates[group.task] = sum(solved) / len(solved)
        if any(solved):
            latest = max(place for place, success in enumerate(solved) if success)
            self._successes[group.task] = group.records[latest].trajectory.episode_id
            return group
        if not self._replay_successes or group.task not in self._successes:
            return group
        place = random.Random(f"{self._seed}/{group.group_id}").randrange(len(group.records))
        return with_replay(group, place, read(self._successes[group.task]))


def with_replay(group: Group, place: int, success: EpisodeRecord) -> Group:
    """The group with an earlier episode of the same task in place of one sibling.

    Tokens, log-probabilities and policy version stay those of the earlier episode; it becomes a member of
    the group under an id of its own, because one success may be replayed into several groups.
    """
    replaced, stored = group.records[place].trajectory, success.trajectory
    member = replace(
        stored,
        group_id=group.group_id,
        episode_id=f"{replaced.episode_id}-replays-{stored.episode_id}",
    )
    records = list(group.records)
    records[place] = replace(success, trajectory=member)
    return replace(group, records=tuple(records), replayed=place)


def scale_informative(advantages_N: Sequence[float], groups_N: Sequence[str]) -> list[float]:
    """Make up for groups that teach nothing: advantages times all groups / informative groups.

    A group is informative if any of its advantages differs from 0. Under group-relative estimators these
    are the groups whose rewards differ; where all are, the result equals the input bit by bit.

    Args:
        advantages_N: one per row.
        groups_N: the group of each row.

    Source: RAPO, arXiv:2509.24107.
    """
    informative = {group for group, value in zip(groups_N, advantages_N, strict=True) if value != 0}
    factor = len(set(groups_N)) / len(informative) if informative else 1.0
    return [value * factor for value in advantages_N]
