"""From groups of episodes to rows with advantages: what an algorithm decides, in one object.

The steps are pure functions of the trajectories: rewards with their parts, the spread that the filter
looks at, advantages by a named estimator.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trainers.advantages import EstimatorRow
from trainers.algorithms import Algorithm, configured_algorithm, min_group_std
from trainers.choices import Compat
from trainers.rapo import scale_informative
from trainers.returns import discounted_returns
from trainers.rewards import RewardFn, StepReward, checked, get_reward, total
from trainers.rl_config import RLConfig
from trainers.rows import Row
from trainers.sources import Group
from trainers.state_names import StateNamer, StateNames, action_key
from trajectories.records import Trajectory

_FILTER_GAMMA = 0.5
_KEEP_ALL = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredGroup:
    """A group and what its steps were worth.

    Attributes:
        group: the episodes.
        rewards: for each episode the reward of each step.
        spread: what the filter looks at, see `EstimatorCredit`.
        solved: which episodes solved the task.
    """

    group: Group
    rewards: tuple[tuple[StepReward, ...], ...]
    spread: float
    solved: tuple[bool, ...] = ()

    @property
    def solve_rate(self) -> float:
        """Share of the episodes that solved the task."""
        return sum(self.solved) / len(self.group.records)


class Credit(Protocol):
    """Rewards, filter and advantages of one algorithm."""

    def score(self, group: Group) -> ScoredGroup:
        """Reward every step of a group."""
        ...

    def keep(self, scored: ScoredGroup) -> bool:
        """Whether there is something to learn from a group."""
        ...

    def rows(self, groups: Sequence[ScoredGroup], *, update: int) -> list[Row]:
        """One row per completion that is trained on, with its advantage."""
        ...


class EstimatorCredit:
    """A reward and an estimator, both by name.

    The filter keeps a group if the population deviation over its episodes exceeds `filter_std`: of the
    first-step returns where steps are compared with an expert's (UI-S1's dynamic sampling), of the sum
    of rewards where only the outcome is judged. `filter_solve_rate` asks, too, that some but not too
    many of its episodes solved the task.
    """

    def __init__(self, config: RLConfig, *, by_outcome: bool = False) -> None:
        """Build the algorithm that `config` names.

        Args:
            config: names, discount and weights.
            by_outcome: filter by the sum of an episode's rewards.

        Raises:
            ConfigError: a name is unknown.
        """
        self._filter_std = min_group_std(config)
        self._filter_solve_rate = config.filter_solve_rate
        self._solved_reward = config.solved_reward
        self._scale_informative = config.scale_informative
        self._seed = config.seed
        self._by_outcome = by_outcome
        self._gamma = _FILTER_GAMMA if config.gamma is None else config.gamma
        self._cut_includes_mismatch = config.compat is Compat.PAPER
        self._reward: RewardFn = get_reward(config.reward, compat=config.compat)
        self.algorithm: Algorithm = configured_algorithm(config)
        self._states = StateNamer(self.algorithm.anchors)

    def score(self, group: Group) -> ScoredGroup:
        """Reward every step of a group."""
        trajectories = [record.trajectory for record in group.records]
        rewards = tuple(checked(self._reward, trajectory) for trajectory in trajectories)
        return ScoredGroup(
            group=group,
            rewards=rewards,
            spread=self._spread(trajectories, rewards),
            solved=tuple(map(self._solved, trajectories, rewards)),
        )

    def keep(self, scored: ScoredGroup) -> bool:
        """Whether the episodes of a group differ enough."""
        if self._filter_solve_rate is not None:
            low, high = self._filter_solve_rate
            if not low < scored.solve_rate < high:
                return False
        return self._filter_std == _KEEP_ALL or scored.spread > max(self._filter_std, 1e-9)

    def rows(self, groups: Sequence[ScoredGroup], *, update: int) -> list[Row]:
        """One row per completion; the advantages of one update are estimated together."""
        episodes = [
            (record, steps, place == scored.group.replayed)
            for scored in groups
            for place, (record, steps) in enumerate(zip(scored.group.records, scored.rewards, strict=True))
        ]
        wanted = [
            row
            for record, steps, _ in episodes
            for row in estimator_rows(record.trajectory, steps, self._states.names(record))
        ]
        advantages = self.algorithm.estimator(wanted, np.random.default_rng([self._seed, update]))
        if self._scale_informative:
            advantages = scale_informative(advantages, [row.group_id for row in wanted])
        sampled = [
            (completion, record.trajectory, step.index, replayed)
            for record, _, replayed in episodes
            for step in record.trajectory.steps
            for completion in step.completions
        ]
        return [
            Row.of(
                completion,
                advantage=advantage,
                group_id=trajectory.group_id,
                episode_id=trajectory.episode_id,
                step=step,
                replayed=replayed,
            )
            for (completion, trajectory, step, replayed), advantage in zip(sampled, advantages, strict=True)
        ]

    def returns(self, trajectory: Trajectory, rewards: Sequence[StepReward]) -> list[float]:
        """The discounted return of every step of one episode."""
        matched = [step.match is None or step.match.exact_match for step in trajectory.steps]
        returns = discounted_returns(
            [reward.value for reward in rewards],
            matched,
            [trajectory.episode_id] * len(matched),
            [step.index for step in trajectory.steps],
            gamma=self._gamma,
            cut_includes_mismatch=self._cut_includes_mismatch,
        )
        return [float(value) for value in returns]

    def _solved(self, trajectory: Trajectory, rewards: Sequence[StepReward]) -> bool:
        if self._solved_reward is None:
            return trajectory.succeeded
        return total(rewards) > self._solved_reward

    def _spread(self, trajectories: Sequence[Trajectory], rewards: Sequence[Sequence[StepReward]]) -> float:
        """How much the episodes of one group differ."""
        if self._by_outcome:
            return statistics.pstdev([total(steps) for steps in rewards])
        # One value per episode, however many roles spoke at its first step.
        episodes = zip(trajectories, rewards, strict=True)
        return statistics.pstdev([self.returns(trajectory, steps)[0] for trajectory, steps in episodes])


def estimator_rows(
    trajectory: Trajectory, rewards: Sequence[StepReward], states: StateNames | None = None
) -> list[EstimatorRow]:
    """One row per completion of an episode, in the order in which they were sampled.

    Args:
        trajectory: with its completions.
        rewards: one per step.
        states: names of its states; None takes the device's own keys.
    """
    states = states or StateNames.recorded(trajectory)
    score = total(rewards)
    return [
        EstimatorRow(
            group_id=trajectory.group_id or trajectory.task_id,
            episode_id=trajectory.episode_id,
            step=step.index,
            reward=reward.value,
            episode_reward=score,
            matched=step.match is None or step.match.exact_match,
            state_key=before,
            action_key=action_key(step, sampled),
            next_state_key=after,
            role=sampled.role,
        )
        for step, reward, before, after in zip(
            trajectory.steps, rewards, states.before, states.after, strict=True
        )
        for sampled in step.completions
    ]
