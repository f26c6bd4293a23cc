"""What each of several samples at one state was worth, computed again exactly as training did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gui_agent.agent import Candidate, CandidateKind
from trainers.foresight import ForesightReward
from trajectories.records import Step, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateCredit:
    """What one candidate was worth.

    Attributes:
        reward: of a subgoal or an action that was compared with others, None if it was not; of a probe
            what it achieved.
        parts: what the reward is made of, by name.
        advantage: what its tokens were trained with; None if they were not, because its role did not learn
            or all rewards of its group were equal.
    """

    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    advantage: float | None = None


def candidate_credits(
    reward: ForesightReward, trajectory: Trajectory, step: Step, learnt: Mapping[str, Sequence[float]]
) -> tuple[CandidateCredit, ...]:
    """One credit for each candidate of a step, in their order.

    Args:
        reward: of the training.
        trajectory: the trunk.
        step: of it.
        learnt: advantages of the candidates that were learnt from, in their order, by name of the group.

    Raises:
        DataError: the step lacks candidates, or what they are rewarded by.
    """
    found: dict[tuple[CandidateKind, int, int], CandidateCredit] = {}
    for group in reward.at(trajectory, step):
        advantages = learnt.get(str(group.key), [None] * len(group.candidates))
        for candidate, each, advantage in zip(group.candidates, group.rewards, advantages, strict=True):
            found[_place(candidate)] = CandidateCredit(
                reward=each.value, parts=each.parts, advantage=advantage
            )
    for candidate in step.candidates:
        if candidate.kind is CandidateKind.PROBE:
            found[_place(candidate)] = CandidateCredit(reward=reward.achieved(trajectory, step, candidate))
    return tuple(found.get(_place(candidate), CandidateCredit()) for candidate in step.candidates)


def _place(candidate: Candidate) -> tuple[CandidateKind, int, int]:
    return candidate.kind, candidate.branch, candidate.sample
