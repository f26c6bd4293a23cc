"""A training that is killed with SIGKILL and resumed ends with the same bits as one that was not.

Run as a program, this file is the victim: a warm process that forks one child per run, so that torch
is imported once. A child kills itself, with the real signal, at the call it was told.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Chain:
    """A training, and where its runs die: (what is running, at which call of it in that run)."""

    updates: int
    deaths: list[tuple[str, int]]
    settings: dict[str, Any]


CHAINS = {
    "srgpo": Chain(
        updates=6,
        deaths=[
            ("sample", 3),  # before the first checkpoint
            ("update", 3),  # after checkpoint 2, in the middle of an update
            ("write", 2),  # while checkpoint 4 is being written: checkpoint 2 is the newest
            ("stored", 4),  # episodes of update 6 are stored, nothing has learnt from them
            ("logged", 1),  # a line of metrics is written, its checkpoint is not
        ],
        settings={"algorithm": "srgpo", "num_generations": 4},
    ),
    "rapo": Chain(
        updates=8,
        deaths=[
            ("update", 7),  # in update 4, which learns from successes that were stored before checkpoint 2
            ("stored", 5),  # episodes of update 7 are stored, and may be the latest successes
        ],
        settings={
            "algorithm": "grpo", "num_generations": 2, "max_solve_rate": 1.0, "solved_reward": 0.9,
            "replay_successes": True, "scale_informative": True,
        },
    ),
}  # fmt: skip
every_chain = pytest.mark.parametrize("name", CHAINS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@every_chain
def test_every_run_of_the_chain_died_where_it_should(runs: Path, name: str) -> None:
    exits = json.loads((runs / "exits.json").read_text())
    assert exits[name] == [0, *[-signal.SIGKILL] * len(CHAINS[name].deaths), 0]


@pytest.mark.parametrize("file", ["model/model.safetensors", "optimizer.safetensors", "rng.safetensors"])
@every_chain
def test_the_last_checkpoints_are_equal_bit_by_bit(runs: Path, name: str, file: str) -> None:
    checkpoint = f"checkpoint-{CHAINS[name].updates}"
    whole, killed = (runs / f"{name}-{end}" / checkpoint / file for end in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()


@every_chain
def test_metrics_are_equal_but_for_times(runs: Path, name: str) -> None:
    from trainers.metrics import read_metrics, without_times

    whole, killed = (read_metrics(runs / f"{name}-{end}" / "metrics.jsonl") for end in ("whole", "killed"))
    assert [without_times(line) for line in whole] == [without_times(line) for line in killed]
    assert [line["update"] for line in whole] == list(range(1, CHAINS[name].updates + 1))
    assert any(line.get("grad_norm", 0) > 0 for line in whole), "nothing was learnt; the test is vacuous"


@every_chain
def test_the_stores_hold_the_same_episodes(runs: Path, name: str) -> None:
    whole, killed = (episodes(runs / f"{name}-{end}" / "trajectories") for end in ("whole", "killed"))
    assert whole == killed


@every_chain
def test_nothing_unfinished_is_left(runs: Path, name: str) -> None:
    assert not list((runs / f"{name}-killed").glob(".partial-*"))


def test_what_rapo_remembers_is_the_same_and_names_stored_episodes(runs: Path) -> None:
    from trainers.checkpoint import load_state
    from trainers.metrics import read_metrics
    from trajectories.store import TrajectoryStore

    checkpoint = f"checkpoint-{CHAINS['rapo'].updates}"
    whole, killed = (load_state(runs / f"rapo-{end}" / checkpoint) for end in ("whole", "killed"))
    assert (whole.rapo, whole.position) == (killed.rapo, killed.position)
    store = TrajectoryStore.open(runs / "rapo-killed" / "trajectories")
    assert set(killed.rapo["successes"].values()) <= set(store.episode_ids)
    assert not any("-replays-" in name for name in store.episode_ids), "what was replayed is stored already"
    lines = read_metrics(runs / "rapo-killed" / "metrics.jsonl")
    assert any(line["rapo/pruned"] for line in lines), "nothing was pruned; the test is vacuous"
    assert sum(line["rapo/replayed"] for line in lines) > 0, "nothing was replayed; the test is vacuous"
    assert all(line["semi_online/episodes"] == 4 for line in lines)


def episodes(path: Path) -> list[Any]:
    """Trajectories without the time they took."""
    from trajectories.records import StepTimings
    from trajectories.store import TrajectoryStore

    return [
        dataclasses.replace(
            trajectory,
            wall_s=0.0,
            steps=tuple(dataclasses.replace(step, timings=StepTimings()) for step in trajectory.steps),
        )
        for trajectory in TrajectoryStore.open(path)
    ]


def build(folder: Path) -> tuple[Path, Path]:
    """A tiny model that knows a little, and four recordings."""
    from PIL import Image, ImageDraw

    from gui_agent.actions import Action, Click, Finish
    from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
    from gui_agent.observation import Screenshot
    from trainers.sft import train_sft
    from trainers.sft_config import SFTConfig
    from trainers.tiny_model import TinyModelConfig, build_tiny_model
    from trajectories.records import EpisodeRecord, Step, Trajectory
    from trajectories.store import TrajectoryStore

    def picture(number: int) -> Screenshot:
        image = Image.new("RGB", (56, 56), ("red", "green", "blue")[number % 3])
        ImageDraw.Draw(image).rectangle((number * 4, 8, number * 4 + 8, 16), fill="white")
        return Screenshot.from_image(image)

    def recording(number: int) -> EpisodeRecord:
        shots = [picture(number), picture(number + 1)]
        actions: list[Action] = [Click(x=14 + 14 * (number % 3), y=14), Finish()]
        steps = tuple(
            Step(index=i, screenshot_sha256=shot.sha256, width_px=56, height_px=56, requested=None,
                 executed=action, expected=ExpertAction(action=action))
            for i, (shot, action) in enumerate(zip(shots, actions, strict=True))
        )  # fmt: skip
        trajectory = Trajectory(
            episode_id=f"expert-{number}", task_id=f"task-{number}", template="tap", suite="tiny",
            goal=f"tap {number}", steps=steps, stop=StopReason.FINISHED, split="train",
            outcome=Outcome(verdict=Verdict.SUCCESS),
        )  # fmt: skip
        return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})

    data = folder / "experts"
    TrajectoryStore.create(data).append(recording(number) for number in range(4))
    tiny = TinyModelConfig(
        hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, mlp_size=64, vision_hidden_size=16,
        vision_depth=1, vision_heads=1, vision_mlp_size=32, bpe_vocab_size=300, number_tokens=60,
        macro_tokens=("click", "finish success"),
    )  # fmt: skip
    model = build_tiny_model(tiny, ["tap 0 1 2 3", "click 14 28 42"], folder / "random", seed=0)
    imitated = train_sft(
        SFTConfig(
            model=str(model),
            data=data,
            output_dir=folder / "sft",
            format="compact",
            device="cpu",
            thoughts=False,
            learning_rate=5e-3,
            max_steps=25,
            rows_per_step=8,
            save_steps=0,
            logging_steps=99,
        )
    )
    return imitated.model_dir, data


def die_at(moment: str, call: int) -> None:
    """Arrange for SIGKILL in the middle of the given call."""
    from gui_agent.policies import transformers_policy
    from trainers import checkpoint, learner, metrics
    from trajectories import store

    places: dict[str, tuple[Any, str, bool]] = {
        "sample": (transformers_policy.TransformersPolicy, "sample_batch", False),
        "update": (learner.Learner, "_step", True),
        "write": (checkpoint, "_flush_folder", False),
        "stored": (store.TrajectoryStore, "append", True),
        "logged": (metrics.MetricsLog, "append", True),
    }
    owner, name, after = places[moment]
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < call:
            return original(*args, **kwargs)
        if after:
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    setattr(owner, name, wrapped)


def train(chain: Chain, model: Path, data: Path, output_dir: Path) -> None:
    from trainers.choices import OnExhausted
    from trainers.semi_online import train_semi_online
    from trainers.semi_online_config import SemiOnlineConfig

    config = SemiOnlineConfig(
        model=str(model), data=data, output_dir=output_dir, format="compact", device="cpu",
        groups_per_update=2, max_updates=chain.updates, num_mini_batches=2, max_completion_length=8,
        learning_rate=1e-3, filter_std=-1, on_exhausted=OnExhausted.TRAIN_ON_REST, max_num_gen_batches=2,
        beta=1e-3, save_steps=2, save_total_limit=1, resume_from_checkpoint=True, **chain.settings,
    )  # fmt: skip
    asyncio.run(train_semi_online(config))


def main(folder: Path) -> None:
    import torch

    import trainers.semi_online  # noqa: F401

    torch.set_num_threads(1)
    child = fork(lambda: build(folder))
    assert child == 0, "building failed"
    model, data = folder / "sft" / "model", folder / "experts"
    exits = {name: die_and_go_on(folder / name, chain, model, data) for name, chain in CHAINS.items()}
    (folder / "exits.json").write_text(json.dumps(exits))


def die_and_go_on(folder: Path, chain: Chain, model: Path, data: Path) -> list[int]:
    """The exit codes of a whole run, of those that die, and of the one that goes on to the end."""
    whole, killed = (folder.with_name(f"{folder.name}-{end}") for end in ("whole", "killed"))
    exits = [fork(lambda: train(chain, model, data, whole))]
    for moment, call in chain.deaths:

        def run(moment: str = moment, call: int = call) -> None:
            die_at(moment, call)
            train(chain, model, data, killed)

        exits.append(fork(run))
    return [*exits, fork(lambda: train(chain, model, data, killed))]


def fork(work: Callable[[], Any]) -> int:
    """Run in a child; the exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # a child must never go on as a second pytest
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
