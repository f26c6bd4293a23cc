"""Online training on a small live world, with devices that break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from gui_agent.actions import ACTION_TYPES, Action, ParseError
from gui_agent.device import ActionResult, Device, Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DeviceError
from gui_agent.observation import Box, Observation, Screenshot, UiElement
from trainers.choices import FaultStrategy, OnExhausted
from trainers.loop import StopCause
from trainers.metrics import read_metrics
from trainers.online import train_online
from trainers.online_config import OnlineConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.store import TrajectoryStore

SCREEN = Screenshot.from_image(Image.new("RGB", (56, 56), "navy"))


@dataclass(frozen=True)
class SayTask:
    """Succeeds if what was said has an even number of characters; every longer word is progress."""

    task_id: str
    template: str = "say"
    seed: int = 0
    goal: str = "say something"
    max_steps: int = 2
    unscored: bool = False


@dataclass
class World:
    """Counts leases; every `breaks_every`-th device breaks when it is looked at.

    Devices that are nameless show neither state keys nor widgets.
    """

    breaks_every: int = 0
    nameless: bool = False
    leases: int = 0

    @property
    def capacity(self) -> int:
        return 3

    def lease(self) -> AbstractAsyncContextManager[Device]:
        return self._lease()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Device]:
        self.leases += 1
        broken = self.breaks_every > 0 and self.leases % self.breaks_every == 0
        yield SayDevice(broken=broken, nameless=self.nameless)


class FirstBreaks(World):
    """Only the first device breaks."""

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Device]:
        self.leases += 1
        yield SayDevice(broken=self.leases == 1)


@dataclass
class SayDevice:
    broken: bool
    nameless: bool = False
    task: Task | None = None
    said: list[str] = field(default_factory=list)

    @property
    def action_space(self) -> frozenset[type]:
        return frozenset(ACTION_TYPES)

    async def reset(self, task: Task) -> None:
        self.task = task

    async def observe(self) -> Observation:
        if self.broken:
            raise DeviceError("the cable was pulled")
        key = None if self.nameless else f"{len(self.said)}"
        word = UiElement(
            name=f"{len(self.said)} words", role="text", box=Box(left=0, top=0, right=9, bottom=9)
        )
        return Observation(screenshot=SCREEN, state_key=key, elements=None if self.nameless else (word,))

    async def execute(self, action: Action | ParseError) -> ActionResult:
        self.said.append(action.text if isinstance(action, ParseError) else repr(action))
        stop = StopReason.TASK_ENDED if len(self.said) == 2 else None
        return ActionResult(executed=None, error="nothing to do", stop=stop)

    async def check(self) -> Outcome:
        assert isinstance(self.task, SayTask)
        if self.task.unscored:
            return Outcome(verdict=Verdict.UNSCORED)
        even = len("".join(self.said)) % 2 == 0
        progress = len(self.said[-1]) % 7 / 7 if self.said else 0.0
        return Outcome(verdict=Verdict.SUCCESS if even else Verdict.FAILURE, progress=progress)

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = TinyModelConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
        vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=0,
    )  # fmt: skip
    return build_tiny_model(tiny, ["say something"], tmp_path_factory.mktemp("tiny"), seed=0)


def settings(model_dir: Path, output_dir: Path, **changes: object) -> OnlineConfig:
    values: dict[str, object] = {
        "model": str(model_dir), "output_dir": output_dir, "format": "compact", "device": "cpu",
        "num_generations": 4, "groups_per_update": 2, "max_updates": 2,
        "max_completion_length": 4, "learning_rate": 1e-3, "on_exhausted": OnExhausted.TRAIN_ON_REST,
        "beta": 0.0, "max_num_gen_batches": 2,
    }  # fmt: skip
    return OnlineConfig(**(values | changes))  # type: ignore[arg-type]


TASKS = [SayTask(task_id=f"say-{number}") for number in range(3)]


async def test_live_outcomes_change_the_weights(model_dir: Path, tmp_path: Path) -> None:
    config = settings(model_dir, tmp_path / "run")
    result = await train_online(config, tasks=TASKS, devices=World())
    lines = read_metrics(result.metrics_path)
    assert any(line.get("grad_norm", 0) > 0 for line in lines)
    assert all(0 <= line["online/success"] <= 1 for line in lines)
    assert all(line["env/faults"] == 0 for line in lines)


@pytest.mark.parametrize(
    ("algorithm", "reward"),
    [
        ("grpo", "task"),
        ("rloo", "task"),
        ("reinforce_pp:baseline=group", "task"),
        ("gigpo:anchor=ui_text,similarity=0.95", "task"),
        ("srgpo:within=episode", "task_progress"),
        ("salt:history=-1,anchor=screenshot", "task"),
    ],
)
async def test_every_algorithm_learns_from_live_episodes(
    model_dir: Path, tmp_path: Path, algorithm: str, reward: str
) -> None:
    config = settings(
        model_dir, tmp_path / "run", algorithm=algorithm, reward=reward, max_updates=1, filter_std=-1
    )
    (line,) = read_metrics((await train_online(config, tasks=TASKS, devices=World())).metrics_path)
    assert line["rows"] > 0
    stored = list(TrajectoryStore.open(config.output_dir / "trajectories"))
    recorded = {step.elements is not None for trajectory in stored for step in trajectory.steps}
    assert recorded == {"ui_text" in algorithm}  # widgets are kept where they are compared


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "SayDevice gives no state keys; use another anchor, such as gigpo:anchor=screenshot"),
        ({"algorithm": "salt:anchor=ui_tree"}, "SayDevice shows no widgets"),
        ({"algorithm": "gigpo:anchor=screenshot,ignored_top_px=60"}, "only 56 pixels high"),
        ({"algorithm": "ui_s1"}, "equal steps of a recording"),
        ({"algorithm": "srgpo"}, "pays only the outcome"),
        ({"num_generations": 1}, "set num_generations to 2 or more"),
    ],
)
async def test_what_an_algorithm_needs_is_asked_before_a_model_is_loaded(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    config = settings(tmp_path / "no model", tmp_path / "run", **changes)
    with pytest.raises(ConfigError, match=message):
        await train_online(config, tasks=TASKS, devices=World(nameless=True))


async def test_a_device_that_breaks_when_it_is_looked_at_first_is_not_held_against_others(
    model_dir: Path, tmp_path: Path
) -> None:
    config = settings(model_dir, tmp_path / "run", max_updates=1, filter_std=-1)
    with pytest.warns(UserWarning, match="could not be found out: the cable was pulled"):
        result = await train_online(config, tasks=TASKS, devices=FirstBreaks())
    (line,) = read_metrics(result.metrics_path)
    assert line["env/faults"] == 0
    assert line["rows"] > 0


async def test_a_broken_device_is_tried_again_and_counted(model_dir: Path, tmp_path: Path) -> None:
    config = settings(model_dir, tmp_path / "run", filter_std=-1, max_updates=1)
    result = await train_online(config, tasks=TASKS, devices=World(breaks_every=4))
    (line,) = read_metrics(result.metrics_path)
    assert line["env/faults"] == line["env/restarts"] > 0
    assert line["env/groups_dropped"] == 0
    assert line["online/episodes"] == 8


async def test_a_group_with_a_broken_device_is_dropped_but_stored(model_dir: Path, tmp_path: Path) -> None:
    config = settings(
        model_dir, tmp_path / "run", filter_std=-1, max_updates=1, max_num_gen_batches=1,
        fault_strategy=FaultStrategy.DROP_GROUP,
    )  # fmt: skip
    result = await train_online(config, tasks=TASKS, devices=World(breaks_every=8))
    (line,) = read_metrics(result.metrics_path)
    assert (line["env/faults"], line["env/groups_dropped"], line["online/episodes"]) == (1, 1, 4)
    stored = list(TrajectoryStore.open(config.output_dir / "trajectories"))
    assert sum(t.stop is StopReason.DEVICE_FAULT for t in stored) == 1
    assert all(t.outcome.verdict is Verdict.UNSCORED for t in stored if t.fault)


async def test_what_nobody_can_judge_is_not_a_failure(model_dir: Path, tmp_path: Path) -> None:
    tasks = [SayTask(task_id="open", unscored=True)]
    config = settings(model_dir, tmp_path / "run", filter_std=-1, max_updates=1, max_num_gen_batches=1)
    result = await train_online(config, tasks=tasks, devices=World())
    (line,) = read_metrics(result.metrics_path)
    assert line["env/groups_dropped"] == 2
    assert line["rows"] == 0
    assert "reward" not in line


async def test_a_live_success_is_replayed_and_neither_stored_nor_counted_again(
    model_dir: Path, tmp_path: Path
) -> None:
    config = settings(
        model_dir, tmp_path / "run", algorithm="grpo", filter_std=-1, num_generations=2, max_updates=8,
        replay_successes=True,
    )  # fmt: skip
    result = await train_online(config, tasks=TASKS, devices=World())
    lines = read_metrics(result.metrics_path)
    assert sum(line["rapo/replayed"] for line in lines) > 0
    stored = list(TrajectoryStore.open(config.output_dir / "trajectories"))
    assert len(stored) == sum(line["online/episodes"] for line in lines) == 8 * 4
    for line in lines:
        sampled = [t.succeeded for t in stored if t.update == line["update"] - 1]
        assert line["online/success"] == sum(sampled) / len(sampled)


async def test_training_ends_when_every_task_is_solved(model_dir: Path, tmp_path: Path) -> None:
    everything = -100.0
    config = settings(
        model_dir, tmp_path / "run", filter_std=-1, max_updates=9, max_solve_rate=1.0,
        solved_reward=everything,
    )  # fmt: skip
    result = await train_online(config, tasks=TASKS, devices=World())
    assert (result.cause, result.updates) == (StopCause.ALL_SOLVED, 2)  # three tasks, two groups an update
    assert [line["rapo/pruned"] for line in read_metrics(result.metrics_path)] == [2, 3]


async def test_a_reward_that_needs_an_expert_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    config = settings(tmp_path / "no-model", tmp_path / "run", reward="ui_s1")
    with pytest.raises(ConfigError, match="live episodes have none"):
        await train_online(config, tasks=TASKS, devices=World())
