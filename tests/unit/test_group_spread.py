"""What the filter of a replay looks at: how much the first-step returns of sibling episodes differ."""

from __future__ import annotations

import statistics

from gui_agent.actions import Wait
from gui_agent.agent import RoleCompletion
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.matching import MatchResult
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.choices import Compat
from trainers.credit import EstimatorCredit
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sources import Group
from trajectories.records import EpisodeRecord, Step, Trajectory


def said(role: AgentRole) -> RoleCompletion:
    completion = Completion(
        prompt_token_ids=(1,), image_grids=(), token_ids=(2,), logprobs=(-1.0,), text="wait",
        finish_reason=FinishReason.STOP, policy_version=0,
    )  # fmt: skip
    return RoleCompletion(role=role, completion=completion, image_sha256s=())


def episode(name: str, *matched: bool, roles: tuple[AgentRole, ...]) -> EpisodeRecord:
    steps = tuple(
        Step(
            index=index, screenshot_sha256="a" * 64, width_px=10, height_px=10, requested=Wait(),
            executed=Wait(), expected=ExpertAction(action=Wait()),
            match=MatchResult(type_match=right, exact_match=right, reason=""),
            completions=tuple(said(role) for role in roles),
        )
        for index, right in enumerate(matched)
    )  # fmt: skip
    return EpisodeRecord(
        trajectory=Trajectory(
            episode_id=name, task_id="t", template="t", suite="s", goal="g", steps=steps, group_id="g",
            stop=StopReason.EXPERT_END, outcome=Outcome(verdict=Verdict.FAILURE),
        )
    )  # fmt: skip


def spread(*episodes: EpisodeRecord, compat: Compat = Compat.PAPER) -> float:
    credit = EstimatorCredit(SemiOnlineConfig(algorithm="rloo", reward="ui_s1:compat=paper", compat=compat))
    return credit.score(Group(group_id="g", records=episodes)).spread


def test_an_episode_counts_once_however_many_roles_spoke_at_its_first_step() -> None:
    """Where a planner writes no usable subgoal no actor is asked: that episode must not count for less."""
    both, one = (AgentRole.PLANNER, AgentRole.ACTOR), (AgentRole.PLANNER,)
    right = [episode(f"r{number}", True, roles=both) for number in range(2)]
    unplanned = [episode(f"w{number}", False, roles=one) for number in range(2)]
    values = [step[0].value for step in EstimatorCredit(SemiOnlineConfig()).score(
        Group(group_id="g", records=(*right, *unplanned))
    ).rewards]  # fmt: skip
    assert spread(*right, *unplanned) == statistics.pstdev(values)


def test_compat_moves_the_cut_of_the_returns_that_are_compared() -> None:
    """So that it has an effect on a replay whatever the algorithm, see `settings_without_effect`."""
    roles = (AgentRole.ACTOR,)
    episodes = [episode("a", True, False, roles=roles), episode("b", True, True, roles=roles)]
    assert spread(*episodes) != spread(*episodes, compat=Compat.RELEASE)
