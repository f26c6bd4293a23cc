"""What holds for rewards whatever happened in the episode, against plain restatements."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui_agent.actions import Action, Click, Finish, ParseError, PressKey, TypeText, Wait
from gui_agent.agent import RoleCompletion
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.matching import MatchResult
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.rewards import (
    PARTS,
    REWARDS,
    ProcessReward,
    RewardFn,
    RewardSummary,
    StepReward,
    checked,
    get_reward,
    total,
)
from trajectories.records import Step, Trajectory
from trajectories.rows import rows_to_trajectory, trajectory_to_rows

LIMIT = 8
ACTIONS: tuple[Action, ...] = (
    Click(x=1, y=1),
    Click(x=2, y=2),
    TypeText(text="a"),
    PressKey(key="tab"),
    Wait(),
    Finish(),
)
UNREADABLE = ParseError(reason="no action", text="?")

actions = st.sampled_from(ACTIONS)
weights = st.floats(-4, 4, allow_subnormal=False).filter(bool)
mixtures = st.dictionaries(st.sampled_from(sorted(PARTS)), weights, min_size=1)


def completion(num_tokens: int) -> RoleCompletion:
    sampled = Completion(
        prompt_token_ids=(1,), image_grids=(), token_ids=(2,) * num_tokens, logprobs=(-0.5,) * num_tokens,
        text="x", finish_reason=FinishReason.STOP, policy_version=0,
    )  # fmt: skip
    return RoleCompletion(role=AgentRole.ACTOR, completion=sampled, image_sha256s=())


@st.composite
def episodes(draw: st.DrawFn) -> Trajectory:
    """Episodes that have everything that any reward looks at."""
    num_steps = draw(st.integers(1, 6))
    states = draw(st.lists(st.sampled_from("abc"), min_size=num_steps + 1, max_size=num_steps + 1))
    steps = []
    for index in range(num_steps):
        requested: Action | ParseError = draw(st.one_of(actions, st.just(UNREADABLE)))
        failed = isinstance(requested, ParseError) or draw(st.booleans())
        same_kind = draw(st.booleans())
        match = MatchResult(type_match=same_kind, exact_match=same_kind and draw(st.booleans()))
        steps.append(
            Step(
                index=index,
                screenshot_sha256="a" * 64,
                width_px=10,
                height_px=10,
                requested=requested,
                executed=None if failed or isinstance(requested, ParseError) else requested,
                error="outside" if failed else None,
                expected=ExpertAction(action=draw(actions)),
                match=match,
                format_ok=draw(st.booleans()),
                completions=(completion(draw(st.integers(1, LIMIT))),),
                progress=draw(st.floats(0, 1)),
                state_key_before=states[index],
                state_key_after=states[index + 1],
            )
        )
    return Trajectory(
        episode_id="e",
        task_id="t",
        template="t",
        suite="s",
        goal="g",
        steps=tuple(steps),
        stop=draw(st.sampled_from([StopReason.FINISHED, StopReason.STEP_LIMIT])),
        outcome=Outcome(verdict=draw(st.sampled_from([Verdict.SUCCESS, Verdict.FAILURE]))),
        source={"max_completion_length": LIMIT},
    )


def every_reward() -> list[RewardFn]:
    everything = ProcessReward(weights=dict.fromkeys(PARTS, 1.0))
    return [everything, *(get_reward(name) for name in REWARDS if name != "process")]


@settings(deadline=None)
@given(episodes())
def test_rewards_are_pure_and_finite_and_one_per_step(trajectory: Trajectory) -> None:
    before = copy.deepcopy(trajectory)
    for reward in every_reward():
        first = checked(reward, trajectory)
        assert first == checked(reward, trajectory)
        assert trajectory == before
        for each in first:
            assert each.value == pytest.approx(math.fsum(each.parts.values()), abs=1e-12)


@settings(deadline=None)
@given(episodes())
def test_rewards_of_a_stored_episode_are_the_same(trajectory: Trajectory) -> None:
    stored = rows_to_trajectory(trajectory_to_rows(trajectory))
    for reward in every_reward():
        assert checked(reward, stored) == checked(reward, trajectory)


@settings(deadline=None)
@given(episodes())
def test_parts_stay_within_their_range(trajectory: Trajectory) -> None:
    for part in PARTS.values():
        assert all(part.lowest <= value <= part.highest for value in part.compute(trajectory))


@settings(deadline=None)
@given(episodes(), mixtures, st.sampled_from([-2.0, 0.5, 3.0]))
def test_value_is_the_weighted_sum_and_scales_with_the_weights(
    trajectory: Trajectory, mixture: dict[str, float], factor: float
) -> None:
    rewards = ProcessReward(weights=mixture)(trajectory)
    scaled = ProcessReward(weights={name: factor * weight for name, weight in mixture.items()})(trajectory)
    raw = {name: PARTS[name].compute(trajectory) for name in mixture}
    for index, (each, larger) in enumerate(zip(rewards, scaled, strict=True)):
        assert each.parts == {name: weight * raw[name][index] for name, weight in mixture.items()}
        assert each.value == pytest.approx(sum(each.parts.values()))
        assert larger.parts == pytest.approx({name: factor * value for name, value in each.parts.items()})
        assert larger.value == pytest.approx(factor * each.value, abs=1e-9)


@settings(deadline=None)
@given(episodes(), mixtures)
def test_the_order_in_which_parts_are_written_changes_nothing(
    trajectory: Trajectory, mixture: dict[str, float]
) -> None:
    backwards = dict(reversed(mixture.items()))
    for each, other in zip(
        ProcessReward(weights=mixture)(trajectory), ProcessReward(weights=backwards)(trajectory), strict=True
    ):
        assert each.parts == other.parts
        assert each.value == pytest.approx(other.value, abs=1e-12)


@settings(deadline=None)
@given(episodes())
def test_progress_adds_up_to_the_progress_at_the_end(trajectory: Trajectory) -> None:
    made = PARTS["progress"].compute(trajectory)
    for index, step in enumerate(trajectory.steps):
        assert math.fsum(made[: index + 1]) == pytest.approx(step.progress, abs=1e-12)


@settings(deadline=None)
@given(episodes())
def test_what_a_later_step_does_changes_no_earlier_part(trajectory: Trajectory) -> None:
    shorter = replace(trajectory, steps=trajectory.steps[:-1])
    for name in set(PARTS) - {"outcome"}:
        assert PARTS[name].compute(trajectory)[:-1] == PARTS[name].compute(shorter)


@settings(deadline=None)
@given(episodes())
def test_redundancy_is_what_it_says(trajectory: Trajectory) -> None:
    steps = trajectory.steps
    for index, step in enumerate(steps):
        stays = step.state_key_before == step.state_key_after
        earlier = steps[:index]
        again = any(
            (other.state_key_before, other.requested) == (step.state_key_before, step.requested)
            for other in earlier
        ) and not isinstance(step.requested, Wait | ParseError)
        back = not stays and step.state_key_after in {other.state_key_before for other in earlier}
        idle = stays and isinstance(step.executed, Click | TypeText)
        assert PARTS["screen_changed"].compute(trajectory)[index] == (not stays)
        assert PARTS["no_op"].compute(trajectory)[index] == idle
        assert PARTS["repeated_action"].compute(trajectory)[index] == again
        assert PARTS["revisited_state"].compute(trajectory)[index] == back


@settings(deadline=None)
@given(episodes())
def test_success_is_worth_more_than_failure_in_every_reward_that_judges_it(trajectory: Trajectory) -> None:
    won = replace(trajectory, stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS))
    lost = replace(won, outcome=Outcome(verdict=Verdict.FAILURE))
    for name in ("task", "task_progress", "srgpo_vpr", "fathom"):
        reward = get_reward(name)
        assert total(reward(won)) > total(reward(lost)), name


@settings(max_examples=30, deadline=None)
@given(st.lists(episodes(), min_size=1, max_size=4), st.randoms())
def test_figures_do_not_depend_on_the_order_of_episodes(
    trajectories: list[Trajectory], random: st.DataObject
) -> None:
    reward = get_reward("process:progress=0.3,format=0.1,outcome=1")
    shuffled = list(trajectories)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _figures(reward, trajectories) == _figures(reward, shuffled)


def _figures(reward: RewardFn, trajectories: list[Trajectory]) -> object:
    summary = RewardSummary()
    for trajectory in trajectories:
        summary.add(trajectory, checked(reward, trajectory))
    return summary.figures


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_means_are_exact(values: list[float]) -> None:
    summary = RewardSummary()
    trajectory = Trajectory(
        episode_id="e", task_id="t", template="t", suite="s", goal="g", steps=(), stop=StopReason.FINISHED,
        outcome=Outcome(verdict=Verdict.FAILURE),
    )  # fmt: skip
    for value in values:
        summary.add(trajectory, [StepReward.of(part=value)])
    assert summary.figures.reward == summary.figures.parts["part"] == math.fsum(values) / len(values)
