"""Rewards of stored episodes, computed again: what training wrote, and nothing about what it cannot know."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import ACTION_TYPES, Action, Click, ParseError
from gui_agent.cli.main import main
from gui_agent.cli.score import Score
from gui_agent.device import ActionResult, Device, Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DataError, DeviceError
from gui_agent.observation import Observation, Screenshot
from trainers.choices import FaultStrategy, OnExhausted
from trainers.metrics import read_metrics
from trainers.online import train_online
from trainers.online_config import OnlineConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

SCREEN = Screenshot.from_image(Image.new("RGB", (56, 56), "navy"))

# -- what training wrote ---------------------------------------------------------------------------


@dataclass(frozen=True)
class CountTask:
    """Done when the responses of the episode have enough characters."""

    task_id: str
    template: str = "count"
    seed: int = 0
    goal: str = "say something"
    max_steps: int = 3


@dataclass
class CountWorld:
    """Makes progress by every odd response; some devices break."""

    leases: int = 0
    breaks_at: int = 6

    @property
    def capacity(self) -> int:
        return 2

    def lease(self) -> AbstractAsyncContextManager[Device]:
        return self._lease()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Device]:
        self.leases += 1
        yield CountDevice(broken=self.leases == self.breaks_at)


@dataclass
class CountDevice:
    broken: bool
    done: int = 0

    @property
    def action_space(self) -> frozenset[type]:
        return frozenset(ACTION_TYPES)

    async def reset(self, task: Task) -> None:
        self.done = 0

    async def observe(self) -> Observation:
        if self.broken:
            raise DeviceError("the cable was pulled")
        return Observation(screenshot=SCREEN, state_key=f"{self.done}")

    async def execute(self, action: Action | ParseError) -> ActionResult:
        words = action.text if isinstance(action, ParseError) else repr(action)
        self.done += len(words) % 2
        error = "not a word" if isinstance(action, ParseError) else None
        executed = None if isinstance(action, ParseError) else action
        stop = StopReason.TASK_ENDED if self.done == 2 else None
        return ActionResult(executed=executed, error=error, stop=stop)

    async def check(self) -> Outcome:
        verdict = Verdict.SUCCESS if self.done == 2 else Verdict.FAILURE
        return Outcome(verdict=verdict, progress=self.done / 2)

    async def close(self) -> None:
        pass


Scored = Callable[..., dict[str, Any]]


@pytest.fixture
def scored(capsys: pytest.CaptureFixture[str]) -> Scored:
    """Runs the command and reads what it prints."""

    def run(path: Path, reward: str, *flags: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["score", str(path), "--reward", reward, "--json", *flags]) == 0
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        return report

    return run


REWARDS = (
    "process:outcome=1,progress=0.3,bad_format=-0.1,screen_changed=0.07,repeated_action=-0.1,over_long=-0.2",
    "srgpo_vpr",
)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = TinyModelConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
        vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=0,
    )  # fmt: skip
    return build_tiny_model(tiny, ["say something"], tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.mark.parametrize("reward", REWARDS)
async def test_the_numbers_of_a_training_come_out_again(
    scored: Scored, model_dir: Path, tmp_path: Path, reward: str
) -> None:
    config = OnlineConfig(
        model=str(model_dir), output_dir=tmp_path / "run", format="compact", device="cpu", algorithm="grpo",
        num_generations=4, groups_per_update=3, max_updates=2, max_completion_length=4, learning_rate=1e-3,
        on_exhausted=OnExhausted.TRAIN_ON_REST, beta=0.0, max_num_gen_batches=1, filter_std=-1, reward=reward,
        fault_strategy=FaultStrategy.DROP_GROUP,
    )  # fmt: skip
    tasks = [CountTask(task_id=f"count-{number}") for number in range(3)]
    result = await train_online(config, tasks=tasks, devices=CountWorld())
    figures = scored(tmp_path / "run", reward, "--by", "update", "--whole-groups")
    lines = read_metrics(result.metrics_path)
    assert sum(line["env/faults"] for line in lines) == 1
    assert len(lines) == len(figures["update"]) == 2
    for update, line in enumerate(lines):
        row = figures["update"][f"{update}"]
        assert row["reward"] == line["reward"]
        assert {f"reward/{name}": value for name, value in row["parts"].items()} == {
            name: value for name, value in line.items() if name.startswith("reward/")
        }
        assert row["success"] == line["online/success"]
        assert row["episodes"] == line["online/episodes"]
    alone = scored(tmp_path / "run", reward)
    assert (alone["all"]["unscored"], figures["all"]["unscored"]) == (1, 4)


# -- figures ---------------------------------------------------------------------------------------


def episode(name: str, *progress: float | None, **changes: Any) -> EpisodeRecord:
    steps = tuple(
        Step(
            index=index,
            screenshot_sha256=SCREEN.sha256,
            width_px=56,
            height_px=56,
            requested=Click(x=1, y=1),
            executed=Click(x=1, y=1),
            progress=value,
        )
        for index, value in enumerate(progress)
    )
    trajectory = Trajectory(
        episode_id=name, task_id="t", template="tap", suite="s", goal="g", steps=steps,
        stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS), split="train",
    )  # fmt: skip
    return EpisodeRecord(trajectory=replace(trajectory, **changes), screenshots={SCREEN.sha256: SCREEN})


FAILED = Outcome(verdict=Verdict.FAILURE)
UNSCORED = Outcome(verdict=Verdict.UNSCORED)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = TrajectoryStore.create(tmp_path / "store")
    made.append([episode("a", 0.5, 1.0), episode("b", 0.25, outcome=FAILED, split="eval")])
    made.append([
        episode("c", 0.0, 0.0, template="drag", outcome=FAILED),
        episode("d", 1.0, template="drag", outcome=UNSCORED),
        episode("e", None, template="drag", outcome=UNSCORED, stop=StopReason.DEVICE_FAULT, fault="gone"),
    ])  # fmt: skip
    return made.path


def test_unscored_episodes_are_counted_apart_and_are_in_no_mean(scored: Scored, store: Path) -> None:
    report = scored(store, "process:outcome=1,progress=0.5")
    assert report["needs"] == ["progress", "verdict"]
    assert report["pays_steps"] is True
    assert report["template"]["drag"] == {
        "episodes": 1, "unscored": 2, "steps": 2, "success": 0.0, "reward": 0.0, "episode_reward": 0.0,
        "parts": {"outcome": 0.0, "progress": 0.0},
    }  # fmt: skip
    assert report["template"]["tap"]["reward"] == pytest.approx((0.25 + 1.25 + 0.125) / 3)
    assert report["template"]["tap"]["episode_reward"] == pytest.approx((1.5 + 0.125) / 2)
    assert report["all"]["unscored"] == 2
    assert report["all"]["steps"] == 5


def test_rows_and_filters(scored: Scored, store: Path) -> None:
    assert set(scored(store, "task", "--by", "split")["split"]) == {"train", "eval"}
    assert scored(store, "task", "--split", "eval")["all"]["episodes"] == 1
    assert scored(store, "task", "--template", "tap", "--limit", "1")["all"]["steps"] == 2
    only_unscored = scored(store, "task", "--template", "drag", "--by", "suite")["suite"]["s"]
    assert (only_unscored["episodes"], only_unscored["unscored"]) == (1, 2)


def test_every_step_is_written_with_its_parts(scored: Scored, store: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "steps.jsonl"
    scored(store, "process:outcome=1,progress=0.5", "--output", str(output))
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(line["episode_id"], line["step"]) for line in lines] == [
        ("a", 0), ("a", 1), ("b", 0), ("c", 0), ("c", 1),
    ]  # fmt: skip
    assert lines[1]["parts"] == {"outcome": 1.0, "progress": 0.25}
    assert lines[1]["reward"] == 1.25
    assert not list(output.parent.glob("*.tmp"))


def test_episodes_are_scored_apart_from_how_they_end(scored: Scored, store: Path, tmp_path: Path) -> None:
    output = tmp_path / "steps.jsonl"
    report = scored(store, "srgpo_vpr:over_long_penalty=0", "--output", str(output))
    first = json.loads(output.read_text().splitlines()[1])
    assert (first["reward"], first["episode_value"]) == (1.0, 1.0)
    assert report["all"]["episode_reward"] == pytest.approx(1 / 3)


def test_the_table_says_what_was_left_out(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Score(path=store, reward="process:outcome=1").run()
    text = capsys.readouterr().out
    assert "drag" in text
    assert "1 + 2?" in text
    assert "2 episodes are unscored" in text


def test_a_missing_input_stops_the_command_and_leaves_no_file(store: Path, tmp_path: Path) -> None:
    output = tmp_path / "steps.jsonl"
    with pytest.raises(DataError, match="trajectory 'a', step 0: no match with an expert"):
        Score(path=store, reward="ui_s1", output=output).run()
    assert not list(tmp_path.glob("steps*"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": "tsk"}, "did you mean 'task'"),
        ({"reward": "process:outcom=1"}, "did you mean 'outcome'"),
        ({"limit": -1}, "limit is -1"),
        ({"template": "tpa"}, "no episode of template 'tpa'; did you mean 'tap'"),
        ({"split": "test"}, "no episode of split 'test'; known are eval, train"),
        ({"split": "eval", "template": "drag"}, "split 'eval' and template 'drag' at once"),
    ],
)
def test_what_cannot_be_meant_is_refused(store: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(Score(path=store, reward="task"), **changes).run()


def test_a_folder_without_episodes_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no trajectory store"):
        Score(path=tmp_path, reward="task").run()
    TrajectoryStore.create(tmp_path / "trajectories")
    with pytest.raises(DataError, match="holds no episode"):
        Score(path=tmp_path, reward="task").run()
