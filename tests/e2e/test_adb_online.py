"""Online training and evaluation from a checkpoint, on phones of another program that fail at times."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.android.server import find_adb
from gui_agent.cli.main import main
from gui_agent.device import Verdict
from gui_agent.errors import DependencyError
from trainers.metrics import read_metrics
from trajectories.store import TrajectoryStore

NUM_PHONES, GROUPS, SIBLINGS, UPDATES = 2, 2, 3, 2


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two phones on an adb server of their own; the link of each breaks once."""
    try:
        find_adb()
    except DependencyError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    # This seed takes the first phone away in its first episode, at call 32, and the second at call 150.
    faults = ["--fault-rate", "0.004", "--faults", "offline", "--fault-seed", "2602"]
    phones = ["-n", str(NUM_PHONES), "--suite", "phone/quickstart"]
    command = [sys.executable, "-m", "gui_agent.cli.main", "phone", "serve", "--json", *phones, *faults]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["adb_server_port"]
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        yield
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("strategy", ["drop_group", "retry"])
def test_faults_cost_episodes_and_are_never_scored(
    served: None,
    strategy: str,
    tiny_model_dir_qwen3: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "online"
    settings = f"""
        --suite phone/quickstart --task-seeds 1 --devices android:all --fault-strategy {strategy}
        --max-fault-retries 8 --format compact --algorithm grpo --filter-std -1 --num-generations {SIBLINGS}
        --groups-per-update {GROUPS} --max-num-gen-batches 1 --on-exhausted train_on_rest --beta 0
        --max-updates {UPDATES} --max-completion-length 4 --learning-rate 1e-3 --device cpu
    """.split()
    model = str(tiny_model_dir_qwen3)
    assert main(["train", "online", "--model", model, "--output-dir", str(output), *settings]) == 0

    lines = read_metrics(output / "metrics.jsonl")
    stored = list(TrajectoryStore.open(output / "trajectories"))
    dropped = sum(line["env/groups_dropped"] for line in lines)
    assert len(lines) == UPDATES
    assert sum(line["env/faults"] for line in lines) >= 1
    assert len({one.episode_id for one in stored}) == len(stored) == UPDATES * GROUPS * SIBLINGS
    failed = [one for one in stored if one.fault]
    assert all(one.outcome.verdict is Verdict.UNSCORED for one in failed)
    assert all(one.outcome.verdict is not Verdict.UNSCORED for one in stored if not one.fault)
    assert dropped == len({one.group_id for one in failed})
    if strategy == "drop_group":
        assert failed
    else:
        assert not failed
        assert sum(line["env/restarts"] for line in lines) >= 1
    for line in lines:
        assert line["groups/sampled"] + line["env/groups_dropped"] == GROUPS
        assert "reward" in line or not line["groups/sampled"]
    assert (output / "model" / "model.safetensors").stat().st_size > 0

    capsys.readouterr()
    assert main(["farm", "status", str(output), "--json"]) == 0
    devices = json.loads(capsys.readouterr().out)["devices"]
    assert len(devices) == NUM_PHONES
    # Whoever is done takes the next: there is no turn to wait for.
    assert all(device["episodes"] > 1 for device in devices)
    assert sum(device["episodes"] for device in devices) >= len(stored) - len(failed)


def test_a_model_is_scored_on_phones_over_adb(
    served: None, tiny_model_dir_qwen3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "eval"
    settings = f"""
        --suite phone/quickstart --devices android:all --episodes-per-template 1 --output-dir {output}
        --agent.model {tiny_model_dir_qwen3} --agent.format compact --agent.max-completion-length 4
    """.split()
    assert main(["eval", "run", *settings]) == 0
    live = json.loads((output / "eval.json").read_text())["live"]
    stored = list(TrajectoryStore.open(output / "episodes"))
    assert live["scored"] + live["unscored"] == len(stored) == 10
    assert live["scored"] == sum(one.outcome.verdict is not Verdict.UNSCORED for one in stored) > 0
    capsys.readouterr()
    assert main(["farm", "status", str(output), "--json"]) == 0
    devices = json.loads(capsys.readouterr().out)["devices"]
    assert len(devices) == NUM_PHONES
    assert sum(sum(device["faults"].values()) for device in devices) >= 1
    assert sum(device["episodes"] for device in devices) >= len(stored)
