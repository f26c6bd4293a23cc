"""Rewards as trainings and commands use them: refused early, and computed again with their options."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from gui_agent.actions import ACTION_TYPES, Action, ParseError, Wait
from gui_agent.agent import RoleCompletion
from gui_agent.cli.main import main
from gui_agent.device import ActionResult, Device, Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DeviceError, GuiAgentError
from gui_agent.observation import Observation, Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason
from trainers.annotate import step_credits
from trainers.online import train_online
from trainers.online_config import OnlineConfig
from trainers.rewards import PARTS, REWARDS
from trainers.semi_online import train_semi_online
from trainers.semi_online_config import SemiOnlineConfig
from trajectories.records import Step, Trajectory


@dataclass(frozen=True)
class AnyTask:
    task_id: str = "any-1"
    template: str = "any"
    seed: int = 0
    goal: str = "anything"
    max_steps: int = 1


@dataclass
class BareWorld:
    """Devices that tell as much as they are asked to here."""

    state_key: str | None = None
    progress: float | None = None
    broken: bool = False
    leases: int = 0

    @property
    def capacity(self) -> int:
        return 1

    def lease(self) -> AbstractAsyncContextManager[Device]:
        return self._lease()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Device]:
        self.leases += 1
        yield BareDevice(self)


@dataclass
class BareDevice:
    world: BareWorld

    @property
    def action_space(self) -> frozenset[type]:
        return frozenset(ACTION_TYPES)

    async def reset(self, task: Task) -> None:
        if self.world.broken:
            raise DeviceError("the cable was pulled")

    async def observe(self) -> Observation:
        screen = Screenshot.from_image(Image.new("RGB", (8, 8)))
        return Observation(screenshot=screen, state_key=self.world.state_key)

    async def execute(self, action: Action | ParseError) -> ActionResult:
        raise AssertionError("nothing is to be done here")

    async def check(self) -> Outcome:
        return Outcome(verdict=Verdict.FAILURE, progress=self.world.progress)

    async def close(self) -> None:
        pass


async def online(reward: str, world: BareWorld, tmp_path: Path) -> None:
    config = OnlineConfig(
        model=str(tmp_path / "no-model"), output_dir=tmp_path / "run", reward=reward, algorithm="grpo"
    )
    await train_online(config, tasks=[AnyTask()], devices=world)


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        ("ui_s1", "live episodes have none"),
        ("process:outcome=1,argument=0.5", "live episodes have none"),
        ("task_progress", "BareDevice tells no progress.*any-1"),
        ("process:outcome=1,no_op=-0.1", "BareDevice gives no state keys"),
        ("process:outcome=1,repeated_action=-0.1", "gives no state keys"),
        ("process:outcom=1", "did you mean 'outcome'"),
    ],
)
async def test_live_trainings_refuse_what_their_devices_do_not_tell(
    reward: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        await online(reward, BareWorld(), tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("reward", ["task_progress", "fathom", "task"])
async def test_devices_that_tell_everything_are_let_through(reward: str, tmp_path: Path) -> None:
    world = BareWorld(state_key="a", progress=0.0)
    with pytest.raises(GuiAgentError, match="no-model"):
        await online(reward, world, tmp_path)
    assert world.leases == (reward != "task"), "a reward that needs a verdict alone asks no device"


async def test_a_device_that_breaks_meanwhile_is_not_held_against_the_others(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="the cable was pulled"),
        pytest.raises(GuiAgentError, match="no-model"),
    ):
        await online("fathom", BareWorld(broken=True), tmp_path)


@pytest.mark.parametrize("reward", ["fathom", "process:argument=1,no_op=-0.1", "process:screen_changed=1"])
async def test_replays_refuse_rewards_that_need_the_screen_after_the_last_step(
    reward: str, tmp_path: Path
) -> None:
    config = SemiOnlineConfig(model="m", data=tmp_path / "none", output_dir=tmp_path / "run", reward=reward)
    with pytest.raises(ConfigError, match="a replay has none after its last"):
        await train_semi_online(config)


def test_credits_of_stored_episodes_know_options() -> None:
    completion = Completion(
        prompt_token_ids=(1,), image_grids=(), token_ids=(2,), logprobs=(-0.1,), text="x",
        finish_reason=FinishReason.STOP, policy_version=0,
    )  # fmt: skip
    sampled = RoleCompletion(role=AgentRole.ACTOR, completion=completion, image_sha256s=())

    def episode(name: str, progress: float) -> Trajectory:
        step = Step(
            index=0, screenshot_sha256="a" * 64, width_px=8, height_px=8, requested=Wait(), executed=Wait(),
            completions=(sampled,), progress=progress,
        )  # fmt: skip
        return Trajectory(
            episode_id=name, task_id="t", template="t", suite="s", goal="g", steps=(step,), group_id="g",
            stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.FAILURE, progress=progress),
        )  # fmt: skip

    config = OnlineConfig(algorithm="grpo", num_generations=2, reward="process:progress=0.5,outcome=2")
    found = step_credits([episode("a", 1.0), episode("b", 0.0)], config, by_outcome=True)
    assert found["a"][0].parts == {"progress": 0.5, "outcome": 0.0}
    assert [found[name][0].advantage for name in "ab"] == pytest.approx([0.7071, -0.7071], abs=1e-4)


def test_the_list_of_rewards_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rewards", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed["rewards"]) == set(REWARDS)
    assert set(listed["parts"]) == set(PARTS)
    assert listed["parts"]["progress"]["lowest"] == -1.0
    assert main(["rewards"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in (*REWARDS, *PARTS))


def test_one_reward_is_shown_with_its_own_defaults_and_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rewards", "task_progress", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {each["name"]: each["default"] for each in shown["options"]}["progress_weight"] == 1.0
    assert main(["rewards", "process:argument=1,over_long=-0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["needs"] == ["expert", "tokens"]
    assert main(["rewards", "process:outcome=1"]) == 0
    assert "verdict" in capsys.readouterr().out
    assert main(["rewards", "tsk"]) != 0
    assert "did you mean 'task'" in capsys.readouterr().err
