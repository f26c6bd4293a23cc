"""The examples in docs/data.md make a store that trainings take."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import ACTION_TYPES, Click, action_type_name
from gui_agent.cli.main import main
from trajectories.check import check_store
from trajectories.json_episode import EPISODE_FIELDS, STEP_FIELDS
from trajectories.store import TrajectoryStore

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    for number, (name, *_) in enumerate(names["RECORDED"]):
        Image.new("RGB", (1080, 2400), (40 * number, 90, 90)).save(tmp_path / name)
    names["write"](tmp_path, tmp_path / "store")
    return tmp_path / "store"


def test_the_example_can_be_trained_on(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_store(TrajectoryStore.open(store)).ok
    line = f"train semi-online --data {store} --model M --on-damage raise --dry-run"
    assert main(line.split()) == 0
    assert "would train M on 1 trajectories" in capsys.readouterr().out


def test_a_point_outside_the_screen_is_found_by_a_dry_run(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = TrajectoryStore.open(store).record("groceries-0001")
    step = dataclasses.replace(record.trajectory.steps[0], expected=None, executed=Click(x=4000, y=10))
    steps = (step, *record.trajectory.steps[1:])
    bad = dataclasses.replace(record, trajectory=dataclasses.replace(record.trajectory, steps=steps))
    TrajectoryStore.create(tmp_path / "bad").append(bad)
    assert main(f"train sft --data {tmp_path / 'bad'} --model M --dry-run".split()) == 3
    assert "4000" in capsys.readouterr().err


def test_its_steps_are_read_as_the_page_says(store: Path) -> None:
    import pyarrow.dataset as ds

    steps = ds.dataset(sorted(store.glob("steps-*.parquet"))).to_table().to_pylist()
    assert len(steps) == 4
    assert all(step["episode_id"] == "groceries-0001" for step in steps)


def test_the_example_in_json_lines_can_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    episode = json.loads(text)
    file = tmp_path / "episodes.jsonl"
    file.write_text(json.dumps(episode) + "\n")
    for number, step in enumerate(episode["steps"]):
        picture = tmp_path / step["screenshot"]
        picture.parent.mkdir(exist_ok=True)
        Image.new("RGB", (1080, 2400), (40 * number, 90, 90)).save(picture)
    store = tmp_path / "store"
    assert main(f"data convert jsonl {file} --output {store} --on-damage raise".split()) == 0
    assert "1 of 1 rows converted, 4 steps" in capsys.readouterr().out
    (found,) = TrajectoryStore.open(store)
    assert found.steps[0].executed == Click(x=540, y=1900)
    line = f"train semi-online --data {store} --model M --on-damage raise --dry-run"
    assert main(line.split()) == 0
    assert "would train M on 1 trajectories" in capsys.readouterr().out


def test_the_fields_and_actions_of_json_lines_are_all_listed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page[page.index("### JSON lines") : page.index("### From Python")]
    names = set(re.findall(r"`([a-z_]+)`", section))
    assert names >= {*EPISODE_FIELDS, *STEP_FIELDS, *map(action_type_name, ACTION_TYPES)}
