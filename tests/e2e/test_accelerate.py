"""Two processes on one machine compute what one process computes.

Run as a program, this file is one of the processes, started by `accelerate launch` over loopback.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trainers.semi_online_config import SemiOnlineConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a model and two recordings are."""
    folder = tmp_path_factory.mktemp("accelerate")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Path]:
    main(folder, folder / "one")
    done = launch([__file__, str(folder), str(folder / "two")])
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: folder / name for name in ("one", "two")}


def launch(program: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program in two processes."""
    # `--multi_gpu` chooses the launcher that starts every process itself; the variable moves them to the CPU
    # and gloo. (`--cpu` starts one process and leaves the others to MPI.)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "ACCELERATE_USE_CPU": "true",
    }  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = [
        sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--multi_gpu",
        "--num_machines", "1", "--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_ip", "127.0.0.1", "--main_process_port", str(port),
    ]  # fmt: skip
    return subprocess.run(
        [*launcher, *program],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


def test_devices_are_opened_by_each_process_and_the_last_line_is_printed_once(
    folder: Path, tmp_path: Path
) -> None:
    from trainers.metrics import read_metrics
    from trajectories.store import TrajectoryStore

    command = [
        "-m", "gui_agent.cli.main", "train", "online", "--suite", "phone/quickstart", "--format", "compact",
        "--algorithm", "grpo", "--model", str(folder / "model"), "--device", "cpu",
        "--num-generations", "2", "--groups-per-update", "2", "--max-updates", "1", "--filter-std", "-1",
        "--max-completion-length", "2", "--output-dir", str(tmp_path / "run"),
    ]  # fmt: skip
    done = launch([*command, "--devices", "phone:2"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"model in {tmp_path / 'run/model'}") == 1
    (line,) = read_metrics(tmp_path / "run/metrics.jsonl")
    assert line["online/episodes"] == len(TrajectoryStore.open(tmp_path / "run/trajectories")) == 4
    assert len(json.loads((tmp_path / "run/farm.json").read_text())["devices"]) == 2


def test_loss_and_metrics_are_equal(results: dict[str, Path]) -> None:
    one, two = (json.loads((results[name] / "learner-0.json").read_text()) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
    assert one["grad_norm"] > 0


def test_weights_are_equal_on_both_processes_and_to_one(results: dict[str, Path]) -> None:
    from safetensors.torch import load_file

    one = load_file(results["one"] / "weights-0.safetensors")
    first, second = (load_file(results["two"] / f"weights-{rank}.safetensors") for rank in (0, 1))
    for name, weight in one.items():
        assert first[name].equal(second[name]), name
        assert (first[name] - weight).abs().max() < 1e-6, name


def test_a_whole_iteration_is_shared(results: dict[str, Path]) -> None:
    from trainers.metrics import read_metrics

    (one,), (two,) = (read_metrics(results[name] / "run" / "metrics.jsonl") for name in ("one", "two"))
    for name in ("rows", "reward", "semi_online/episodes", "num_tokens", "grad_norm"):
        assert two[name] == pytest.approx(one[name], rel=1e-5, abs=1e-6), name


def test_a_stored_success_reaches_every_process(results: dict[str, Path]) -> None:
    """Only the first process has the store; the groups of the second fail, too."""
    from trainers.metrics import read_metrics

    one, two = (read_metrics(results[name] / "rapo" / "metrics.jsonl") for name in ("one", "two"))
    assert [line["rapo/replayed"] for line in one] == [line["rapo/replayed"] for line in two] == [0, 2]
    for name in ("rows", "reward", "grad_norm", "importance_ratio/mean"):
        assert two[1][name] == pytest.approx(one[1][name], rel=1e-4, abs=1e-6), name
    assert two[1]["grad_norm"] > 0


def prepare(folder: Path) -> None:
    """A tiny model of random weights, and two recordings."""
    from PIL import Image

    from gui_agent.actions import Click
    from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
    from gui_agent.observation import Screenshot
    from trainers.tiny_model import TinyModelConfig, build_tiny_model
    from trajectories.records import EpisodeRecord, Step, Trajectory
    from trajectories.store import TrajectoryStore

    records = []
    for number, color in enumerate(("red", "green")):
        shot = Screenshot.from_image(Image.new("RGB", (56, 56), color))
        action = Click(x=14, y=14 + number)
        step = Step(index=0, screenshot_sha256=shot.sha256, width_px=56, height_px=56, requested=None,
                    executed=action, expected=ExpertAction(action=action))  # fmt: skip
        trajectory = Trajectory(
            episode_id=f"e{number}", task_id=f"t{number}", template="tap", suite="tiny", goal="tap",
            split="train", steps=(step,), stop=StopReason.FINISHED, outcome=Outcome(verdict=Verdict.SUCCESS),
        )  # fmt: skip
        records.append(EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot}))
    TrajectoryStore.create(folder / "experts").append(records)
    tiny = TinyModelConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
        vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=0,
    )  # fmt: skip
    build_tiny_model(tiny, ["tap"], folder / "model", seed=0)


def settings(folder: Path, output_dir: Path) -> dict[str, Any]:
    return {
        "model": str(folder / "model"), "device": "cpu", "output_dir": output_dir, "num_mini_batches": 2,
        "max_tokens_per_batch": 150, "learning_rate": 1e-4, "beta": 0.01, "num_generations": 2,
        "groups_per_update": 2, "max_updates": 1, "max_completion_length": 6, "filter_std": -1,
    }  # fmt: skip


def main(folder: Path, out: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from trainers.learner import Learner
    from trainers.learner_model import load_learner_model
    from trainers.rows import Row
    from trainers.semi_online import replay_tasks, train_semi_online
    from trainers.semi_online_config import SemiOnlineConfig
    from trainers.sft import expert_rows

    torch.set_num_threads(1)
    out.mkdir(exist_ok=True)
    config = SemiOnlineConfig(data=folder / "experts", format="compact", **settings(folder, out / "run"))
    model = load_learner_model(config)
    learner = Learner(model, config)
    from gui_agent.formats.registry import get_format

    expert = expert_rows(replay_tasks(config), model, get_format("compact"), thoughts=False)
    rows = [
        Row(
            prompt_token_ids=row.prompt_token_ids, image_grids=row.image_grids,
            image_sha256s=row.image_sha256s, token_ids=row.token_ids[: 2 + i],
            old_logprobs=(-5.0,) * len(row.token_ids[: 2 + i]), advantage=(-1.0) ** i * (i + 1),
            group_id=row.group_id, episode_id=f"{row.episode_id}-{i}",
        )
        for row in expert.rows for i in range(5)
    ]  # fmt: skip
    metrics = learner.update(rows, expert.screenshots)
    rank = learner.accelerator.process_index
    (out / f"learner-{rank}.json").write_text(json.dumps(metrics))
    weights = {name: w.detach().contiguous() for name, w in model.network.named_parameters()}
    save_file(weights, str(out / f"weights-{rank}.safetensors"))
    asyncio.run(train_semi_online(config))
    train_with_replay(dataclasses.replace(config, output_dir=out / "rapo"))


def train_with_replay(config: SemiOnlineConfig) -> None:
    """Two updates: the first sibling of each group of the first one succeeds, and nobody after that."""
    from trainers import credit
    from trainers.rewards import StepReward, get_reward
    from trainers.semi_online import train_semi_online
    from trajectories.records import Trajectory

    def early_success(trajectory: Trajectory) -> list[StepReward]:
        won = trajectory.update == 0 and trajectory.episode_id.endswith("-e00")
        return [StepReward.of(outcome=float(won)) for _ in trajectory.steps]

    credit.get_reward = lambda *_, **__: early_success  # type: ignore[assignment, attr-defined]
    try:
        asyncio.run(
            train_semi_online(
                dataclasses.replace(
                    config, algorithm="grpo", max_updates=2, replay_successes=True, solved_reward=0.5
                )
            )
        )
    finally:
        credit.get_reward = get_reward  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
