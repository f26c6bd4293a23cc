"""Checkpoints, metrics and the run folder: whole or not there, and cut back on resume."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from gui_agent.errors import ConfigError, DataError, DependencyError
from trainers.checkpoint import Checkpoints, TrainerState, load_config, load_state
from trainers.metrics import MetricsLog, Stopwatch, read_metrics, without_times
from trainers.progress import ProgressView
from trainers.reporters import build_reporters


def write(text: str = "weights"):  # type: ignore[no-untyped-def]
    def tensors(folder: Path) -> None:
        (folder / "model").mkdir()
        (folder / "model" / "w").write_text(text)

    return tensors


def state(update: int) -> TrainerState:
    return TrainerState(update=update, optimizer_steps=update * 4, position={"drawn": 7}, store_mark=3)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(state(5), {"learning_rate": 0.1}, write())
    assert path.name == "checkpoint-5"
    assert load_state(path) == state(5)
    assert load_config(path) == {"learning_rate": 0.1}
    assert (path / "model" / "w").read_text() == "weights"


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for update in (1, 2, 10):
        checkpoints.save(state(update), {}, write())
    assert [path.name for path in checkpoints.complete()] == ["checkpoint-2", "checkpoint-10"]
    assert checkpoints.resolve(True) == tmp_path / "checkpoint-10"


def test_a_write_that_failed_leaves_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(1), {}, write())

    def fails(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(state(2), {}, fails)
    assert [path.name for path in checkpoints.complete()] == ["checkpoint-1"]
    checkpoints.save(state(2), {}, write())
    assert (tmp_path / "checkpoint-2" / "model" / "w").exists()
    assert not (tmp_path / "checkpoint-2" / "half").exists()


def test_resuming_discards_what_came_later(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for update in (1, 2, 3):
        checkpoints.save(state(update), {}, write())
    (tmp_path / ".partial-checkpoint-4").mkdir()
    checkpoints.discard_after(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-2"]


def test_nothing_to_resume_begins_anew_but_a_wrong_path_is_an_error(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run")
    assert checkpoints.resolve(True) is None
    assert checkpoints.resolve(False) is None
    with pytest.raises(ConfigError, match=r"trainer_state\.json"):
        checkpoints.resolve(tmp_path)


def test_a_newer_state_is_refused(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(state(1), {}, write())
    data = json.loads((path / "trainer_state.json").read_text()) | {"version": 99}
    (path / "trainer_state.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match="99"):
        load_state(path)


def test_metrics_are_cut_back_to_a_checkpoint(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.append({"update": 1, "loss": float("nan"), "time/train": 0.5})
    mark = log.length_bytes
    log.append({"update": 2, "loss": 0.25})
    log.close()
    again = MetricsLog(tmp_path / "metrics.jsonl")
    assert again.length_bytes > mark
    again.truncate(mark)
    again.append({"update": 2, "loss": 0.5})
    again.close()
    first, second = read_metrics(tmp_path / "metrics.jsonl")
    assert without_times(first) == {"update": 1, "loss": None}
    assert second["loss"] == 0.5
    with pytest.raises(DataError, match="new output_dir"):
        MetricsLog(tmp_path / "metrics.jsonl").truncate(10_000)


def test_cpu_seconds_go_on_counting_after_a_resume() -> None:
    stopwatch = Stopwatch()
    stopwatch.resume(1000.0)
    with stopwatch.measure("train"):
        pass
    taken = stopwatch.take()
    assert taken["time/cpu_s"] >= 1000
    assert taken["time/train"] >= 0
    assert "time/train" not in stopwatch.take()


def test_cpu_seconds_before_a_training_began_are_not_its_own() -> None:
    used_before = time.process_time()
    assert 0 <= Stopwatch().cpu_s < used_before


def test_a_missing_reporter_names_its_extra(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"gui-agent\[wandb\]"):
        build_reporters(["wandb"], tmp_path, {})


def test_tensorboard_gets_the_metrics(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (reporter,) = build_reporters(["tensorboard"], tmp_path, {"seed": 1})
    reporter.log({"loss": 0.5}, step=1)
    reporter.close()
    assert list((tmp_path / "tensorboard").iterdir())


def test_without_a_terminal_every_nth_update_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressView(title="semi_online", logging_steps=2) as view:
        for update in range(1, 5):
            view.show({"update": update, "reward": 0.25, "semi_online/tsr": 0.5, "time/train": 1.0})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "semi_online 2: reward 0.25, tsr 0.5, train 1.0s"
    assert len(lines) == 2


def test_on_a_terminal_there_is_a_panel_with_the_split_of_time() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with ProgressView(title="semi_online", stream=terminal) as view:
        view.show(
            {"update": 1, "reward": 0.25, "reward/format": 0.1, "time/generate": 2.0, "time/train": 1.0}
        )
    shown = terminal.getvalue()
    assert "reward/format" in shown
    assert "generate 2.0s train 1.0s" in shown
