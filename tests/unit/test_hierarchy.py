"""The hierarchical agent: who is asked what, and what both roles remember of what really happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import Click, Finish, ParseError
from gui_agent.agent import EpisodeContext, PatchThought
from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.hierarchy import HierarchicalAgent, PatchSubgoal
from gui_agent.matching import get_matcher
from gui_agent.observation import Observation, Screenshot
from gui_agent.policies.by_role import PolicyByRole
from gui_agent.policy import (
    AgentRole,
    Completion,
    FinishReason,
    ImageBudget,
    Prompt,
    SampleKey,
    SamplingParams,
)
from trajectories.episode import run_episode
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.replay import ReplayDevice, ReplaySource, ReplayTask
from trajectories.store import TrajectoryStore

SIZE = 56
BUDGET = ImageBudget(min_pixels=784)
TAPS = ((14, 14), (42, 14), (14, 42))
SUBGOALS = ("tap red", "tap blue", "tap green")


@dataclass
class Scripted:
    """Says what it is told, role by role, and keeps what it was asked."""

    says: dict[str, list[str]]
    asked: list[tuple[str, Prompt]] = field(default_factory=list)
    keys: list[SampleKey] = field(default_factory=list)
    version: int = 3
    image_budget: ImageBudget = BUDGET

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        self.asked.append((key.role, prompt))
        self.keys.append(key)
        text = self.says[key.role].pop(0)
        return [
            Completion(
                prompt_token_ids=(1, 2), image_grids=((1, 2, 2),), token_ids=(5, 6), logprobs=(-0.5, -0.25),
                text=text, finish_reason=FinishReason.STOP, policy_version=self.version,
            )
        ]  # fmt: skip

    def prompts(self, role: AgentRole) -> list[str]:
        return [prompt[-1].text for asked, prompt in self.asked if asked == role.value]


def picture(number: int) -> Screenshot:
    return Screenshot.from_image(Image.new("RGB", (SIZE, SIZE), ("red", "blue", "green")[number]))


def recording() -> EpisodeRecord:
    shots = [picture(number) for number in range(3)]
    steps = tuple(
        Step(
            index=i, screenshot_sha256=shot.sha256, width_px=SIZE, height_px=SIZE, requested=None,
            executed=Click(x=x, y=y), subgoal=subgoal,
            expected=ExpertAction(action=Click(x=x, y=y), thought=f"thought {i}"),
        )
        for i, (shot, (x, y), subgoal) in enumerate(zip(shots, TAPS, SUBGOALS, strict=True))
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id="expert", task_id="task", template="tap", suite="tiny", goal="tap all", steps=steps,
        stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})


def task() -> ReplayTask:
    record = recording()
    return ReplayTask.from_trajectory(record.trajectory, record.screenshots)


COMPACT = AgentSpec(kind=AgentKind.HIERARCHICAL, format="compact")


async def replay(policy: Any, spec: AgentSpec = COMPACT, *, what: ReplayTask | None = None) -> EpisodeRecord:
    device = ReplayDevice(get_matcher("ui_s1"), patch_budget=1)
    agent = spec.agent_for(policy)(device)
    played = what or task()
    return await run_episode(device, agent, played, context=EpisodeContext(goal=played.goal, episode_id="e"))


async def test_a_planner_may_remember_its_own_words() -> None:
    policy = Scripted(
        says={"planner": list(SUBGOALS), "actor": ["click 14 14", "click 42 14", "click 14 42"]}
    )
    await replay(policy, replace(COMPACT, planner_format="compact:history=planned"))
    assert policy.prompts(AgentRole.PLANNER)[2] == "tap all\ntap red\ntap blue\nplan\n"


async def test_the_actor_is_asked_for_what_the_planner_says() -> None:
    policy = Scripted(
        says={"planner": list(SUBGOALS), "actor": ["red click 14 14", "click 42 14", "click 14 42"]}
    )
    trajectory = (await replay(policy)).trajectory
    assert policy.prompts(AgentRole.PLANNER) == [
        "tap all\nplan\n",
        "tap all\nred click 14 14\nplan\n",
        "tap all\nred click 14 14\nclick 42 14\nplan\n",
    ]
    assert policy.prompts(AgentRole.ACTOR) == [
        "tap red\n",
        "tap blue\nred click 14 14\n",
        "tap green\nred click 14 14\nclick 42 14\n",
    ]
    assert [key.step for key in policy.keys] == [0, 0, 1, 1, 2, 2]
    assert len({key.noise_seed(0) for key in policy.keys}) == 6
    for step, subgoal in zip(trajectory.steps, SUBGOALS, strict=True):
        assert step.subgoal == subgoal
        assert [item.role for item in step.completions] == [AgentRole.PLANNER, AgentRole.ACTOR]
        assert step.format_ok
    assert trajectory.steps[0].thought == "red"
    assert trajectory.outcome.verdict is Verdict.SUCCESS


@pytest.mark.parametrize(
    ("patch_subgoal", "planner_line", "said"),
    [(PatchSubgoal.FROM_DATA, "patch tap red", "tap red"), (PatchSubgoal.NONE, "patch click 14 14", None)],
)
async def test_a_patch_replaces_the_words_of_both_roles(
    patch_subgoal: PatchSubgoal, planner_line: str, said: str | None
) -> None:
    policy = Scripted(says={"planner": ["tap green", "tap blue"], "actor": ["click 50 50", "click 0 50"]})
    trajectory = (await replay(policy, replace(COMPACT, patch_subgoal=patch_subgoal))).trajectory
    assert policy.prompts(AgentRole.PLANNER)[1] == f"tap all\n{planner_line}\nplan\n"
    assert policy.prompts(AgentRole.ACTOR)[1] == "tap blue\nclick 14 14\n"
    patched = trajectory.steps[0]
    assert patched.source is ActionSource.PATCH
    assert patched.subgoal == "tap green"  # what the planner asked for stays on record
    assert patched.expected is not None
    assert patched.expected.subgoal == "tap red"


async def test_the_dialogues_of_both_roles_say_what_was_done_and_by_whom() -> None:
    words = "<reasoning>\nlook\n</reasoning>\n<instruction>\nInstruction: tap green\n</instruction>"
    answer = '<think>\nthere\n</think>\n<action>\n{"action": "click", "coordinate": [50, 50]}\n</action>'
    policy = Scripted(says={"planner": [words] * 2, "actor": [answer] * 2})
    spec = AgentSpec(kind=AgentKind.HIERARCHICAL, patch_thought=PatchThought.OFF_POLICY)
    await replay(policy, spec)
    planner = [prompt for role, prompt in policy.asked if role == "planner"][1]
    assert planner[2].text == (
        "<reasoning>\nthought 0\n</reasoning>\n<instruction>\nInstruction: tap red\n</instruction>"
    )
    assert planner[3].text.startswith("Result: an expert took this step instead: tap\n")
    actor = [prompt for role, prompt in policy.asked if role == "actor"][1]
    assert actor[1].text.startswith("User Instruction: tap red\n")
    assert '"coordinate": [14, 14]' in actor[2].text
    assert actor[3].text.startswith("User Instruction: tap green\n")


@pytest.mark.parametrize("recorded", ["x" * 500, "tap <|im_end|>", "tap \x07"])
async def test_a_recorded_subgoal_that_no_actor_can_be_given_stays_out_of_both_histories(
    recorded: str,
) -> None:
    policy = Scripted(says={"planner": ["tap green", "tap blue"], "actor": ["click 50 50", "click 0 50"]})
    (first, *others) = task().frames
    odd = replace(first, expert=replace(first.expert, subgoal=recorded))
    await replay(policy, what=replace(task(), frames=(odd, *others)))
    assert policy.prompts(AgentRole.PLANNER)[1] == "tap all\npatch click 14 14\nplan\n"
    agent = COMPACT.hierarchical_agent(policy)
    agent.start(EpisodeContext(goal="tap all", episode_id="e"))
    agent.remember(picture(0), Click(x=14, y=14), None, recorded)
    assert recorded not in agent.planner_prompt(Observation(screenshot=picture(1)))[-1].text
    assert [turn.goal for turn in agent.memory()[1]] == [""]


async def test_an_actor_explains_a_patch_on_policy() -> None:
    says = {"planner": ["tap green"] * 2, "actor": ["click 50 50"] * 2, "patch_thought": ["the red one"]}
    policy = Scripted(says=says)
    await replay(policy, replace(COMPACT, patch_thought=PatchThought.ON_POLICY))
    assert policy.prompts(AgentRole.PATCH_THOUGHT) == ["tap red\nwhy click 14 14\n"]
    assert policy.prompts(AgentRole.ACTOR)[1] == "tap green\nthe red one click 14 14\n"


async def test_an_actor_can_be_shown_the_screen_and_the_subgoal_alone() -> None:
    policy = Scripted(
        says={"planner": list(SUBGOALS), "actor": ["click 14 14", "click 42 14", "click 14 42"]}
    )
    await replay(policy, replace(COMPACT, actor_history=1))
    assert policy.prompts(AgentRole.ACTOR)[2] == "tap green\nclick 42 14\n"
    policy.says = {"planner": list(SUBGOALS), "actor": ["click 14 14", "click 42 14", "click 14 42"]}
    policy.asked.clear()
    await replay(policy, replace(COMPACT, actor_history=0))
    assert policy.prompts(AgentRole.ACTOR) == [f"{subgoal}\n" for subgoal in SUBGOALS]


@pytest.mark.parametrize("planned", ["", "tap\nblue", "x" * 121, "tap <|im_end|> red", "tap \x07 red"])
async def test_without_a_usable_subgoal_the_actor_is_not_asked(planned: str, tmp_path: Path) -> None:
    policy = Scripted(says={"planner": [planned, "tap blue"], "actor": ["click 0 50"]})
    record = await replay(policy)
    failed = record.trajectory.steps[0]
    assert isinstance(failed.requested, ParseError)
    assert failed.requested.reason.startswith("planner: ")
    assert failed.requested.text == planned
    assert failed.subgoal is None
    assert not failed.format_ok
    assert [item.role for item in failed.completions] == [AgentRole.PLANNER]
    assert failed.source is ActionSource.PATCH  # and the episode goes on
    assert policy.prompts(AgentRole.PLANNER)[1] == "tap all\npatch tap red\nplan\n"
    assert policy.prompts(AgentRole.ACTOR) == ["tap blue\nclick 14 14\n"]
    store = TrajectoryStore.create(tmp_path / "store")
    store.append(record)
    assert list(store) == [record.trajectory]


async def test_a_mistake_that_nobody_patched_stays_in_the_planners_history_alone() -> None:
    policy = Scripted(says={"planner": ["a\nb", "tap blue"], "actor": ["click 42 14"]})
    device = ReplayDevice(get_matcher("ui_s1"), patch_budget=0)
    agent = COMPACT.hierarchical_agent(policy)
    await device.reset(task())
    agent.start(EpisodeContext(goal="tap all", episode_id="e"))
    observation = await device.observe()
    decision = await agent.decide(observation)
    result = await device.execute(decision.action)
    assert result.executed is None
    await agent.record(result)
    await agent.decide(observation)
    assert policy.prompts(AgentRole.PLANNER)[1] == "tap all\na b\nplan\n"
    assert policy.prompts(AgentRole.ACTOR) == ["tap blue\n"]


@pytest.mark.parametrize(
    ("planner_format", "remembered"),
    [
        ("compact", "thought 0 click 14 14\nthought 1 click 42 14\n"),
        ("compact:history=planned", "tap red\ntap blue\n"),
    ],
)
async def test_earlier_steps_of_somebody_else_are_remembered_by_both_roles(
    planner_format: str, remembered: str
) -> None:
    policy = Scripted(says={"planner": ["tap green"], "actor": ["click 14 42"]})
    last = task().single_steps()[2]
    trajectory = (await replay(policy, replace(COMPACT, planner_format=planner_format), what=last)).trajectory
    assert policy.prompts(AgentRole.PLANNER) == [f"tap all\n{remembered}plan\n"]
    actor = "tap green\nthought 0 click 14 14\nthought 1 click 42 14\n"
    assert policy.prompts(AgentRole.ACTOR) == [actor]
    assert trajectory.outcome.verdict is Verdict.SUCCESS


async def test_a_planner_may_be_another_model() -> None:
    planner = Scripted(says={"planner": ["tap red"]})
    actor = Scripted(says={"actor": ["click 14 14"]}, image_budget=ImageBudget(factor=32))
    policy = PolicyByRole(actor=actor, planner=planner)
    assert policy.image_budget == actor.image_budget
    agent = COMPACT.hierarchical_agent(policy)
    agent.start(EpisodeContext(goal="tap all", episode_id="e"))
    decision = await agent.decide(Observation(screenshot=picture(0)))
    assert isinstance(decision.action, Click)
    assert [len(each.asked) for each in (planner, actor)] == [1, 1]


async def test_prompts_can_be_asked_for_without_changing_anything() -> None:
    agent: HierarchicalAgent = COMPACT.hierarchical_agent(Scripted(says={}))
    agent.start(EpisodeContext(goal="tap all", episode_id="e"))
    observation = Observation(screenshot=picture(0))
    assert agent.planner_prompt(observation) == agent.planner_prompt(observation)
    assert agent.actor_prompt(observation, "tap red")[-1].text == "tap red\n"
    assert agent.parse_subgoal("tap red").subgoal == "tap red"
    assert agent.parse_action("finish success", observation).action == Finish()


def test_recordings_of_a_planner_name_only_what_it_asked_for() -> None:
    record = recording()
    steps = list(record.trajectory.steps)
    steps[1] = replace(steps[1], source=ActionSource.PATCH)  # the planner's words, an expert's deed
    trajectory = replace(record.trajectory, steps=tuple(steps))
    (played,) = ReplaySource([trajectory], record.screenshots).tasks
    assert [frame.expert.subgoal for frame in played.frames] == ["tap red", None, "tap green"]


def test_what_has_no_effect_is_refused() -> None:
    with pytest.raises(ConfigError, match="flat agent has no planner"):
        AgentSpec(planner_format="hi_agent").check()
    with pytest.raises(ConfigError, match="flat agent has no actor"):
        AgentSpec(actor_history=0).check()
    with pytest.raises(ConfigError, match="hi_agent"):
        AgentSpec(kind=AgentKind.HIERARCHICAL, planner_format="hiagent").check()
    with pytest.raises(ConfigError, match="actor_history"):
        AgentSpec(actor_history=-2)
