"""Sampling candidates around the decisions of a hierarchical agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from PIL import Image

from gui_agent.actions import Click, Finish
from gui_agent.agent import Candidate, CandidateKind, EpisodeContext
from gui_agent.device import ExpertAction
from gui_agent.foresight import GAIN, JUDGE, Fan, ForesightAgent
from gui_agent.formats.registry import get_format, get_planner_format
from gui_agent.hierarchy import HierarchicalAgent
from gui_agent.judge import JudgeQuestion, ModelJudge, judge_prompt, read_verdict
from gui_agent.matching import get_matcher
from gui_agent.observation import Screenshot
from gui_agent.policy import (
    AgentRole,
    Completion,
    FinishReason,
    ImageBudget,
    ImagePart,
    Prompt,
    SampleKey,
    SamplingParams,
)
from trajectories.episode import run_episode
from trajectories.records import Trajectory
from trajectories.replay import ReplayDevice
from trajectories.replay_task import ReplayFrame, ReplayTask

SUBGOALS = ("tap left", "tap right", "finish", "")
ACTIONS = ("click 14 14", "click 42 42", "finish success", "nothing")


@dataclass
class Words:
    """Says words that depend on the key and the number of the sample alone, and counts."""

    subgoals: Sequence[str] = SUBGOALS[:3]
    actions: Sequence[str] = ACTIONS
    asked: list[tuple[SampleKey, int]] = field(default_factory=list)
    version: int = 0
    image_budget: ImageBudget = field(default_factory=ImageBudget)

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        self.asked.append((key, n))
        words = self.subgoals if key.role == AgentRole.PLANNER else self.actions
        return [
            Completion(
                prompt_token_ids=(1, 2), image_grids=((1, 2, 2),), token_ids=(7,), logprobs=(-1.0,),
                text=words[key.noise_seed(sample) % len(words)], finish_reason=FinishReason.STOP,
                policy_version=0,
            )
            for sample in range(n)
        ]  # fmt: skip


def task(num_frames: int = 3) -> ReplayTask:
    shots = [
        Screenshot.from_image(Image.new("RGB", (56, 56), (number, 0, 0))) for number in range(num_frames)
    ]
    actions = [Click(x=14, y=14)] * (num_frames - 1) + [Finish()]
    frames = tuple(
        ReplayFrame(
            sha256=shot.sha256, width_px=56, height_px=56, expert=ExpertAction(action=action),
            state_key=str(number),
        )
        for number, (shot, action) in enumerate(zip(shots, actions, strict=True))
    )  # fmt: skip
    return ReplayTask(
        task_id="tap", template="tap", goal="tap left twice", frames=frames,
        screenshots={shot.sha256: shot for shot in shots},
    )  # fmt: skip


def hierarchical(policy: Words) -> HierarchicalAgent:
    params = SamplingParams()
    return HierarchicalAgent(
        policy, policy, get_planner_format("compact"), get_format("compact"),
        planner_params=params, actor_params=params,
    )  # fmt: skip


async def play(agent: HierarchicalAgent | ForesightAgent, *, update: int = 0) -> Trajectory:
    context = EpisodeContext(goal="tap left twice", episode_id="e", seed=3, update=update)
    device = ReplayDevice(get_matcher("ui_s1"), patch_budget=None)
    record = await run_episode(device, agent, task(), context=context)
    assert set(record.trajectory.screenshot_sha256s) <= set(record.screenshots)
    return record.trajectory


def kinds(candidates: Sequence[Candidate]) -> Counter[CandidateKind]:
    return Counter(candidate.kind for candidate in candidates)


@pytest.mark.parametrize(("subgoals", "probes"), [(2, 1), (4, 1), (3, 2)])
async def test_samples_grow_linearly_with_states(subgoals: int, probes: int) -> None:
    policy = Words()
    fan = Fan(subgoals=subgoals, probes=probes, actions=subgoals)
    trajectory = await play(ForesightAgent(hierarchical(policy), fan_at=lambda _: fan))
    num_states = len(trajectory.steps)
    assert num_states == 3
    expected = num_states * (2 * subgoals + subgoals * probes)
    assert sum(n for _, n in policy.asked) == expected
    assert sum(step.num_samples for step in trajectory.steps) == expected == num_states * fan.num_samples
    for step in trajectory.steps:
        assert kinds(step.candidates) == {
            CandidateKind.SUBGOAL: subgoals,
            CandidateKind.PROBE: subgoals * probes,
            CandidateKind.ACTION: subgoals,
        }
    assert len({key for key, _ in policy.asked}) == len(policy.asked)  # no two requests share their noise


async def test_the_trunk_is_the_episode_that_the_agent_would_have_played_alone() -> None:
    fan = Fan(subgoals=4, probes=1, actions=4)
    alone = await play(hierarchical(Words(subgoals=SUBGOALS)))
    trunk = await play(ForesightAgent(hierarchical(Words(subgoals=SUBGOALS)), fan_at=lambda _: fan))
    for lone, step in zip(alone.steps, trunk.steps, strict=True):
        assert step.completions == lone.completions
        assert (step.requested, step.subgoal, step.format_ok) == (
            lone.requested,
            lone.subgoal,
            lone.format_ok,
        )
        executed = [each.completion for each in step.candidates if not each.branch and not each.sample]
        assert [each for each in executed if each in step.completions] == list(step.completions)


async def test_nobody_acts_on_a_subgoal_that_is_none() -> None:
    policy = Words(subgoals=("",))
    fan = Fan(subgoals=3, probes=2, actions=3)
    trajectory = await play(ForesightAgent(hierarchical(policy), fan_at=lambda _: fan))
    for step in trajectory.steps:
        assert kinds(step.candidates) == {CandidateKind.SUBGOAL: 3}
        assert not any(candidate.format_ok for candidate in step.candidates)
        assert [completion.role for completion in step.completions] == [AgentRole.PLANNER]


async def test_the_fan_follows_the_update() -> None:
    fans = [Fan(actions=3), Fan(subgoals=3, probes=1)]
    agent = ForesightAgent(hierarchical(Words()), fan_at=lambda update: fans[update])
    first, second = await play(agent, update=0), await play(agent, update=1)
    assert {step.num_samples for step in first.steps} == {1 + 3}
    assert {step.num_samples for step in second.steps} == {3 + 3 + 1}


class Longest:
    """Likes long subgoals, and says nothing about "finish"."""

    def __init__(self) -> None:
        self.asked: list[JudgeQuestion] = []

    async def judge(self, question: JudgeQuestion, key: SampleKey) -> float | None:
        self.asked.append(question)
        return None if question.subgoal == "finish" else len(question.subgoal) / 10


async def test_the_judge_is_asked_about_every_subgoal_that_is_one() -> None:
    judge, fan = Longest(), Fan(subgoals=4, probes=1, actions=4)
    agent = ForesightAgent(hierarchical(Words(subgoals=SUBGOALS)), fan_at=lambda _: fan, judge=judge)
    trajectory = await play(agent)
    subgoals = [
        each for step in trajectory.steps for each in step.candidates if each.kind is CandidateKind.SUBGOAL
    ]
    assert [each.subgoal for each in subgoals if each.subgoal] == [each.subgoal for each in judge.asked]
    assert all(question.gains == () and question.goal == "tap left twice" for question in judge.asked)
    for each in subgoals:
        judged = each.subgoal not in (None, "finish")
        assert each.measured == ({JUDGE: len(each.subgoal or "") / 10} if judged else {})
    assert all(GAIN not in each.measured for step in trajectory.steps for each in step.candidates)


@pytest.mark.parametrize(
    ("answer", "verdict"), [("Yes.", 1.0), (" no, it is on already", 0.0), ("perhaps", None), ("", None)]
)
async def test_a_model_judges_by_its_first_word(answer: str, verdict: float | None) -> None:
    shot = Screenshot.from_image(Image.new("RGB", (56, 56)))
    question = JudgeQuestion(goal="tap left", screenshot=shot, subgoal="tap right", after=shot)
    judge = ModelJudge(Words(actions=(answer,)))
    assert await judge.judge(question, SampleKey(seed=0, update=0, episode="e", step=0)) == verdict
    assert read_verdict(answer) == verdict
    prompt = judge_prompt(question)
    assert sum(isinstance(part, ImagePart) for message in prompt for part in message.parts) == 2
    assert "tap left" in prompt[1].text
    assert "tap right" in prompt[1].text
