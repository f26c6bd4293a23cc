"""Histories made wrong on purpose: what changes, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import pytest_asyncio

from devices.phone.factory import phone_devices
from devices.phone.suites import phone_suite
from eval.horizon import JudgedSteps, judged_steps
from eval.self_conditioning import CorruptedHistories, corrupt_histories, history_error_point
from gui_agent.actions import Click
from gui_agent.agent import FlatAgent
from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.errors import ConfigError, DataError
from gui_agent.formats.registry import get_format
from gui_agent.matching import get_matcher
from gui_agent.policy import Completion, FinishReason, ImageBudget, Prompt, SampleKey, SamplingParams
from trajectories.collect import collect_episodes, demonstrator_for, group_jobs
from trajectories.records import EpisodeRecord
from trajectories.replay import ReplayFactory, ReplaySource
from trajectories.replay_task import ReplayTask
from trajectories.subgoals import SubgoalSource, with_subgoals

MATCHER = get_matcher("ui_s1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demonstrations() -> list[EpisodeRecord]:
    suite = phone_suite("long")
    tasks = [
        suite.task(template, seed) for template in ("two_switches", "delete_then_music") for seed in (1, 2)
    ]
    episodes = collect_episodes(
        group_jobs(tasks), phone_devices(1, suite), demonstrator_for, record_elements=True, ordered=True
    )
    return [record async for record in episodes]


@pytest.fixture
def steps(demonstrations: list[EpisodeRecord]) -> Sequence[ReplayTask]:
    pictures = {name: shot for record in demonstrations for name, shot in record.screenshots.items()}
    return ReplaySource([record.trajectory for record in demonstrations], pictures, single_step=True).tasks


def without_widgets(tasks: Sequence[ReplayTask]) -> list[ReplayTask]:
    return [
        replace(task, earlier=tuple(replace(frame, elements=None) for frame in task.earlier))
        for task in tasks
    ]


class Parrot:
    """Always says the same, and keeps what it was asked."""

    version = 0
    image_budget = ImageBudget.of_factor(32)

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        self.prompts.append(prompt)
        text = f"back button back {len(prompt[0].text)}" if "play music" in prompt[0].text else "button home"
        words = Completion(
            prompt_token_ids=(),
            image_grids=(),
            token_ids=(),
            logprobs=(),
            text=text,
            finish_reason=FinishReason.STOP,
            policy_version=0,
        )
        return [words]


async def replayed(tasks: Sequence[ReplayTask]) -> tuple[list[Prompt], list[JudgedSteps]]:
    parrot = Parrot()
    agent_for = lambda device: FlatAgent(parrot, get_format("compact"), params=SamplingParams())  # noqa: E731
    factory = ReplayFactory(matcher=MATCHER, patch_budget=0)
    episodes = collect_episodes(group_jobs(tasks), factory, agent_for, ordered=True)
    trajectories = [record.trajectory async for record in episodes]
    return parrot.prompts, judged_steps(tasks, trajectories)


async def test_rate_zero_is_the_plain_replay(steps: Sequence[ReplayTask]) -> None:
    untouched = corrupt_histories(steps, 0.0, matcher=MATCHER)
    assert untouched == CorruptedHistories(
        tasks=tuple(steps), remembered=untouched.remembered, wrong=0, without_alternative=0
    )
    assert await replayed(untouched.tasks) == await replayed(steps)


async def test_rate_one_replaces_every_remembered_step_and_nothing_else(steps: Sequence[ReplayTask]) -> None:
    wrong = corrupt_histories(steps, 1.0, matcher=MATCHER)
    assert (wrong.wrong, wrong.without_alternative) == (wrong.remembered, 0)
    right_prompts, _ = await replayed(steps)
    wrong_prompts, _ = await replayed(wrong.tasks)
    for task, before, after in zip(steps, right_prompts, wrong_prompts, strict=True):
        assert before[0].parts[0] == after[0].parts[0], "the screen in front stays"
        right_lines, wrong_lines = before[0].text.splitlines(), after[0].text.splitlines()
        assert right_lines[0] == wrong_lines[0] == task.goal
        assert len(right_lines) == len(wrong_lines) == 1 + len(task.earlier)
        assert all(a != b for a, b in zip(right_lines[1:], wrong_lines[1:], strict=True))


def test_wrong_steps_are_taps_on_other_widgets_in_words_such_as_the_experts(
    steps: Sequence[ReplayTask],
) -> None:
    steps = [task for task in steps if task.template == "two_switches"]  # many widgets on every screen
    wrong = corrupt_histories(steps, 1.0, matcher=MATCHER)
    for right, task in zip(steps, wrong.tasks, strict=True):
        for before, frame in zip(right.earlier, task.earlier, strict=True):
            assert frame == replace(before, expert=frame.expert)
            assert isinstance(frame.expert.action, Click)
            widget = next(one for one in frame.elements or () if one.name == frame.expert.thought)
            assert widget.box.contains(frame.expert.action.x, frame.expert.action.y)
            match = MATCHER.match(frame.expert.action, before.expert, frame.width_px, frame.height_px)
            assert not match.exact_match


@pytest.mark.parametrize("planner_format", ["compact", "compact:history=planned"])
async def test_a_planner_remembers_wrong_steps(
    demonstrations: list[EpisodeRecord], planner_format: str
) -> None:
    pictures = {name: shot for record in demonstrations for name, shot in record.screenshots.items()}
    planned = [with_subgoals(record.trajectory, SubgoalSource.TEMPLATE) for record in demonstrations]
    steps = ReplaySource(planned, pictures, single_step=True).tasks
    wrong = corrupt_histories(steps, 1.0, matcher=MATCHER)
    asked = []
    for tasks in (steps, wrong.tasks):
        parrot = Parrot()
        spec = AgentSpec(kind=AgentKind.HIERARCHICAL, format="compact", planner_format=planner_format)
        agent_for = spec.agent_for(parrot)
        factory = ReplayFactory(matcher=MATCHER, patch_budget=0)
        async for _ in collect_episodes(group_jobs(tasks), factory, agent_for, ordered=True):
            pass
        asked.append([prompt[0].text for prompt in parrot.prompts if prompt[0].text.endswith("plan\n")])
    for task, right, corrupted in zip(wrong.tasks, *asked, strict=True):
        said = corrupted.splitlines()[1:-1]
        if planner_format == "compact":
            names = [frame.expert.thought for frame in task.earlier]
            assert all(a.startswith(f"{b} click ") for a, b in zip(said, names, strict=True))
        else:
            assert said == [frame.expert.subgoal for frame in task.earlier]
        assert all(a != b for a, b in zip(right.splitlines()[1:-1], said, strict=True))


def test_without_widgets_wrong_steps_come_from_the_data(steps: Sequence[ReplayTask]) -> None:
    known = {frame.expert for task in steps for frame in task.frames}
    wrong = corrupt_histories(without_widgets(steps), 1.0, matcher=MATCHER)
    assert wrong.wrong == wrong.remembered > 0
    assert {frame.expert for task in wrong.tasks for frame in task.earlier} <= known


def test_what_is_wrong_at_a_low_rate_is_wrong_in_the_same_way_at_a_higher_one(
    steps: Sequence[ReplayTask],
) -> None:
    counts = []
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.0)):
        fewer = corrupt_histories(steps, low, matcher=MATCHER, seed=5)
        more = corrupt_histories(steps, high, matcher=MATCHER, seed=5)
        assert more == corrupt_histories(steps, high, matcher=MATCHER, seed=5)
        for right, less, further in zip(steps, fewer.tasks, more.tasks, strict=True):
            for frames in zip(right.earlier, less.earlier, further.earlier, strict=True):
                if frames[0] != frames[1]:
                    assert frames[1] == frames[2]
        counts.append(more.wrong)
    assert counts[0] < counts[1] < counts[2]


def test_where_there_is_no_alternative_the_step_stays_and_is_counted(steps: Sequence[ReplayTask]) -> None:
    alone = next(task for task in without_widgets(steps) if len(task.earlier) == 1)
    same = replace(alone, frames=alone.earlier)
    found = corrupt_histories([same], 1.0, matcher=MATCHER)
    assert (found.wrong, found.without_alternative, found.tasks) == (0, 1, (same,))


def test_figures_compare_the_same_steps() -> None:
    histories = CorruptedHistories(tasks=(), remembered=4, wrong=3, without_alternative=1)
    right = [JudgedSteps(trajectory_id="a", right=(True, True, True, False))]
    wrong = [JudgedSteps(trajectory_id="a", right=(False, True, False, False))]
    point = history_error_point(histories, wrong, right, rate=0.8)
    assert point.accuracy.value == pytest.approx(1 / 3)
    assert point.num_steps == 3
    assert point.change.value == pytest.approx(-1 / 3), "the first step has no history and is left out"
    assert point.wrong_share == 0.75
    with pytest.raises(DataError, match="the same steps"):
        history_error_point(histories, wrong, [], rate=0.8)
    single = [JudgedSteps(trajectory_id="a", right=(True,))]
    with pytest.raises(DataError, match="have a history"):
        history_error_point(histories, single, single, rate=0.8)
    with pytest.raises(ConfigError, match=r"probability from 0 to 1, not 1\.5"):
        corrupt_histories([], 1.5, matcher=MATCHER)
