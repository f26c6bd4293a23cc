"""Recorded real screens, a speaking agent, patches, a store and a page: the whole way of a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gui_agent.agent import FlatAgent, PatchThought
from gui_agent.device import ActionSource, Device, StopReason, Verdict
from gui_agent.formats.ui_s1 import UiS1Format
from gui_agent.matching import get_matcher
from gui_agent.policy import (
    Completion,
    FinishReason,
    ImageBudget,
    Prompt,
    Role,
    SampleKey,
    SamplingParams,
)
from trajectories.check import check_store
from trajectories.collect import EpisodeLabels, collect_episodes, group_jobs
from trajectories.convert_aitz import AitzOptions, convert_aitz_files
from trajectories.records import EpisodeRecord
from trajectories.replay import ReplayFactory, ReplaySource
from trajectories.store import TrajectoryStore
from trajectories.viewer import write_viewer

AITZ = Path(__file__).parents[1] / "golden" / "aitz" / "GOOGLE_APPS-523638528775825151.json"


class ScriptedPolicy:
    """Says one response per step and keeps the prompts that it was given."""

    version = 2
    image_budget = ImageBudget()

    def __init__(self, responses: Sequence[str]) -> None:
        self.responses = responses
        self.prompts: list[Prompt] = []

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        text = self.responses[min(len(self.prompts), len(self.responses) - 1)]
        self.prompts.append(prompt)
        completion = Completion(
            prompt_token_ids=(1,),
            image_grids=(),
            token_ids=(2, 3),
            logprobs=(-0.25, -1.0),
            text=text,
            finish_reason=FinishReason.STOP,
            policy_version=self.version,
        )
        return [completion] * n


def say(action: str) -> str:
    return f"<think>\nI know what to do.\n</think>\n<action>\n{action}\n</action>"


HOME = say('{"action": "system_button", "button": "Home"}')
WAIT = say('{"action": "wait", "time": 1}')
CLOCK = say('{"action": "click", "coordinate": [163, 299]}')
DONE = say('{"action": "terminate", "status": "success"}')


async def roll_out(
    source: ReplaySource, policy: ScriptedPolicy, *, patch_budget: int, thought: PatchThought
) -> list[EpisodeRecord]:
    def agent_for(device: Device) -> FlatAgent:
        return FlatAgent(policy, UiS1Format(), params=SamplingParams(temperature=1.0), patch_thought=thought)

    factory = ReplayFactory(matcher=get_matcher("ui_s1"), patch_budget=patch_budget)
    labels = EpisodeLabels(suite="aitz", policy_name="scripted", device_name="replay")
    jobs = group_jobs(source.tasks, update=1)
    return [record async for record in collect_episodes(jobs, factory, agent_for, labels=labels)]


def words(prompt: Prompt) -> str:
    return "\n".join(message.text for message in prompt if message.role is Role.ASSISTANT)


async def test_a_patched_rollout_is_stored_and_shown(tmp_path: Path) -> None:
    convert_aitz_files([AITZ], tmp_path / "expert", AitzOptions())
    source = ReplaySource(TrajectoryStore.open(tmp_path / "expert"), suite="aitz")
    policy = ScriptedPolicy([HOME, WAIT, CLOCK, DONE])
    (record,) = await roll_out(source, policy, patch_budget=1, thought=PatchThought.OFF_POLICY)
    episode = record.trajectory
    assert [step.source for step in episode.steps] == [
        ActionSource.POLICY,
        ActionSource.PATCH,
        ActionSource.POLICY,
        ActionSource.POLICY,
    ]
    assert (episode.stop, episode.outcome.verdict) == (StopReason.FINISHED, Verdict.FAILURE)
    assert episode.outcome.progress == 0.25
    # The history holds the expert's swipe and thought where the agent waited, its own words elsewhere.
    history = words(policy.prompts[-1])
    assert '"action": "wait"' not in history
    assert '"action": "swipe"' in history
    assert "searching" in history or "app drawer" in history
    assert history.count("I know what to do.") == 2
    store = TrajectoryStore.create(tmp_path / "rollouts")
    store.append(record)
    (restored,) = TrajectoryStore.open(tmp_path / "rollouts")
    assert restored == episode
    # What was sampled at the patched step is still what the policy said.
    assert restored.steps[1].completions[0].completion.text == WAIT
    page = write_viewer(store, tmp_path / "page.html").read_text()
    assert page.count("data:image/") == 4


async def test_single_steps_have_the_experts_history(tmp_path: Path) -> None:
    convert_aitz_files([AITZ], tmp_path, AitzOptions())
    source = ReplaySource(TrajectoryStore.open(tmp_path), single_step=True)
    policy = ScriptedPolicy([HOME, WAIT, CLOCK, DONE])
    records = await roll_out(source, policy, patch_budget=0, thought=PatchThought.FREE)
    verdicts = [record.trajectory.outcome.verdict for record in records]
    assert verdicts == [Verdict.SUCCESS, Verdict.FAILURE, Verdict.SUCCESS, Verdict.SUCCESS]
    assert {len(record.trajectory.steps) for record in records} == {1}
    # A miss at one step costs the others nothing: their past is the expert's.
    assert "I know what to do." not in words(policy.prompts[-1])
    assert '"button": "Home"' in words(policy.prompts[-1])
    assert [len(record.screenshots) for record in records] == [1, 2, 3, 4]
    # Every picture of every prompt goes into the store with its record.
    store = TrajectoryStore.create(tmp_path / "rollouts")
    store.append(records)
    assert check_store(store).ok
    assert len(records[3].trajectory.steps[0].completions[0].image_sha256s) == 2
