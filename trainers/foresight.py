"""Foresight advantages: subgoals judged by what the actor then achieves, each state for itself.

One *trunk* episode is played per task. At each of its decision states the planner writes G subgoals, the
actor tries each of them K times (*probes*), and under the subgoal that is executed it writes G actions.
For n states these are n(2G + GK) samples, where episodes that branch at every step would be G**n. Two
kinds of groups are compared, each within one state:

    planner  R = lambda_format * f + lambda_execution * e + lambda_judge * J, where f: the response has
             the right form, e: the mean over its probes of what the actor achieved (subgoals in equal
             words share theirs), J: a judge's word
    actor    the actions under the executed subgoal, by form, type and argument (UI-S1, equation 8)

The advantage is R minus the mean of its group, divided by the deviation. Everything is a pure function of
the recorded episode.

Source: Hi-Agent, arXiv:2510.14388, for groups at single states and a reward that holds form, execution
and judge. Its weights and its exact terms could not be read: those here are CES's (arXiv:2511.22235,
0.1 and 0.9), and the rest is this project's definition.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gui_agent.actions import ParseError
from gui_agent.agent import Candidate, CandidateKind
from gui_agent.errors import DataError
from gui_agent.foresight import GAIN, JUDGE
from gui_agent.matching import ActionMatcher, MatchResult
from gui_agent.policy import AgentRole
from trainers.advantages.foresight import Execution, ForesightOptions
from trainers.advantages.rows import EstimatorRow
from trainers.choices import Compat
from trainers.credit import ScoredGroup
from trainers.rewards import StepReward, ui_s1_step_reward
from trainers.rows import Row
from trainers.sources import Group
from trajectories.records import Step, Trajectory

Learning = Callable[[int], frozenset[AgentRole]]
"""The roles that learn in an update, by its number."""

_FLAT: Final = 1e-6
_KEEP_ALL: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """What the members of a group share; `subgoal` is empty for a planner's group."""

    task_id: str
    trunk: str
    step: int
    role: AgentRole
    subgoal: str = ""

    def __str__(self) -> str:
        return f"{self.task_id}/{self.trunk}/{self.step}/{self.role.value}/{self.subgoal}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateGroup:
    """Candidates that are compared with each other, in the order of their numbers."""

    key: GroupKey
    candidates: tuple[Candidate, ...]
    rewards: tuple[StepReward, ...]

    @property
    def deviation(self) -> float:
        """Population deviation of the rewards."""
        return statistics.pstdev([reward.value for reward in self.rewards])

    @property
    def is_flat(self) -> bool:
        """There is nothing to compare: one candidate, or equal rewards."""
        values = [reward.value for reward in self.rewards]
        return max(values) - min(values) < _FLAT

    @property
    def estimator_rows(self) -> list[EstimatorRow]:
        """One row per candidate."""
        return [
            EstimatorRow(
                group_id=str(self.key),
                episode_id=self.key.trunk,
                step=self.key.step,
                reward=reward.value,
                role=self.key.role,
            )
            for reward in self.rewards
        ]


def planner_reward(
    options: ForesightOptions, *, format_ok: bool, execution: float, judge: float | None = None
) -> StepReward:
    """What a subgoal is worth.

    Args:
        options: the weights.
        format_ok: the planner's response has the form that its format asks for.
        execution: mean over the probes, 0 where there is no subgoal to try.
        judge: the judge's word in [0, 1]; None leaves the term out.
    """
    parts = {
        "format": options.lambda_format * format_ok,
        "execution": options.lambda_execution * execution,
    }
    if judge is not None:
        parts["judge"] = options.lambda_judge * judge
    return StepReward.of(**parts)


def execution_reward(match: MatchResult, rule: Execution) -> float:
    """What a probe achieved against the expert's action, in [0, 1]."""
    if rule is Execution.GRADED:
        return 0.2 * match.type_match + 0.8 * match.exact_match
    return float(match.exact_match)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForesightReward:
    """Finds the groups of an episode and rewards their candidates.

    Attributes:
        options: weights and rules.
        matcher: compares actions with the expert's, in a replay; None takes what was measured live.
    """

    options: ForesightOptions
    matcher: ActionMatcher | None

    def groups(self, trajectory: Trajectory) -> list[StateGroup]:
        """The groups of every state, the planner's before the actor's.

        Who was sampled once, because it does not learn, has no group.

        Raises:
            DataError: a step lacks candidates, or what they are rewarded by.
        """
        return [group for step in trajectory.steps for group in self.at(trajectory, step)]

    def at(self, trajectory: Trajectory, step: Step) -> list[StateGroup]:
        """The groups of one state."""
        kinds = {kind: [c for c in step.candidates if c.kind is kind] for kind in CandidateKind}
        subgoals, actions = kinds[CandidateKind.SUBGOAL], kinds[CandidateKind.ACTION]
        if not subgoals:
            raise DataError(
                f"trajectory {trajectory.episode_id!r}, step {step.index} has no candidates to compare; "
                "sample it with the algorithm foresight"
            )
        groups = []
        if len(subgoals) > 1:
            key = self._key(trajectory, step, AgentRole.PLANNER)
            rewards = tuple(self._planner_rewards(trajectory, step, kinds))
            groups.append(StateGroup(key=key, candidates=tuple(subgoals), rewards=rewards))
        if len(actions) > 1:
            key = self._key(trajectory, step, AgentRole.ACTOR, actions[0].subgoal or "")
            rewards = tuple(self._actor_reward(trajectory, step, action) for action in actions)
            groups.append(StateGroup(key=key, candidates=tuple(actions), rewards=rewards))
        return groups

    def achieved(self, trajectory: Trajectory, step: Step, candidate: Candidate) -> float:
        """What a probe or an action achieved: against the expert's action, or as it was measured.

        Raises:
            DataError: there is no expert's action, or nobody tried it.
        """
        if self.matcher is not None:
            return execution_reward(self._match(trajectory, step, candidate), self.options.execution)
        if GAIN not in candidate.measured:
            raise DataError(
                f"trajectory {trajectory.episode_id!r}, step {step.index}: an action was not tried, so that "
                "nobody knows what it achieves; sample live episodes with the algorithm foresight"
            )
        return candidate.measured[GAIN]

    def _key(self, trajectory: Trajectory, step: Step, role: AgentRole, subgoal: str = "") -> GroupKey:
        return GroupKey(
            task_id=trajectory.task_id,
            trunk=trajectory.episode_id,
            step=step.index,
            role=role,
            subgoal=subgoal,
        )

    def _planner_rewards(
        self, trajectory: Trajectory, step: Step, kinds: dict[CandidateKind, list[Candidate]]
    ) -> list[StepReward]:
        subgoals = kinds[CandidateKind.SUBGOAL]
        achieved: dict[Hashable, list[float]] = {}
        for probe in kinds[CandidateKind.PROBE]:
            achieved.setdefault(self._shared(probe), []).append(self.achieved(trajectory, step, probe))
        words: dict[Hashable, list[float]] = {}
        for each in subgoals:
            words.setdefault(self._shared(each), []).append(each.measured.get(JUDGE, 0.0))
        judged = self._judged(subgoals)
        return [
            planner_reward(
                self.options,
                format_ok=each.format_ok,
                execution=statistics.fmean(achieved.get(self._shared(each), [0.0])),
                judge=statistics.fmean(words[self._shared(each)]) if judged else None,
            )
            for each in subgoals
        ]

    def _shared(self, candidate: Candidate) -> Hashable:
        """Equal for candidates that share their probes, and what a judge says of what those brought.

        An actor cannot tell equal subgoals apart.
        """
        return candidate.subgoal if self.options.share_probes else candidate.branch

    def _judged(self, subgoals: Sequence[Candidate]) -> bool:
        """Whether the judge spoke about every subgoal: who was not judged is not judged bad."""
        return self.options.lambda_judge > 0 and all(
            JUDGE in each.measured for each in subgoals if each.subgoal is not None
        )

    def _actor_reward(self, trajectory: Trajectory, step: Step, action: Candidate) -> StepReward:
        if self.matcher is not None:
            match = self._match(trajectory, step, action)
            return ui_s1_step_reward(
                format_ok=action.format_ok, type_match=match.type_match, exact_match=match.exact_match
            )
        return StepReward.of(
            format=self.options.lambda_format * action.format_ok,
            execution=self.options.lambda_execution * self.achieved(trajectory, step, action),
        )

    def _match(self, trajectory: Trajectory, step: Step, candidate: Candidate) -> MatchResult:
        assert self.matcher is not None
        if step.expected is None or step.width_px is None or step.height_px is None:
            raise DataError(
                f"trajectory {trajectory.episode_id!r}, step {step.index}: no expert action is recorded to "
                "compare with; sample it by replay"
            )
        if candidate.action is None or isinstance(candidate.action, ParseError):
            return MatchResult(type_match=False, exact_match=False, reason="no action")
        return self.matcher.match(candidate.action, step.expected, step.width_px, step.height_px)


class ForesightCredit:
    """Rewards, filter and advantages of foresight; one group is one trunk episode.

    A trunk is kept if some state of it has a group of a learning role whose rewards deviate by more than
    `filter_std`. Its flat groups make no rows, because their advantages are 0; with `filter_std` -1 they do.
    """

    def __init__(self, reward: ForesightReward, learning: Learning, *, filter_std: float) -> None:
        """Credit by `reward`, to the roles that `learning` names for an update."""
        self.reward = reward
        self._estimator = reward.options.build(Compat.PAPER)
        self._learning = learning
        self._filter_std = filter_std

    def score(self, group: Group) -> ScoredGroup:
        """Reward every candidate; a step is worth the sum of the mean rewards of its groups.

        0 stands for a state at which nobody was compared: the planner rests, and its subgoal was none.
        """
        rewards, deviations = [], [0.0]
        for record in group.records:
            trajectory = record.trajectory
            found = [self.reward.at(trajectory, step) for step in trajectory.steps]
            rewards.append(tuple(_mean_reward(groups) for groups in found))
            learning = self._learning(trajectory.update)
            deviations += [g.deviation for groups in found for g in groups if g.key.role in learning]
        solved = tuple(record.trajectory.succeeded for record in group.records)
        return ScoredGroup(group=group, rewards=tuple(rewards), spread=max(deviations), solved=solved)

    def keep(self, scored: ScoredGroup) -> bool:
        """Whether there is something to compare."""
        return self._filter_std == _KEEP_ALL or scored.spread > max(self._filter_std, 1e-9)

    def rows(self, groups: Sequence[ScoredGroup], *, update: int) -> list[Row]:
        """One row per candidate of the groups of roles that learn in this update."""
        learning = self._learning(update)
        found = [
            group
            for scored in groups
            for record in scored.group.records
            for group in self.reward.groups(record.trajectory)
            if group.key.role in learning and (self._filter_std == _KEEP_ALL or not group.is_flat)
        ]
        self._warn_of_a_silent_judge(groups, update)
        wanted = [row for group in found for row in group.estimator_rows]
        advantages = self._estimator(wanted, np.random.default_rng(update))
        sampled = [candidate.completion for group in found for candidate in group.candidates]
        return [
            Row.of(
                completion,
                advantage=advantage,
                group_id=row.group_id,
                episode_id=row.episode_id,
                step=row.step,
            )
            for completion, row, advantage in zip(sampled, wanted, advantages, strict=True)
        ]

    def returns(self, trajectory: Trajectory, rewards: Sequence[StepReward]) -> list[float]:
        """The reward of each step: every state stands for itself."""
        return [reward.value for reward in rewards]

    def _warn_of_a_silent_judge(self, groups: Sequence[ScoredGroup], update: int) -> None:
        """Its term is left out where it cannot tell, which nobody would notice if it never can."""
        planned = [
            step.parts
            for scored in groups
            for episode in scored.rewards
            for step in episode
            if "planner_execution" in step.parts
        ]
        weight = self.reward.options.lambda_judge
        if weight and planned and not any("planner_judge" in parts for parts in planned):
            warnings.warn(
                f"update {update}: the judge could not tell about all subgoals of any of {len(planned)} "
                f"states, so that lambda_judge={weight} had no effect; a judge vlm must begin its answer "
                "with yes or no",
                stacklevel=2,
            )


def _mean_reward(groups: Sequence[StateGroup]) -> StepReward:
    """Means over the candidates of a state, under names such as `planner_execution`; added up over roles."""
    parts = {
        f"{group.key.role.value}_{name}": statistics.fmean(
            reward.parts.get(name, 0.0) for reward in group.rewards
        )
        for group in groups
        for name in group.rewards[0].parts
    }
    return StepReward.of(**parts)
