"""`gui-agent data validate` finds what is wrong with a store, `data stats` counts what is in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gui_agent.actions import Click, Finish, TypeText
from gui_agent.cli.main import main
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.observation import Screenshot
from trajectories.check import FindingKind, StoreCheck, check_store
from trajectories.damage import OnDamage
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.stats import Distribution
from trajectories.store import TrajectoryStore

CLICK = Click(x=5, y=5)
RED, BLUE = (Screenshot.from_image(Image.new("RGB", (100, 200), colour)) for colour in ("red", "blue"))


def step(index: int, action: Any = CLICK, shot: Screenshot = RED, **fields: Any) -> Step:
    given = {"screenshot_sha256": shot.sha256, "width_px": 100, "height_px": 200, "executed": action}
    return Step(index=index, requested=None, **{**given, **fields})


def episode(name: str, *steps: Step, **fields: Any) -> EpisodeRecord:
    given = {
        "suite": "app",
        "split": "train",
        "stop": StopReason.FINISHED,
        "template": "app",
        "policy": "expert",
    }
    outcome = Outcome(verdict=Verdict.SUCCESS)
    trajectory = Trajectory(
        episode_id=name, task_id=name, goal="g", steps=steps, **{"outcome": outcome, **given, **fields}
    )
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in (RED, BLUE)})


def checked(path: Path) -> StoreCheck:
    return check_store(TrajectoryStore.open(path, on_damage=OnDamage.SKIP))


def test_a_good_store_has_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = step(0, None, error="the response is no action")
    fault = episode("c", stop=StopReason.DEVICE_FAULT, fault="gone")
    store = TrajectoryStore.create(tmp_path / "store")
    store.append([episode("a", step(0), step(1, Finish())), episode("b", failed), fault])
    assert main(["data", "validate", str(store.path)]) == 0
    assert "3 episodes, 3 steps, 1 pictures\nnothing is wrong" in capsys.readouterr().out


def test_what_stands_in_steps_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = ExpertAction(action=Click(x=0, y=200))
    store = TrajectoryStore.create(tmp_path / "store")
    store.append(
        [
            episode("points", step(0, Click(x=100, y=0)), step(1, expected=outside)),
            episode("size", step(0, width_px=200, height_px=100)),
            episode("silent", step(0, None)),
            episode("empty"),
            episode("bare", step(0, Finish(), screenshot_sha256=None, width_px=None, height_px=None)),
        ]
    )
    check = checked(store.path)
    assert [(finding.kind, finding.where) for finding in check.findings] == [
        (FindingKind.POINT_OUTSIDE, "episode 'points', step 0"),
        (FindingKind.POINT_OUTSIDE, "episode 'points', step 1"),
        (FindingKind.NO_ACTION, "episode 'silent', step 0"),
        (FindingKind.NO_STEPS, "episode 'empty'"),
        (FindingKind.NO_PICTURE, "episode 'bare', step 0"),
        (FindingKind.NO_SIZE, "episode 'bare', step 0"),
        (FindingKind.PICTURE_SIZE, "episode 'size', step 0"),
    ]
    assert "click at (100, 0); expected within 100x200" in check.findings[0].message
    assert main(["data", "validate", str(store.path), "--limit", "1"]) == 3
    said = capsys.readouterr()
    assert "point outside: 2, 1 shown (--limit 0 shows all)" in said.out
    assert "without size: 1; no damage" in said.out
    assert "5 found damaged" in said.err
    assert main(["data", "validate", str(store.path), "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["counts"]["point outside"], len(report["findings"])) == (False, 2, 7)


def test_steps_that_cannot_be_replayed_are_no_damage(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "store")
    store.append(episode("bare", step(0, Finish(), screenshot_sha256=None)))
    assert main(["data", "validate", str(store.path)]) == 0
    assert checked(store.path).counts == {FindingKind.NO_PICTURE: 1}


def test_files_and_pictures_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "store"
    cut = RED.data[:-30]  # whole as a file: its name is that of its bytes
    broken = Screenshot(data=cut, width_px=100, height_px=200)
    store = TrajectoryStore.create(path)
    shows_broken = episode("broken", step(0, shot=broken))
    pictures = {**shows_broken.screenshots, hashlib.sha256(cut).hexdigest(): broken}
    store.append(dataclasses.replace(shows_broken, screenshots=pictures))
    store.append(episode("missing", step(0, shot=BLUE)))
    store.append(episode("torn", step(0)))
    store.append(episode("newer", step(0)))
    missing = store.screenshots.file(BLUE.sha256)
    assert missing is not None
    missing.unlink()
    torn = path / "steps-00000002.parquet"
    torn.write_bytes(torn.read_bytes()[:100])
    newer = path / "episodes-00000003.parquet"
    table = pq.read_table(newer)
    at = table.schema.get_field_index("schema_version")
    pq.write_table(table.set_column(at, "schema_version", pa.array([99], pa.int32())), newer)
    check = checked(path)
    found = {(finding.kind, finding.where) for finding in check.findings}
    assert found == {
        (FindingKind.BROKEN_PICTURE, "episode 'broken', step 0"),
        (FindingKind.MISSING_PICTURE, "episode 'missing', step 0"),
        (FindingKind.UNREADABLE, "steps-00000002.parquet"),
        (FindingKind.NEWER_SCHEMA, "episodes-00000003.parquet"),
    }
    assert not check.ok
    assert main(["data", "validate", str(path)]) == 3


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file whose reading fails is Linux's")
def test_a_picture_that_the_disk_does_not_give_is_named(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "store")
    store.append([episode("a", step(0)), episode("b", step(0, shot=BLUE))])
    file = store.screenshots.file(RED.sha256)
    assert file is not None
    file.unlink()
    file.symlink_to("/proc/self/mem")
    (finding,) = checked(store.path).findings
    assert (finding.kind, finding.where) == (FindingKind.BROKEN_PICTURE, "episode 'a', step 0")
    assert f"{file} cannot be read" in finding.message


def test_an_episode_that_a_fault_kept_from_beginning_is_no_damage(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "store")
    store.append(episode("a", stop=StopReason.USER, fault="the browser was gone"))
    assert checked(store.path).ok


def test_stats_count_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failure = Outcome(verdict=Verdict.FAILURE)
    store = TrajectoryStore.create(tmp_path / "store")
    store.append(
        [
            episode("a", step(0, thought="why"), step(1, TypeText(text="x")), step(2, Finish())),
            episode("b", step(0, source=ActionSource.PATCH), outcome=failure, split="eval"),
            episode("c", step(0, None, error="outside"), outcome=failure),
        ]
    )
    assert main(["data", "stats", str(store.path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["all"]["verdicts"] == {"failure": 2, "success": 1}
    assert [(part["split"], part["suite"], part["episodes"], part["steps"]) for part in report["slices"]] == [
        ("eval", "app", 1, 1),
        ("train", "app", 2, 4),
    ]
    assert report["actions"] == {"click": 2, "type": 1, "finish": 1, "none": 1}
    assert report["sources"] == {"policy": 4, "patch": 1}
    assert (report["patched_episodes"], report["all"]["patched_steps"]) == (1, 1)
    assert report["steps_per_episode"] == {"least": 1, "quartiles": [1, 1, 3], "greatest": 3, "mean": 5 / 3}
    assert report["screens"] == {"100x200": 5}
    assert report["labels"]["thought"] == 1
    assert (report["pictures"], report["picture_bytes"]) == (1, len(RED.data))
    assert main(["data", "stats", str(store.path), "--top", "1"]) == 0
    said = capsys.readouterr().out
    assert "actions            click 2 (40.0%), and 3 more" in said
    assert "steps per episode  1 to 3, mean 1.7, median 1, middle half 1 to 3" in said


def test_an_empty_store_has_no_distribution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TrajectoryStore.create(tmp_path / "store")
    assert Distribution.of([]) is None
    assert main(["data", "stats", str(tmp_path / "store")]) == 0
    assert "steps per episode  –" in capsys.readouterr().out
    assert main(["data", "validate", str(tmp_path / "store")]) == 0
    assert "0 pictures\nit holds no episode\n" in capsys.readouterr().out
    assert main(["data", "export", str(tmp_path / "store"), "--output", str(tmp_path / "out")]) == 3
    said = capsys.readouterr()
    assert (said.out, "holds no episode" in said.err) == ("", True)
    assert main(["data", "validate", str(tmp_path / "nowhere")]) == 2
