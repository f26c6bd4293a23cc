"""What a page and the recomputed credits say of an episode with a planner."""

from __future__ import annotations

import dataclasses

import pytest

from gui_agent.actions import Click, Wait
from gui_agent.agent import RoleCompletion
from gui_agent.agent_spec import AgentKind
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.annotate import step_credits
from trainers.online_config import OnlineConfig
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.viewer import StepAnnotation
from trajectories.viewer.payload import page_data

CONFIG = OnlineConfig(algorithm="grpo", num_generations=2, agent=AgentKind.HIERARCHICAL)


def said(role: AgentRole, text: str) -> RoleCompletion:
    completion = Completion(
        prompt_token_ids=(1, 1),
        image_grids=(),
        token_ids=(2, 3),
        logprobs=(-0.5, -0.1),
        text=text,
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )
    return RoleCompletion(role=role, completion=completion, image_sha256s=())


def episode(name: str, verdict: Verdict) -> Trajectory:
    step = Step(
        index=0,
        screenshot_sha256=None,
        width_px=10,
        height_px=10,
        requested=Click(x=1, y=2),
        executed=Wait(),
        expected=ExpertAction(action=Wait(), subgoal="wait a little"),
        subgoal="tap it",
        completions=(said(AgentRole.PLANNER, "tap it"), said(AgentRole.ACTOR, "click 1 2")),
    )
    return Trajectory(
        episode_id=name,
        task_id="t",
        template="t",
        suite="s",
        goal="g",
        steps=(step,),
        stop=StopReason.FINISHED,
        outcome=Outcome(verdict=verdict),
        group_id="g",
    )


PAIR = (episode("won", Verdict.SUCCESS), episode("lost", Verdict.FAILURE))


def test_each_role_has_an_advantage_of_its_own() -> None:
    (credit,) = step_credits(PAIR, CONFIG, by_outcome=True)["won"]
    assert credit.by_role == {"planner": pytest.approx(0.7071, abs=1e-3), "actor": credit.advantage}
    frozen = dataclasses.replace(CONFIG, freeze_actor=True)
    (credit,) = step_credits(PAIR, frozen, by_outcome=True)["won"]
    assert set(credit.by_role) == {"planner"}
    assert credit.advantage == credit.by_role["planner"]


def test_a_page_shows_subgoals_and_both_roles() -> None:
    notes = {"won": [StepAnnotation(reward=1.0, advantages={"planner": 0.5, "actor": -0.5})]}
    data = page_data([EpisodeRecord(trajectory=PAIR[0])], notes, max_side_px=100)
    (step,) = data["episodes"][0]["steps"]
    assert (step["subgoal"], step["expected"]["subgoal"]) == ("tap it", "wait a little")
    assert [(each["role"], each["tokens"]) for each in step["completions"]] == [("planner", 2), ("actor", 2)]
    assert step["note"]["advantages"] == {"planner": 0.5, "actor": -0.5}
