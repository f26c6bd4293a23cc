"""Actions tried on the virtual phone and taken back, and joint training on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devices.phone.device import PhoneDevice, PhoneFactory
from devices.phone.display import QUICKSTART_DISPLAY
from devices.phone.suites import phone_suite
from gui_agent.actions import Action, Button, Finish, ParseError, SystemButton
from gui_agent.agent import Candidate, CandidateKind, Decision, EpisodeContext, RoleCompletion
from gui_agent.agent_spec import AgentKind
from gui_agent.coordinates import ScreenGeometry
from gui_agent.device import Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError
from gui_agent.foresight import GAIN, JUDGE, Fan, ForesightAgent
from gui_agent.formats.registry import get_format, get_planner_format
from gui_agent.hierarchy import HierarchicalAgent
from gui_agent.judge import ProgressJudge
from gui_agent.policy import (
    AgentRole,
    Completion,
    FinishReason,
    ImageBudget,
    Prompt,
    SampleKey,
    SamplingParams,
)
from gui_agent.trial import DeviceTrial, potential, restorable
from trainers.choices import OnExhausted
from trainers.metrics import read_metrics
from trainers.online import train_online
from trainers.online_config import OnlineConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.replay import ReplayDevice
from trajectories.store import TrajectoryStore

BUDGET = ImageBudget()
TASK = phone_suite("quickstart").task(phone_suite("quickstart").templates[0], 3)


class Expert:
    """Plans "go on"; acts as the phone's own expert does, or with the words it is given."""

    version = 0
    image_budget = BUDGET

    def __init__(self, device: PhoneDevice, words: list[str] | None = None) -> None:
        self.device = device
        self.words = words
        self.keys: list[SampleKey] = []

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> list[Completion]:
        self.keys.append(key)
        return [completion(await self._text(key, sample)) for sample in range(n)]

    async def _text(self, key: SampleKey, sample: int) -> str:
        if key.role == AgentRole.PLANNER:
            return "go on"
        if self.words is not None:
            return self.words[sample % len(self.words)]
        expert = await self.device.next_expert_action()
        assert expert is not None
        return written(expert.action)


def completion(text: str) -> Completion:
    return Completion(
        prompt_token_ids=(1,), image_grids=((1, 2, 2),), token_ids=(1,), logprobs=(-1.0,), text=text,
        finish_reason=FinishReason.STOP, policy_version=0,
    )  # fmt: skip


def written(action: Action) -> str:
    geometry = ScreenGeometry.of(QUICKSTART_DISPLAY.width_px, QUICKSTART_DISPLAY.height_px, BUDGET)
    return get_format("compact").render(action, None, geometry)


def hierarchical(policy: Expert) -> HierarchicalAgent:
    agent = HierarchicalAgent(
        policy, policy, get_planner_format("compact"), get_format("compact"),
        planner_params=SamplingParams(), actor_params=SamplingParams(),
    )  # fmt: skip
    agent.start(EpisodeContext(goal=TASK.goal, episode_id="e"))
    return agent


def probe(action: Action | ParseError, sample: int = 0) -> Candidate:
    text = action.text if isinstance(action, ParseError) else written(action)
    return Candidate(
        kind=CandidateKind.PROBE, sample=sample, subgoal="go on", action=action,
        completion=RoleCompletion(role=AgentRole.ACTOR, completion=completion(text), image_sha256s=()),
    )  # fmt: skip


PLANNED = [RoleCompletion(role=AgentRole.PLANNER, completion=completion("go on"), image_sha256s=())]


async def phone() -> PhoneDevice:
    device = PhoneDevice(QUICKSTART_DISPLAY)
    await device.reset(TASK)
    return device


async def gains(device: PhoneDevice, actions: list[Action | ParseError], **settings: int) -> list[float]:
    trial = DeviceTrial(device, **settings)  # type: ignore[arg-type]
    agent, observation = hierarchical(Expert(device)), await device.observe()
    found = await trial.try_all(
        agent, observation, PLANNED, [probe(each, i) for i, each in enumerate(actions)]
    )
    again = await device.observe()
    assert (again.screenshot.sha256, again.state_key) == (
        observation.screenshot.sha256,
        observation.state_key,
    )
    return [each.gain for each in found]


async def test_an_action_is_worth_the_progress_that_it_makes_and_nothing_of_it_stays() -> None:
    device = await phone()
    expert = await device.next_expert_action()
    assert expert is not None
    nonsense = ParseError(reason="no command", text="hm")
    forward, early, nothing, again = await gains(device, [expert.action, Finish(), nonsense, expert.action])
    assert forward == again > 0
    assert early == nothing == 0
    before = (await device.check()).progress
    await device.execute(expert.action)
    after = (await device.check()).progress
    assert before is not None
    assert after is not None
    assert forward == pytest.approx(after - before)
    (undone,) = await gains(device, [SystemButton(button=Button.HOME)])
    assert undone < 0


async def test_finishing_is_worth_something_where_the_goal_is_reached() -> None:
    device = await phone()
    expert = await device.next_expert_action()
    while expert is not None and not isinstance(expert.action, Finish):
        await device.execute(expert.action)
        expert = await device.next_expert_action()
    assert (await device.check()).verdict is Verdict.SUCCESS
    assert await gains(device, [Finish(), ParseError(reason="no command", text="hm")]) == [1.0, 0.0]


async def test_a_lookahead_counts_what_the_agent_does_next_less_and_less() -> None:
    device = await phone()
    expert = await device.next_expert_action()
    assert expert is not None
    (at_once,) = await gains(device, [expert.action])
    (ahead,) = await gains(device, [expert.action], lookahead=1)
    (far,) = await gains(device, [expert.action], lookahead=30)
    assert 0 < at_once < ahead <= far
    # A step that brings nothing is made up for by what follows, but at a discount.
    (late,) = await gains(device, [ParseError(reason="no command", text="hm")], lookahead=30)
    assert 0 < late < far


def test_the_potential_is_progress_and_a_good_end() -> None:
    half = Outcome(verdict=Verdict.FAILURE, progress=0.5)
    done = Outcome(verdict=Verdict.SUCCESS, progress=1.0)
    assert potential(half, None) == potential(half, StopReason.FINISHED) == 0.5
    assert (potential(done, None), potential(done, StopReason.FINISHED)) == (1.0, 2.0)
    assert potential(done, StopReason.STEP_LIMIT) == 1.0
    assert potential(dataclasses.replace(done, progress=None), StopReason.TASK_ENDED) == 2.0
    with pytest.raises(ConfigError, match="says nothing"):
        potential(Outcome(verdict=Verdict.UNSCORED), None)


async def test_candidates_carry_their_gains_and_the_judge_sees_them() -> None:
    device = await phone()
    expert = await device.next_expert_action()
    assert expert is not None
    policy = Expert(device, words=[written(expert.action), "nothing"])
    agent = ForesightAgent(
        hierarchical(policy), fan_at=lambda _: Fan(subgoals=2, probes=2, actions=2),
        trial=DeviceTrial(device), judge=ProgressJudge(),
    )  # fmt: skip
    agent.start(EpisodeContext(goal=TASK.goal, episode_id="e"))
    decision: Decision = await agent.decide(await device.observe())
    for each in decision.candidates:
        if each.kind is CandidateKind.SUBGOAL:
            assert each.measured == {JUDGE: 1.0}
        else:
            assert (each.measured[GAIN] > 0) == (each.sample == 0)


def test_a_device_that_cannot_be_restored_is_refused() -> None:
    class OneWay:
        pass

    with pytest.raises(ConfigError, match="a OneWay cannot be restored"):
        restorable(OneWay())  # type: ignore[arg-type]
    assert restorable(ReplayDevice(None))  # type: ignore[arg-type]


TINY = TinyModelConfig(
    hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
    vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=60,
    macro_tokens=("finish success", "button home"),
)  # fmt: skip


async def test_joint_training_live_tries_every_action(tmp_path: Path) -> None:
    model_dir = build_tiny_model(TINY, ["go on", "finish"], tmp_path / "tiny", seed=0)
    config = OnlineConfig(
        model=str(model_dir), output_dir=tmp_path / "run", format="compact", device="cpu", lora_rank=2,
        agent=AgentKind.HIERARCHICAL, algorithm="foresight:judge=progress,lambda_judge=0.1",
        num_generations=3, groups_per_update=2, max_updates=1, max_completion_length=4, filter_std=0.0,
        on_exhausted=OnExhausted.TRAIN_ON_REST, max_num_gen_batches=1, beta=0.0, learning_rate=1e-3,
    )  # fmt: skip
    suite = phone_suite("quickstart")
    tasks: list[Task] = [suite.task(suite.templates[0], seed) for seed in range(2)]
    result = await train_online(config, tasks=tasks, devices=PhoneFactory(num_devices=2))
    (line,) = read_metrics(result.metrics_path)
    trunks = list(TrajectoryStore.open(config.output_dir / "trajectories"))
    candidates = [each for trunk in trunks for step in trunk.steps for each in step.candidates]
    assert line["completions/sampled"] == len(candidates) > 0
    tried = [each for each in candidates if each.kind is not CandidateKind.SUBGOAL]
    assert all(GAIN in each.measured for each in tried)
    assert {trunk.group_id for trunk in trunks} == {f"u00000-g{number:06d}" for number in range(2)}
