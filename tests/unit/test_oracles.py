"""One half of the agent an oracle, the other wrong on purpose: who is blamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from devices.phone.factory import phone_devices
from devices.phone.suites import phone_suite
from eval.blame import Blame, JudgedPlan, JudgedStep, error_split, has_planner, judge_plans, subgoal_effect
from eval.horizon import JudgedSteps
from eval.oracles import (
    ExpertPlanner,
    LiteralActor,
    LiteralFormat,
    Oracle,
    agent_with_oracle,
    expert_subgoal,
    frame_labels,
    why_not,
)
from gui_agent.actions import Click, Drag, Finish, ParseError
from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.coordinates import ScreenGeometry
from gui_agent.device import Device, ExpertAction, Verdict
from gui_agent.errors import ConfigError, DataError
from gui_agent.formats.registry import get_planner_format
from gui_agent.hierarchy import HierarchicalAgent
from gui_agent.matching import get_matcher
from gui_agent.observation import Box, UiElement
from gui_agent.policy import (
    AgentRole,
    Completion,
    FinishReason,
    ImageBudget,
    Prompt,
    SampleKey,
    SamplingParams,
)
from trajectories.collect import collect_episodes, demonstrator_for, group_jobs
from trajectories.records import EpisodeRecord, Trajectory
from trajectories.replay import ReplayFactory, ReplaySource
from trajectories.replay_task import ReplayTask

MATCHER = get_matcher("ui_s1")
SPEC = AgentSpec(kind=AgentKind.HIERARCHICAL, format="compact")
SUITE = phone_suite("long")
TASKS = [SUITE.task(template, 1) for template in ("two_switches", "delete_then_music")]


@dataclass
class Saying:
    """Always says the same as an actor, and the same as a planner."""

    planner: str = ""
    actor: str = ""
    version: int = 0
    image_budget: ImageBudget = ImageBudget.of_factor(32)  # noqa: RUF009 - a frozen value

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        text = self.planner if key.role == AgentRole.PLANNER else self.actor
        words = Completion(
            prompt_token_ids=(), image_grids=(), token_ids=(), logprobs=(), policy_version=0, text=text,
            finish_reason=FinishReason.STOP,
        )  # fmt: skip
        return [words] * n


def both_oracles(device: Device) -> HierarchicalAgent:
    planner_format = SPEC.get_planner_format()
    return HierarchicalAgent(
        ExpertPlanner(device, planner_format),
        LiteralActor(device),
        planner_format,
        LiteralFormat(),
        planner_params=SPEC.params,
        actor_params=SPEC.params,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demonstrations() -> list[EpisodeRecord]:
    episodes = collect_episodes(
        group_jobs(TASKS), phone_devices(1, SUITE), demonstrator_for, record_elements=True, ordered=True
    )
    return [record async for record in episodes]


@pytest.fixture
def tasks(demonstrations: list[EpisodeRecord]) -> Sequence[ReplayTask]:
    pictures = {name: shot for record in demonstrations for name, shot in record.screenshots.items()}
    return ReplaySource([record.trajectory for record in demonstrations], pictures).tasks


async def replayed(
    tasks: Sequence[ReplayTask],
    agent_for: Callable[[Device], HierarchicalAgent],
    patch_budget: int | None = None,
) -> list[Trajectory]:
    factory = ReplayFactory(matcher=MATCHER, patch_budget=patch_budget)
    episodes = collect_episodes(group_jobs(tasks), factory, agent_for, ordered=True)
    return [record.trajectory async for record in episodes]


async def test_with_two_oracles_the_agent_is_the_expert_live_and_in_replay(
    tasks: Sequence[ReplayTask],
) -> None:
    everywhere = [SUITE.task(template, seed) for template in SUITE.templates for seed in (1, 2)]
    live = collect_episodes(group_jobs(everywhere), phone_devices(1, SUITE), both_oracles)
    assert all([record.trajectory.succeeded async for record in live])
    for trajectory in await replayed(tasks, both_oracles, patch_budget=0):
        assert trajectory.outcome.verdict is Verdict.SUCCESS
        assert all(step.subgoal for step in trajectory.steps)


async def test_with_an_oracle_planner_every_error_is_the_actors(tasks: Sequence[ReplayTask]) -> None:
    agent_for = agent_with_oracle(Oracle.PLANNER, SPEC, Saying(actor="button home"))
    trajectories = await replayed(tasks, agent_for)
    split = error_split(judge_plans(tasks, trajectories, matcher=MATCHER), matcher="m")
    assert split.plan_accuracy is not None
    assert (split.plan_accuracy.value, split.planner.value, split.unread.value) == (1, 0, 0)
    assert split.actor.value > 0.5
    assert 0 < split.right.value < 0.5, "going home is right once in a while"
    assert split.first_errors["actor"] == split.num_trajectories == 2


async def test_with_an_oracle_actor_every_error_is_the_planners(tasks: Sequence[ReplayTask]) -> None:
    agent_for = agent_with_oracle(Oracle.ACTOR, SPEC, Saying(planner="tap music", actor="not asked"))
    trajectories = await replayed(tasks, agent_for)
    split = error_split(judge_plans(tasks, trajectories, matcher=MATCHER), matcher="m")
    assert (split.actor.value, split.unread.value, split.rescued.value) == (0, 0, 0)
    assert split.action_accuracy is not None
    assert split.action_accuracy.value == 1
    assert split.planner.value > 0.5
    failed = next(step for step in trajectories[0].steps if isinstance(step.requested, ParseError))
    assert isinstance(failed.requested, ParseError)
    assert "nothing on this screen is called 'music'" in failed.requested.reason


async def test_no_subgoal_and_one_in_prose_are_told_apart(tasks: Sequence[ReplayTask]) -> None:
    for words, blame in (("", Blame.PLANNER), ("make it quiet", Blame.UNREAD)):
        policy = Saying(planner=words, actor="wait")
        trajectories = await replayed(tasks, SPEC.agent_for(policy))  # type: ignore[arg-type]
        assert has_planner(trajectories)
        plans = judge_plans(tasks, trajectories, matcher=MATCHER)
        assert {step.blame for plan in plans for step in plan.steps} == {blame}


async def test_without_labels_the_experts_target_is_the_only_thing_with_a_name(
    tasks: Sequence[ReplayTask],
) -> None:
    bare = [
        replace(task, frames=tuple(replace(frame, elements=None) for frame in task.frames)) for task in tasks
    ]
    for trajectory in await replayed(bare, both_oracles, patch_budget=0):
        assert trajectory.outcome.verdict is Verdict.SUCCESS
    wordy = replace(bare[0].frames[0].expert, thought="because the settings hold what I am looking for now")
    nameless = replace(bare[0].frames[0], expert=wordy)
    assert frame_labels(nameless) is None
    assert expert_subgoal(nameless.expert, None) is None
    assert frame_labels(replace(nameless, expert=ExpertAction(action=Finish()))) == ()
    task = replace(bare[0], frames=(nameless,))
    policy = Saying(planner="tap settings", actor="wait")
    plans = judge_plans([task], await replayed([task], SPEC.agent_for(policy)), matcher=MATCHER)  # type: ignore[arg-type]
    assert plans[0].first_error is Blame.UNREAD, "nobody can tell what is called settings here"


async def test_who_says_what_the_expert_says_plans_right(tasks: Sequence[ReplayTask]) -> None:
    frame = tasks[0].frames[0]
    box, smaller = Box(left=0, top=0, right=30, bottom=30), Box(left=0, top=100, right=20, bottom=120)
    rows = tuple(UiElement(name="row", role="button", box=each) for each in (box, smaller))
    deeds = {
        "tap row": ExpertAction(action=Click(x=15, y=15), boxes=(box,), thought="row"),
        "Drag  slider": ExpertAction(action=Drag(x=1, y=1, to_x=50, to_y=50), subgoal="drag slider"),
        "make it quiet": ExpertAction(action=Click(x=15, y=15), subgoal="make it quiet"),
    }
    for words, expert in deeds.items():
        task = replace(tasks[0], frames=(replace(frame, expert=expert, elements=rows),))
        trajectories = await replayed([task], SPEC.agent_for(Saying(planner=words, actor="wait")))  # type: ignore[arg-type]
        (plan,) = judge_plans([task], trajectories, matcher=MATCHER)
        assert plan.first_error is Blame.ACTOR, words


def test_what_the_expert_touches_has_a_name_beside_the_labels(tasks: Sequence[ReplayTask]) -> None:
    frame = tasks[0].frames[0]
    assert frame.elements is not None
    assert frame_labels(frame) == frame.elements, "its name is known"
    arrow = replace(frame, expert=replace(frame.expert, thought="arrow up"))
    assert [label.name for label in frame_labels(arrow) or ()][-1] == "arrow up"


@pytest.mark.parametrize(
    ("words", "reason"), [("word " * 50, "249 characters"), ("<|im_end|>", "control token")]
)
def test_a_subgoal_that_no_actor_can_be_given_is_no_error_of_the_oracle(
    tasks: Sequence[ReplayTask], words: str, reason: str
) -> None:
    frame = tasks[0].frames[0]
    long = replace(tasks[0], frames=(frame, replace(frame, expert=replace(frame.expert, subgoal=words))))
    dialect = get_planner_format("compact")
    assert why_not(Oracle.PLANNER, tasks[0], dialect) is None
    found = why_not(Oracle.PLANNER, long, dialect)
    assert found is not None
    assert "subgoal of step 1: planner: " in found
    assert reason in found
    assert why_not(Oracle.ACTOR, long, dialect) is None


def test_recorded_subgoals_come_before_templates() -> None:
    expert = ExpertAction(
        action=Click(x=1, y=1), boxes=(Box(left=0, top=0, right=2, bottom=2),), thought="ok"
    )
    assert expert_subgoal(expert, None) == "tap ok"
    assert expert_subgoal(replace(expert, subgoal="confirm the dialog"), None) == "confirm the dialog"


def test_figures_of_a_small_example() -> None:
    saved, right = JudgedStep(right=True, plan_right=False), JudgedStep(right=True, plan_right=True)
    actor, planner = JudgedStep(right=False, plan_right=True), JudgedStep(right=False, plan_right=False)
    unread = JudgedStep(right=False, plan_right=None)
    split = error_split(
        [
            JudgedPlan(trajectory_id="a", steps=(right, actor, planner)),
            JudgedPlan(trajectory_id="b", steps=(saved, unread)),
            JudgedPlan(trajectory_id="c", steps=(right,)),
        ],
        matcher="ui_s1@1",
    )
    shares = (split.right, split.planner, split.actor, split.unread)
    assert [share.value for share in shares] == pytest.approx([3 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert split.rescued.value == pytest.approx(1 / 6)
    assert split.plan_accuracy is not None
    assert split.plan_accuracy.value == pytest.approx(3 / 5)
    assert split.action_accuracy is not None
    assert split.action_accuracy.value == pytest.approx(2 / 3)
    assert split.first_errors == {"right": 1, "planner": 0, "actor": 1, "unread": 1}
    with pytest.raises(DataError, match="at least one step"):
        error_split([], matcher="m")


def test_the_experts_subgoals_tell_whose_error_it_was() -> None:
    own = [JudgedSteps.from_marks("a", "1100"), JudgedSteps.from_marks("unknown to the oracle", "0")]
    given = [JudgedSteps.from_marks("a", "1010")]
    effect = subgoal_effect(own, given)
    shares = (effect.right, effect.planner, effect.actor, effect.lost)
    assert [share.value for share in shares] == [0.25, 0.25, 0.25, 0.25]
    assert (effect.num_steps, effect.num_trajectories) == (4, 1)
    assert JudgedSteps.from_marks("a", own[0].marks) == own[0]
    for other in ([], [JudgedSteps.from_marks("a", "1")]):
        with pytest.raises(DataError, match="the same recordings"):
            subgoal_effect(own, other)


def test_the_literal_dialect_reads_what_it_writes() -> None:
    dialect = LiteralFormat()
    geometry = ScreenGeometry.of(10, 10, ImageBudget())
    words = dialect.render(Click(x=3, y=4), "no thought", geometry)
    assert dialect.parse(words, geometry).action == Click(x=3, y=4)
    for text in ("click 3 4", "[]", '{"type": "fly"}', "3", '{"type": "click", "x": "a", "y": 1}'):
        found = dialect.parse(text, geometry)
        assert isinstance(found.action, ParseError)
        assert not found.format_ok


class NoExpert:
    """A device that knows nothing."""


def test_a_device_without_expert_has_no_oracle_planner() -> None:
    with pytest.raises(ConfigError, match="NoExpert knows no expert"):
        ExpertPlanner(NoExpert(), get_planner_format("compact"))  # type: ignore[arg-type]
