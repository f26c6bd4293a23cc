"""Rewards and the rows that estimators get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gui_agent.actions import Action, Click, ParseError, SystemButton, Wait
from gui_agent.agent import RoleCompletion
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError, DataError
from gui_agent.matching import MATCHERS, MatchResult
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.config import Compat
from trainers.credit import estimator_rows
from trainers.rewards import REWARDS, TaskReward, UiS1Reward, get_reward, ui_s1_step_reward
from trajectories.records import Step, Trajectory

CLICK = ExpertAction(action=Click(x=50, y=50))
COMPLETION = Completion(
    prompt_token_ids=(1,),
    image_grids=(),
    token_ids=(2,),
    logprobs=(-0.1,),
    text="x",
    finish_reason=FinishReason.STOP,
    policy_version=0,
)


def step(
    index: int,
    requested: Action | ParseError,
    *,
    format_ok: bool = True,
    progress: float | None = None,
    expected: ExpertAction | None = CLICK,
    error: str | None = None,
    roles: tuple[AgentRole, ...] = (AgentRole.ACTOR,),
) -> Step:
    match = MATCHERS["ui_s1"].match(requested, expected, 100, 100) if expected else None
    return Step(
        index=index,
        screenshot_sha256="a" * 64,
        width_px=100,
        height_px=100,
        requested=requested,
        executed=None,
        expected=expected,
        match=match,
        format_ok=format_ok,
        progress=progress,
        error=error,
        state_key_before=f"state {index}",
        completions=tuple(
            RoleCompletion(role=role, completion=COMPLETION, image_sha256s=()) for role in roles
        ),
    )


def episode(
    *steps: Step, verdict: Verdict = Verdict.FAILURE, stop: StopReason = StopReason.FINISHED
) -> Trajectory:
    return Trajectory(
        episode_id="e",
        task_id="t",
        template="t",
        suite="s",
        goal="g",
        steps=steps,
        stop=stop,
        outcome=Outcome(verdict=verdict),
        group_id="group",
    )


def values(trajectory: Trajectory, reward: str | UiS1Reward | TaskReward) -> list[Any]:
    """Rewards, to be compared with numbers up to rounding."""
    fn = get_reward(reward) if isinstance(reward, str) else reward
    return [pytest.approx(each.value) for each in fn(trajectory)]


@pytest.mark.parametrize(
    ("format_ok", "type_match", "exact_match", "expected"),
    [
        (False, False, False, 0.0),
        (False, True, True, 0.0),
        (True, False, False, 0.1),
        (True, True, False, 0.5),
        (True, True, True, 1.0),
    ],
)
def test_equation_8(format_ok: bool, type_match: bool, exact_match: bool, expected: float) -> None:
    reward = ui_s1_step_reward(format_ok=format_ok, type_match=type_match, exact_match=exact_match)
    assert reward.value == pytest.approx(expected)
    assert sum(reward.parts.values()) == reward.value


STEPS = (
    step(0, Click(x=50, y=50)),
    step(1, Click(x=90, y=90)),
    step(2, Wait()),
    step(3, Click(x=50, y=50), format_ok=False),
    step(4, ParseError(reason="r", text="nonsense"), format_ok=False),
    step(5, ParseError(reason="r", text='<think>a</think><action>{"action": "click"}</action>')),
    step(6, ParseError(reason="r", text='<think>a</think><action>{"action": "fly"}</action>')),
)


def test_paper_and_release_differ_as_documented() -> None:
    assert values(episode(*STEPS), "ui_s1") == [1.0, 0.5, 0.1, 0.0, 0.0, 0.1, 0.1]
    assert values(episode(*STEPS), "ui_s1_release") == [1.0, 0.55, 0.19, 0.9, 0.0, 0.1, 0.19]


def test_matches_can_be_computed_again_with_another_matcher() -> None:
    wrong = MatchResult(type_match=False, exact_match=False)
    trajectory = episode(replace(STEPS[0], match=wrong))
    assert values(trajectory, UiS1Reward()) == [0.1]
    assert values(trajectory, UiS1Reward(matcher=MATCHERS["distance_only"])) == [1.0]


def test_annotations_turn_the_release_reward_round() -> None:
    trajectory = replace(episode(STEPS[0], STEPS[1]), source={"annotations": ["HARMFUL", "NEUTRAL"]})
    release = UiS1Reward(compat=Compat.RELEASE, annotations=True)
    assert values(trajectory, release) == [0.1, 0.55]
    assert values(trajectory, "ui_s1_release") == [1.0, 0.55]
    with pytest.raises(DataError, match="annotation"):
        release(replace(trajectory, source={"annotations": ["BAD"]}))
    with pytest.raises(ConfigError, match="release"):
        UiS1Reward(annotations=True)


def test_a_step_without_an_expert_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="step 0"):
        UiS1Reward()(episode(step(0, Wait(), expected=None)))
    with pytest.raises(DataError, match="comparing again"):
        UiS1Reward(matcher=MATCHERS["ui_s1"])(episode(step(0, Wait(), expected=None)))


def test_task_reward_goes_to_the_last_step() -> None:
    steps = (step(0, Wait(), progress=0.5), step(1, Wait(), progress=1.0, format_ok=False), step(2, Wait()))
    won = episode(*steps, verdict=Verdict.SUCCESS)
    assert values(won, TaskReward()) == [0.0, -0.1, 1.0]
    assert values(won, TaskReward(progress_weight=2.0, format_penalty=0)) == [1.0, 1.0, 1.0]
    assert values(episode(*steps), TaskReward(success=10)) == [0.0, -0.1, 0.0]
    failed_request = episode(step(0, Wait(), error="outside the screen"))
    assert values(failed_request, TaskReward(error_penalty=0.25)) == [-0.25]


@pytest.mark.parametrize(
    ("stop", "reward"),
    [
        (StopReason.FINISHED, 1.0),
        (StopReason.TASK_ENDED, 1.0),
        (StopReason.EXPERT_END, 1.0),
        (StopReason.STEP_LIMIT, 0.0),
        (StopReason.TIME_LIMIT, 0.0),
        (StopReason.USER, 0.0),
    ],
)
def test_training_rewards_what_evaluation_counts(stop: StopReason, reward: float) -> None:
    reached = episode(step(0, Wait()), verdict=Verdict.SUCCESS, stop=stop)
    assert values(reached, TaskReward()) == [reward]


def test_unscored_is_not_zero() -> None:
    with pytest.raises(DataError, match="unscored is not zero"):
        TaskReward()(episode(step(0, Wait()), verdict=Verdict.UNSCORED))
    with pytest.raises(DataError, match="device_fault"):
        TaskReward()(episode(step(0, Wait()), stop=StopReason.DEVICE_FAULT))


def test_rows_carry_what_estimators_compare() -> None:
    both = (AgentRole.PLANNER, AgentRole.ACTOR)
    trajectory = episode(step(0, Click(x=50, y=50), roles=both), step(1, SystemButton(button="back")))  # type: ignore[arg-type]
    rows = estimator_rows(trajectory, UiS1Reward()(trajectory))
    assert [(row.step, row.role, row.matched) for row in rows] == [
        (0, AgentRole.PLANNER, True),
        (0, AgentRole.ACTOR, True),
        (1, AgentRole.ACTOR, False),
    ]
    assert {row.group_id for row in rows} == {"group"}
    assert [row.state_key for row in rows] == ["state 0", "state 0", "state 1"]
    assert [row.episode_reward for row in rows] == [pytest.approx(1.1)] * 3
    live = estimator_rows(episode(step(0, Wait(), expected=None)), TaskReward()(episode(step(0, Wait()))))
    assert live[0].matched, "without an expert nothing cuts the return"


def test_rewards_by_name() -> None:
    for name in REWARDS:
        assert callable(get_reward(name))
    with pytest.raises(ConfigError, match="did you mean 'task'"):
        get_reward("tsk")
