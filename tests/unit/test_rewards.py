"""Rewards and the rows that estimators get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gui_agent.actions import Action, Answer, Click, Finish, ParseError, PressKey, SystemButton, Wait
from gui_agent.agent import RoleCompletion
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError, DataError
from gui_agent.matching import MATCHERS, MatchResult
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.choices import Compat
from trainers.credit import estimator_rows
from trainers.rewards import (
    PARTS,
    REWARDS,
    FathomReward,
    Need,
    ProcessReward,
    RewardFn,
    RewardPart,
    SrgpoReward,
    StepReward,
    TaskReward,
    UiS1Reward,
    checked,
    get_reward,
    ui_s1_step_reward,
)
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


def values(trajectory: Trajectory, reward: str | RewardFn) -> list[Any]:
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
    steps = (
        step(0, Wait(), progress=0.5),
        step(1, Wait(), progress=1.0, format_ok=False),
        step(2, Wait(), progress=1.0),
    )
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
    for name in set(REWARDS) - {"process"}:
        assert callable(get_reward(name))
    with pytest.raises(ConfigError, match="did you mean 'task'"):
        get_reward("tsk")


def test_options_follow_the_name() -> None:
    won = episode(step(0, Wait(), format_ok=False), verdict=Verdict.SUCCESS)
    assert values(won, "task:success=10,format_penalty=0.5") == [9.5]
    assert values(episode(*STEPS[:2]), "ui_s1:compat=release") == [1.0, 0.55]
    assert values(episode(STEPS[1]), "ui_s1:matcher=distance_only") == [0.5]
    with pytest.raises(ConfigError, match="did you mean 'success'"):
        get_reward("task:sucess=1")
    with pytest.raises(ConfigError, match="expected float"):
        get_reward("task:success=much")


def test_release_is_chosen_by_the_config_unless_the_name_says_otherwise() -> None:
    assert get_reward("ui_s1", compat=Compat.RELEASE) == UiS1Reward(compat=Compat.RELEASE)
    assert get_reward("ui_s1:compat=paper", compat=Compat.RELEASE) == UiS1Reward()
    assert get_reward("task", compat=Compat.RELEASE) == TaskReward()


# -- parts -----------------------------------------------------------------------------------------


def walk(*deeds: tuple[Action | None, str, str | None], **changes: Any) -> Trajectory:
    """A live episode from (what was executed, state before, state after)."""
    steps = [
        replace(
            step(index, action or ParseError(reason="r", text="x"), expected=None),
            executed=action,
            state_key_before=before,
            state_key_after=after,
        )
        for index, (action, before, after) in enumerate(deeds)
    ]
    return replace(episode(*steps), **changes)


def part(name: str, trajectory: Trajectory) -> list[float]:
    return PARTS[name].compute(trajectory)


TAP, OTHER_TAP = Click(x=1, y=1), Click(x=2, y=2)


def test_states_are_compared_before_and_after() -> None:
    trajectory = walk((TAP, "a", "b"), (TAP, "b", "b"), (OTHER_TAP, "b", "a"), (TAP, "a", "b"))
    assert part("screen_changed", trajectory) == [1, 0, 1, 1]
    assert part("no_op", trajectory) == [0, 1, 0, 0]
    assert part("repeated_action", trajectory) == [0, 0, 0, 1]
    assert part("revisited_state", trajectory) == [0, 0, 1, 1]


def test_what_may_change_nothing_is_no_no_op() -> None:
    for action in (Wait(), Answer(text="4"), Finish(), PressKey(key="volume_up")):
        assert part("no_op", walk((action, "a", "a"))) == [0]
    assert part("no_op", walk((None, "a", "a"))) == [0], "what was not performed is an error"
    patched = walk((TAP, "a", "a"))
    patched = replace(patched, steps=(replace(patched.steps[0], source=ActionSource.PATCH),))
    assert part("no_op", patched) == [0], "the expert's deed is not the agent's"


def test_ending_needs_no_final_look_unless_states_are_compared() -> None:
    trajectory = walk((TAP, "a", "b"), (Finish(), "b", None))
    assert part("no_op", trajectory) == [0, 0]
    with pytest.raises(DataError, match=r"trajectory 'e', step 1.*state_key_after.*observe_end"):
        part("screen_changed", trajectory)


def test_waiting_again_and_unreadable_responses_are_no_repetition() -> None:
    assert part("repeated_action", walk((Wait(), "a", "a"), (Wait(), "a", "a"))) == [0, 0]
    assert part("repeated_action", walk((None, "a", "a"), (None, "a", "a"))) == [0, 0]
    assert part("repeated_action", walk((TAP, "a", "a"), (TAP, "a", "a"), (TAP, "a", "a"))) == [0, 1, 1]


def test_progress_is_what_each_step_made() -> None:
    steps = [step(index, Wait(), progress=value) for index, value in enumerate((0.25, 0.75, 0.5, 1.0))]
    assert part("progress", episode(*steps)) == [0.25, 0.5, -0.25, 0.5]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("progress", "progress of the task is not recorded.*track_progress"),
        ("action_type", "no match with an expert"),
        ("argument", "no match with an expert"),
        ("screen_changed", "state_key_after"),
        ("no_op", "state_key_after"),
        ("revisited_state", "state_key_after"),
        ("over_long", "max_completion_length=512"),
    ],
)
def test_what_is_unknown_is_an_error_that_names_the_step(name: str, words: str) -> None:
    with pytest.raises(DataError, match=f"trajectory 'e'.*{words}"):
        part(name, episode(replace(step(0, TAP, expected=None), executed=TAP)))
    named = replace(step(3, TAP), state_key_before=None)
    if Need.STATE_KEYS in PARTS[name].needs:
        with pytest.raises(DataError, match=r"step 3.*state_key_before"):
            part(name, episode(replace(named, executed=TAP, state_key_after="b")))


def long_response(num_tokens: int) -> Step:
    longer = replace(COMPLETION, token_ids=(2,) * num_tokens)
    sampled = RoleCompletion(role=AgentRole.ACTOR, completion=longer, image_sha256s=())
    return replace(step(0, TAP), completions=(sampled,))


def test_over_long_counts_tokens_against_the_limit_of_the_episode() -> None:
    def seen(num_tokens: int, reward: str = "process:over_long=-1", **source: Any) -> float:
        return get_reward(reward)(replace(episode(long_response(num_tokens)), source=source))[0].value

    assert [seen(n, max_completion_length=10) for n in (7, 8)] == [0, -1]
    given = "process:over_long=-1,over_long_share=0.5,max_completion_length=4"
    assert [seen(n, given) for n in (2, 3)] == [0, -1]
    with pytest.raises(DataError, match="no sampled response"):
        get_reward(given)(episode(replace(step(0, TAP), completions=())))
    with pytest.raises(ConfigError, match="over_long_share is 2"):
        get_reward("process:over_long=-1,over_long_share=2.0")


# -- composition -----------------------------------------------------------------------------------


def test_parts_are_kept_with_their_weights() -> None:
    steps = (step(0, TAP, progress=0.5, error="outside"), step(1, TAP, progress=1.0))
    won = episode(*steps, verdict=Verdict.SUCCESS)
    first, last = get_reward("process:outcome=2,progress=0.5,error=-0.1")(won)
    assert first.parts == {"outcome": 0.0, "progress": 0.25, "error": -0.1}
    assert last.parts == {"outcome": 2.0, "progress": 0.25, "error": 0.0}
    assert first.value == pytest.approx(0.15)
    assert last.value == pytest.approx(2.25)
    assert str(last.parts["error"]) == "0.0", "a penalty that does not apply is no -0.0"


def test_matches_of_a_composition_can_be_computed_again() -> None:
    wrong = MatchResult(type_match=False, exact_match=False)
    trajectory = episode(replace(STEPS[0], match=wrong))
    assert values(trajectory, "process:action_type=0.5,argument=0.5") == [0]
    assert values(trajectory, "process:action_type=0.5,argument=0.5,matcher=ui_s1") == [1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("process", "no part with a weight.*process:outcome=1"),
        ("process:outcome=0", "no part with a weight"),
        ("process:outcom=1", "did you mean 'outcome'"),
        ("process:outcome=much", "weight of part 'outcome' is 'much'"),
        ("process:outcome=true", "finite number"),
        ("process:outcome=NaN", "finite number"),
        ("process:outcome=1,over_long_sare=0.5", "did you mean 'over_long_share'"),
        ("process:outcome", "write key=value"),
        ("process:argument=1,matcher=ui_s2", "did you mean 'ui_s1'"),
    ],
)
def test_a_composition_that_means_nothing_is_refused(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        get_reward(name)


@pytest.mark.parametrize(
    ("name", "pays_steps", "needs"),
    [
        ("ui_s1", True, {Need.EXPERT}),
        ("task", False, {Need.VERDICT}),
        ("task:error_penalty=0.1", True, {Need.VERDICT}),
        ("task_progress", True, {Need.VERDICT, Need.PROGRESS}),
        ("srgpo_vpr", True, {Need.VERDICT, Need.PROGRESS, Need.TOKENS}),
        ("srgpo_vpr:over_long_penalty=0", True, {Need.VERDICT, Need.PROGRESS}),
        ("fathom", False, {Need.VERDICT, Need.STATE_KEYS, Need.STATE_AFTER}),
        ("process:outcome=1,bad_format=-0.1,over_long=-1", False, {Need.VERDICT, Need.TOKENS}),
        ("process:outcome=1,argument=1,progress=0", True, {Need.VERDICT, Need.EXPERT}),
    ],
)
def test_rewards_say_what_they_pay_and_need(name: str, pays_steps: bool, needs: set[Need]) -> None:
    reward = get_reward(name)
    assert reward.pays_steps == pays_steps
    assert set(reward.needs) == needs


def test_a_part_of_ones_own_can_be_weighted(monkeypatch: pytest.MonkeyPatch) -> None:
    thought = RewardPart(
        compute=lambda trajectory: [float(bool(each.thought)) for each in trajectory.steps],
        pays_steps=False,
        summary="the response has a thought",
        source="ours",
    )
    monkeypatch.setitem(PARTS, "thought", thought)
    trajectory = episode(replace(step(0, TAP), thought="so"), step(1, TAP))
    assert values(trajectory, "process:thought=0.5,format=1") == [1.5, 1]


def test_every_part_and_reward_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text(encoding="utf-8")
    assert [name for name in (*PARTS, *REWARDS) if f"\n| `{name}` |" not in text] == []


# -- published rules -------------------------------------------------------------------------------


def test_srgpo_pays_steps_for_progress_and_episodes_for_success() -> None:
    made = (0.5, 0.505, 0.5, 1.0)
    steps = [step(index, TAP, progress=value) for index, value in enumerate(made)]
    steps[2] = replace(steps[2], error="outside")
    won = replace(
        episode(*steps, verdict=Verdict.SUCCESS), source={"max_completion_length": 1}
    )  # every response of one token is over-long
    rewards = SrgpoReward(over_long_penalty=0.25)(won)
    assert [each.value for each in rewards] == [0.75, -0.25, pytest.approx(-0.35), 0.75]
    assert [each.episode_value for each in rewards] == [0, 0, 0, 1]
    rows = estimator_rows(won, rewards)
    assert {row.episode_reward for row in rows} == {1.0}, "penalties of steps stay out of the episode"
    assert [row.reward for row in rows] == [each.value for each in rewards]


def test_an_action_that_failed_made_no_progress() -> None:
    lucky = step(0, TAP, progress=1.0, error="outside")
    assert values(episode(lucky), "srgpo_vpr:over_long_penalty=0") == [-0.1]


def test_fathom_pays_a_success_less_the_more_steps_were_redundant() -> None:
    tidy = walk((TAP, "a", "b"), (TAP, "b", "c"), (Finish(), "c", "c"))
    detour = walk((TAP, "a", "b"), (TAP, "b", "b"), (OTHER_TAP, "b", "a"), (OTHER_TAP, "a", "c"))
    success = Outcome(verdict=Verdict.SUCCESS)
    assert values(replace(tidy, outcome=success), "fathom") == [0, 0, 1.1]
    assert values(replace(detour, outcome=success), "fathom") == [0, 0, 0, 0.6]
    assert values(tidy, "fathom") == [0, 0, 0.1 + 0.4 * 3 / 24]
    assert values(tidy, FathomReward(exploration_steps=2)) == [0, 0, 0.5]
    stuck = walk(*[(TAP, "a", "a")] * 4, outcome=success)
    assert values(stuck, FathomReward(format_weight=0)) == [0, 0, 0, 0.5]


# -- checks ----------------------------------------------------------------------------------------


class Broken:
    """A reward with a mistake in it."""

    pays_steps = True
    needs: frozenset[Need] = frozenset()

    def __init__(self, *rewards: StepReward) -> None:
        self._rewards = rewards

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        return list(self._rewards)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_reward_that_is_no_number_names_trajectory_step_and_part(value: float) -> None:
    fine, broken = StepReward.of(outcome=1.0), StepReward.of(outcome=1.0, progress=value)
    two = episode(step(0, TAP), step(1, TAP))
    with pytest.raises(DataError, match=r"trajectory 'e', step 1: part 'progress' of Broken"):
        checked(Broken(fine, broken), two)
    with pytest.raises(DataError, match="value of Broken"):
        checked(Broken(StepReward(value=value, parts={}), fine), two)
    with pytest.raises(DataError, match="episode_value of Broken"):
        checked(Broken(StepReward(value=0, parts={}, episode_value=value), fine), two)
    assert checked(Broken(fine, fine), two) == (fine, fine)


@pytest.mark.parametrize("count", [1, 3])
def test_a_missing_reward_names_the_trajectory(count: int) -> None:
    with pytest.raises(DataError, match=f"trajectory 'e' has 2 steps, but Broken gave {count} rewards"):
        checked(Broken(*[StepReward.of(outcome=1.0)] * count), episode(step(0, TAP), step(1, TAP)))


def test_progress_that_is_no_number_is_found_where_rewards_pass() -> None:
    trajectory = episode(step(0, TAP, progress=float("nan")))
    with pytest.raises(DataError, match="trajectory 'e', step 0: part 'progress' of ProcessReward"):
        checked(ProcessReward(weights={"progress": 1.0}), trajectory)
