"""`--agent hierarchical` from demonstrations to evaluation, on a tiny model with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gui_agent.cli.main import main
from gui_agent.policy import AgentRole
from trainers.metrics import read_metrics
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trajectories.records import Trajectory
from trajectories.store import TrajectoryStore

COMPACT = "compact:snap_px=8,history_limit=2"
SUITE = "phone/quickstart"
TINY = TinyModelConfig(
    hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
    vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=0,
    macro_tokens=("click 28 60", "click 84 164", "finish success", "button home"),
)  # fmt: skip
LEARN = ("--agent", "hierarchical", "--format", COMPACT, "--device", "cpu", "--learning-rate", "1e-3")
SAMPLE = ("--num-generations", "2", "--max-completion-length", "16", "--max-updates", "1",
          "--filter-std", "-1", "--groups-per-update", "2", "--num-mini-batches", "1")  # fmt: skip


def run(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "store"
    run("collect", "--suite", SUITE, "--episodes", 4, "--only-success", "--output", folder)
    return folder


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose two roles share all weights and now and then say something useful."""
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny_model(TINY, ["tap settings", "turn on wifi", "plan"], folder / "random", seed=0)
    run("train", "sft", *LEARN, "--model", folder / "random", "--data", data, "--max-steps", 30,
        "--rows-per-step", 12, "--no-thoughts", "--learning-rate", "1e-2", "--lora-rank", 0,
        "--output-dir", folder / "sft")  # fmt: skip
    return folder / "sft" / "model"


@pytest.fixture(scope="module")
def warm(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warm start of two adapters."""
    out = tmp_path_factory.mktemp("warm") / "sft"
    run("train", "sft", *LEARN, "--lora-rank", 4, "--model", base, "--data", data, "--max-steps", 3,
        "--no-thoughts", "--output-dir", out)  # fmt: skip
    return out / "model"


def episodes(folder: Path) -> list[Trajectory]:
    return list(TrajectoryStore.open(folder))


def both_roles_were_recorded(trajectories: list[Trajectory]) -> bool:
    roles = {item.role for each in trajectories for step in each.steps for item in step.completions}
    return roles == {AgentRole.PLANNER, AgentRole.ACTOR}


def figures(out: Path) -> dict[str, Any]:
    (line,) = read_metrics(out / "metrics.jsonl")
    return line


def test_semi_online_and_online_train_both_roles(warm: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "semi"
    run("train", "semi-online", *LEARN, *SAMPLE, "--model", warm, "--data", data, "--output-dir", out)
    assert figures(out)["rows"] > 0
    assert figures(out)["rows_frozen"] == 0
    assert figures(out)["grad_norm"] > 0
    assert figures(out)["sampling/sampling_logp_difference/max"] < 1e-4
    assert both_roles_were_recorded(episodes(out / "trajectories"))
    live = tmp_path / "online"
    run("train", "online", *LEARN, *SAMPLE, "--freeze-planner", "--model", out / "model", "--suite", SUITE,
        "--reward", "task_progress", "--output-dir", live, "--task-seeds", 1)  # fmt: skip
    assert figures(live)["rows_frozen"] > 0
    assert both_roles_were_recorded(episodes(live / "trajectories"))


def test_a_cut_off_training_of_adapters_ends_with_the_same_bits(
    warm: Path, data: Path, tmp_path: Path
) -> None:
    settings = ("train", "semi-online", *LEARN, *SAMPLE, "--model", warm, "--data", data, "--beta", "0.1")
    run(*settings, "--max-updates", 2, "--output-dir", tmp_path / "whole")
    run(*settings, "--output-dir", tmp_path / "half")
    run(*settings, "--max-updates", 2, "--output-dir", tmp_path / "half", "--resume-from-checkpoint")
    last = read_metrics(tmp_path / "whole" / "metrics.jsonl")[-1]
    assert last["grad_norm"] > 0
    for role in ("planner", "actor"):
        one, other = (
            (tmp_path / name / "model" / role / "adapter_model.safetensors").read_bytes()
            for name in ("whole", "half")
        )
        assert one == other


def test_subgoals_can_be_written_and_looked_at(data: Path, tmp_path: Path) -> None:
    run("data", "subgoals", data, "--output", tmp_path / "named")
    for trajectory in episodes(tmp_path / "named"):
        assert all(step.subgoal for step in trajectory.steps)
        assert trajectory.steps[-1].subgoal == "finish"
        assert trajectory.source["subgoal_source"] == f"template@1 {len(trajectory.steps)}"
    assert main(["data", "subgoals", str(data), "--output", str(data)]) != 0


@pytest.mark.parametrize("role", [AgentRole.PLANNER, AgentRole.ACTOR])
def test_another_model_may_speak_for_a_role_that_is_not_trained(
    role: AgentRole, warm: Path, base: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run("train", "semi-online", *LEARN, *SAMPLE, "--lora-rank", 2, "--model", base, f"--{role.value}", warm,
        "--data", data, "--output-dir", out)  # fmt: skip
    line = figures(out)
    assert line["rows_frozen"] > 0
    assert line["rows"] > 0
    assert line["sampling/sampling_logp_difference/max"] < 1e-4
    assert both_roles_were_recorded(episodes(out / "trajectories"))
    assert (out / "model" / "config.json").is_file()  # one role was trained, and its adapter is merged


def test_evaluation_and_collection_take_a_hierarchical_agent(
    warm: Path, base: Path, data: Path, tmp_path: Path
) -> None:
    asked = ("--agent", "hierarchical", "--format", COMPACT, "--max-completion-length", 3)
    out = tmp_path / "eval"
    run("eval", "run", *asked, "--agent.model", warm, "--suite", SUITE, "--episodes-per-template", 1,
        "--data", data, "--max-trajectories", 2, "--output-dir", out)  # fmt: skip
    report = json.loads((out / "eval.json").read_text())
    assert report["config"]["agent"]["kind"] == "hierarchical"
    assert report["live"]["instances"] > 0
    assert report["replay"]["trajectories"] == 2
    assert both_roles_were_recorded(episodes(out / "episodes"))
    own = tmp_path / "own"
    run("collect", *asked, "--agent.model", warm, "--planner", base, "--suite", SUITE, "--episodes", 2,
        "--output", own)  # fmt: skip
    assert both_roles_were_recorded(episodes(own))


def test_a_trained_pair_is_asked_as_what_it_is_without_a_word(warm: Path, tmp_path: Path) -> None:
    run("eval", "run", "--agent.model", warm, "--max-completion-length", 3, "--suite", SUITE,
        "--episodes-per-template", 1, "--output-dir", tmp_path / "eval")  # fmt: skip
    asked = json.loads((tmp_path / "eval" / "eval.json").read_text())["config"]["agent"]
    assert (asked["kind"], asked["format"]) == ("hierarchical", COMPACT)
    assert both_roles_were_recorded(episodes(tmp_path / "eval" / "episodes"))


def test_wrong_combinations_are_refused(
    warm: Path, base: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate = f"eval run --suite {SUITE} --format {COMPACT} --output-dir {tmp_path}/e"
    flat = f"{evaluate} --agent.model {warm} --agent flat"
    planning = f"{evaluate} --agent hierarchical --agent.model {base}"
    train = f"train sft --data {data} --format {COMPACT} --device cpu --output-dir {tmp_path}/t"
    wrong = {
        flat: "say --agent hierarchical",
        f"{flat} --planner x": "planner is set, but a flat agent has none",
        f"{evaluate} --agent.model {warm} --agent hierarchicall": "did you mean 'hierarchical'",
        f"{planning} --planner-format hiagent --dry-run": "did you mean 'hi_agent'",
        f"{planning} --planner http://127.0.0.1:9/v1": "behind it",
        f"{train} --model {warm} --agent flat": "train it with --agent hierarchical",
        f"{train} --model {base} --agent hierarchical --lora-rank 0 --freeze-planner": "share all weights",
    }
    for command, words in wrong.items():
        assert main(command.split()) != 0
        assert words in " ".join(capsys.readouterr().err.split())
