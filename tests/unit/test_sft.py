"""Supervised warm start: resumes bit by bit, teaches thoughts or leaves them out, works with LoRA."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from gui_agent.actions import Click
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import get_format
from gui_agent.observation import Screenshot
from trainers.checkpoint import load_state
from trainers.learner_model import load_learner_model
from trainers.loop import StopCause
from trainers.metrics import read_metrics, without_times
from trainers.sft import expert_rows, train_sft
from trainers.sft_config import SFTConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.replay import ReplaySource
from trajectories.store import TrajectoryStore


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "experts"
    shot = Screenshot.from_image(Image.new("RGB", (56, 56), "teal"))
    steps = tuple(
        Step(
            index=i, screenshot_sha256=shot.sha256, width_px=56, height_px=56, requested=None,
            executed=Click(x=14 + 14 * i, y=14), thought="here",
            expected=ExpertAction(action=Click(x=14 + 14 * i, y=14), thought="here"),
        )
        for i in range(3)
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id="expert", task_id="task", template="tap", suite="tiny", goal="tap", split="train",
        steps=steps, stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    TrajectoryStore.create(path).append(EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot}))
    return path


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = TinyModelConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
        vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=60,
    )  # fmt: skip
    return build_tiny_model(tiny, ["tap here click 14 14"], tmp_path_factory.mktemp("tiny"), seed=0)


def settings(model_dir: Path, data: Path, output_dir: Path) -> SFTConfig:
    return SFTConfig(
        model=str(model_dir), data=data, output_dir=output_dir, format="compact", device="cpu",
        learning_rate=1e-2, max_steps=6, rows_per_step=2, save_steps=3,
    )  # fmt: skip


def test_a_resumed_run_ends_with_the_same_bits(model_dir: Path, data: Path, tmp_path: Path) -> None:
    whole = train_sft(settings(model_dir, data, tmp_path / "whole"))
    half = settings(model_dir, data, tmp_path / "half")
    train_sft(dataclasses.replace(half, max_steps=4))
    (tmp_path / "half" / "checkpoint-4").rename(tmp_path / "lost")  # as if killed after step 4
    resumed = train_sft(dataclasses.replace(half, resume_from_checkpoint=True))
    one, other = (run.model_dir / "model.safetensors" for run in (whole, resumed))
    assert one.read_bytes() == other.read_bytes()
    lines = [[without_times(line) for line in read_metrics(run.metrics_path)] for run in (whole, resumed)]
    assert lines[0] == lines[1]


def test_a_budget_of_rows_ends_the_training(model_dir: Path, data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(
        settings(model_dir, data, tmp_path), max_steps=-1, num_train_epochs=9, max_rows=5
    )
    result = train_sft(config)  # 3 rows in steps of 2: 2 + 1 + 2
    assert (result.cause, result.updates) == (StopCause.MAX_ROWS, 3)


def test_rows_that_a_checkpoint_has_not_counted_stay_unknown(
    model_dir: Path, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(settings(model_dir, data, tmp_path), max_steps=3)
    first = train_sft(config).checkpoint
    assert load_state(first).rows_trained == 5  # 3 rows in steps of 2: 2 + 1 + 2
    older = json.loads((first / "trainer_state.json").read_text())
    del older["rows_trained"]
    (first / "trainer_state.json").write_text(json.dumps(older))
    again = dataclasses.replace(config, max_steps=4, resume_from_checkpoint=True)
    with pytest.raises(ConfigError, match=r"checkpoint-3 does not say .* max_rows=9 cannot be kept"):
        train_sft(dataclasses.replace(again, max_rows=9))
    with pytest.warns(UserWarning, match=r"checkpoint-3 does not say on how many rows"):
        second = train_sft(again).checkpoint
    assert load_state(second).rows_trained is None


def test_thoughts_are_taught_or_left_out(model_dir: Path, data: Path) -> None:
    model = load_learner_model(SFTConfig(model=str(model_dir), device="cpu"))
    store = TrajectoryStore.open(data)
    tasks = ReplaySource(store, store.screenshots).tasks
    words = {
        thoughts: model.prompts.decode(
            expert_rows(tasks, model, get_format("compact"), thoughts=thoughts).rows[0].token_ids
        )
        for thoughts in (True, False)
    }
    assert words == {True: "here click 14 14", False: "click 14 14"}


def test_with_lora_the_finished_model_has_its_adapter_merged(
    model_dir: Path, data: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(settings(model_dir, data, tmp_path / "run"), lora_rank=4)
    result = train_sft(config)
    losses = [line["loss"] for line in read_metrics(result.metrics_path)]
    assert losses[-1] < losses[0]
    assert (result.checkpoint / "model" / "adapter_model.safetensors").is_file()
    merged = load_learner_model(dataclasses.replace(config, model=str(result.model_dir), lora_rank=0))
    assert not merged.adapters
    before = load_learner_model(SFTConfig(model=str(model_dir), device="cpu"))
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    assert not merged.network.get_parameter(name).equal(before.network.get_parameter(name))


def test_changed_settings_warn_on_resume(model_dir: Path, data: Path, tmp_path: Path) -> None:
    config = settings(model_dir, data, tmp_path / "run")
    train_sft(dataclasses.replace(config, max_steps=3))
    again = dataclasses.replace(config, max_steps=4, learning_rate=1e-3, resume_from_checkpoint=True)
    with pytest.warns(UserWarning, match=r"learning_rate 0\.01 -> 0\.001"):
        train_sft(again)


def test_a_misspelt_format_is_told_at_once(model_dir: Path, data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(settings(model_dir, data, tmp_path / "run"), format="compakt")
    with pytest.raises(ConfigError, match="compact"):
        train_sft(config)
