"""Recordings that cannot be read or replayed stop a training, or are left out, named and counted."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gui_agent.actions import Action, Click, Finish
from gui_agent.cli.main import main
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.observation import Screenshot
from trainers.metrics import read_metrics
from trainers.recordings import read_recordings
from trainers.semi_online import replay_tasks
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft_config import SFTConfig
from trajectories.damage import OnDamage
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

COLORS = ("red", "green", "blue", "white", "black", "navy", "gold", "pink")
Row = dict[str, Any]


def recording(number: int) -> EpisodeRecord:
    shots = [Screenshot.from_image(Image.new("RGB", (56, 56), COLORS[2 * number + i])) for i in range(2)]
    actions: list[Action] = [Click(x=14, y=14), Finish()]
    steps = tuple(
        Step(
            index=i, screenshot_sha256=shot.sha256, width_px=56, height_px=56, requested=None,
            executed=action, expected=ExpertAction(action=action),
        )
        for i, (shot, action) in enumerate(zip(shots, actions, strict=True))
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id=f"expert-{number}", task_id=f"task-{number}", template="tap", suite="tiny", goal="tap",
        steps=steps, stop=StopReason.FINISHED, split="train", outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of two recordings."""
    path = tmp_path_factory.mktemp("good") / "store"
    store = TrajectoryStore.create(path)
    store.append([recording(0), recording(1)])
    store.append([recording(2), recording(3)])
    return path


@pytest.fixture
def store(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "store"))


def edit(store: Path, table: str, change: Callable[[list[Row]], Any]) -> None:
    """Change the first shard of a table."""
    file = store / f"{table}-00000000.parquet"
    old = pq.read_table(file, partitioning=None)
    rows = old.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=old.schema), file)


def first_step(**changes: object) -> Callable[[Path], None]:
    return lambda store: edit(store, "steps", lambda rows: rows[0].update(changes))


def truncate_shard(store: Path) -> None:
    file = store / "steps-00000000.parquet"
    file.write_bytes(file.read_bytes()[:-100])


def lose_picture(store: Path) -> None:
    sha256 = recording(0).trajectory.screenshot_sha256s[0]
    (store / "screenshots" / sha256[:2] / f"{sha256}.png").unlink()


def break_picture(store: Path) -> None:
    """The bytes have the name that belongs to them, and are the first half of a picture."""
    whole = recording(0).screenshots
    data = next(iter(whole.values())).data[:60]
    sha256 = hashlib.sha256(data).hexdigest()
    file = store / "screenshots" / sha256[:2] / f"{sha256}.png"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    first_step(screenshot_sha256=sha256)(store)


def lose_steps(store: Path) -> None:
    edit(store, "steps", lambda rows: rows.__delitem__(slice(0, 2)))
    edit(store, "episodes", lambda rows: rows[0].update(num_steps=0))


CLICK_OUTSIDE = json.dumps({"type": "click", "x": 500, "y": 9})
TELEPORT = json.dumps({"type": "teleport", "x": 5, "y": 9})
DAMAGE: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "truncated shard": (truncate_shard, 2, "steps-00000000.parquet"),
    "missing picture": (lose_picture, 3, "is missing"),
    "broken picture": (break_picture, 3, "expert-0"),
    "outside the screen": (first_step(executed=CLICK_OUTSIDE, expected=None), 3, "lies outside the screen"),
    "no steps": (lose_steps, 3, "expert-0"),
    "unknown action": (first_step(executed=TELEPORT), 3, "row 0: episode 'expert-0'"),
    "no expert action": (first_step(executed=None, expected=None), 3, "nothing was executed"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_left_out_named_and_counted(name: str, store: Path) -> None:
    damage, num_left, where = DAMAGE[name]
    damage(store)
    with pytest.warns(UserWarning, match="left out: ") as said:
        found = read_recordings(SFTConfig(data=store, on_damage=OnDamage.SKIP))
    assert len(found.trajectories) == num_left
    assert (found.num_skipped, found.metrics) == (1, {"recordings/skipped": 1})
    (warning,) = said
    assert where in str(warning.message)
    assert str(store) in str(warning.message)
    with warnings.catch_warnings(action="ignore"):
        tasks = replay_tasks(SemiOnlineConfig(data=store, on_damage=OnDamage.SKIP))
    assert [task.trajectory_id for task in tasks] == [each.episode_id for each in found.trajectories]
    for task in tasks:
        task.check_pictures()


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_stops_a_training_by_default(name: str, store: Path) -> None:
    DAMAGE[name][0](store)

    def read() -> None:
        for task in replay_tasks(SemiOnlineConfig(data=store)):
            task.check_pictures()  # which training does when it shows them

    with pytest.raises(DataError):
        read()


def test_an_undamaged_store_is_read_the_same_either_way(good: Path) -> None:
    skip, stop = (read_recordings(SFTConfig(data=good, on_damage=mode)) for mode in reversed(OnDamage))
    assert skip.trajectories == stop.trajectories
    assert skip.metrics == stop.metrics == {}


def test_training_on_nothing_is_refused_with_the_first_reason(store: Path) -> None:
    for number in (0, 1):
        (store / f"steps-0000000{number}.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"nothing in .* can be read; 2 recordings or files .*00000000"):
        read_recordings(SFTConfig(data=store, on_damage=OnDamage.SKIP))


@pytest.mark.filterwarnings("ignore:left out")
def test_training_without_one_whole_picture_is_refused(store: Path) -> None:
    shutil.rmtree(store / "screenshots")
    with pytest.raises(DataError, match=r"no undamaged recording; 4 recordings or files .*is missing"):
        read_recordings(SFTConfig(data=store, on_damage=OnDamage.SKIP))


SFT = "sft --max-steps 1 --rows-per-step 2"
SEMI_ONLINE = (
    "semi-online --max-updates 1 --groups-per-update 1 --num-generations 2 --filter-std -1 "
    "--max-completion-length 4"
)


@pytest.mark.parametrize("command", [SFT, SEMI_ONLINE])
def test_a_broken_picture_stops_a_run_when_it_is_shown(
    command: str, store: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_picture(store)
    words = [
        *command.split(),
        "--model",
        tiny_model_dir_qwen3,
        "--data",
        store,
        "--output-dir",
        tmp_path / "o",
    ]
    line = ["train", *map(str, words), "--format", "compact", "--max-updates", "4"]
    assert main(line if "semi" in command else line[:-2]) == 3
    assert "does not decode" in capsys.readouterr().err


@pytest.mark.parametrize("command", [SFT, SEMI_ONLINE])
def test_a_run_says_how_many_it_did_without(
    command: str, store: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lose_picture(store)
    first_step(executed=TELEPORT)(store)  # of the same recording
    edit(store, "steps", lambda rows: rows[2].update(executed=CLICK_OUTSIDE, expected=None))
    out = tmp_path / "o"
    words = [*command.split(), "--model", tiny_model_dir_qwen3, "--data", store, "--output-dir", out]
    line = ["train", *map(str, words), "--format", "compact"]
    assert main(line) == 3
    with warnings.catch_warnings(action="ignore"):
        assert main([*line, "--on-damage", "skip"]) == 0
    assert "2 damaged recordings or files were left out" in capsys.readouterr().out
    assert [each["recordings/skipped"] for each in read_metrics(out / "metrics.jsonl")] == [2]
