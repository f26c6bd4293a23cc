"""Episodes in JSON lines: units, what is wrong with a line, and conversions that go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import Click, Swipe
from gui_agent.cli.main import main
from gui_agent.device import StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.observation import Box
from trajectories.convert_jsonl import JsonlOptions, convert_jsonl_file, read_jsonl
from trajectories.convert_rows import ConversionReport
from trajectories.damage import OnDamage
from trajectories.export_jsonl import FILE, carried, export_jsonl
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore

CLICK = {"type": "click", "x": 50, "y": 100}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (100, 200), "red").save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) - 40])
    return tmp_path


def step(**fields: Any) -> dict[str, Any]:
    return {"screenshot": "a.png", "action": CLICK, **fields}


def episode(name: str = "e1", *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": name, "goal": "Do it", "steps": list(steps or [step()]), **fields}


def write(folder: Path, *rows: Any) -> Path:
    file = folder / "episodes.jsonl"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return file


def read(folder: Path, *rows: Any) -> list[EpisodeRecord]:
    return list(read_jsonl(write(folder, *rows), JsonlOptions(on_damage=OnDamage.RAISE)))


@pytest.mark.parametrize(
    ("unit", "full", "start", "end", "box"),
    [
        ("pixels", (100, 200), (10, 20), (99, 199), [0, 0, 50, 100]),
        ("fractions", (1, 1), (0.1, 0.1), (1, 1.0), [0, 0, 0.5, 0.5]),
        ("thousandths", (1000, 1000), (100, 100), (1000, 1000), [0, 0, 500, 500]),
    ],
)
def test_every_unit_means_the_same_pixels(
    folder: Path, unit: str, full: Any, start: Any, end: Any, box: Any
) -> None:
    swipe = {"type": "swipe", "x": start[0], "y": start[1], "to_x": end[0], "to_y": end[1]}
    element = {"name": "all", "role": "icon", "box": [0, 0, *full]}
    (record,) = read(folder, episode("e", step(action=swipe, boxes=[box], elements=[element]), points=unit))
    (found,) = record.trajectory.steps
    assert found.executed == Swipe(x=10, y=20, to_x=99, to_y=199)
    assert found.expected is not None
    assert found.expected.boxes == (Box(left=0, top=0, right=50, bottom=100),)
    assert found.elements == ({"name": "all", "role": "icon", "box": [0, 0, 100, 200]},)


def test_what_is_meant_where_a_field_is_absent(folder: Path) -> None:
    first, second = read(
        folder, episode("e1", step(), outcome="success"), episode("e2", step(action={"type": "finish"}))
    )
    found = first.trajectory
    assert (found.split, found.suite, found.template, found.task_id) == (
        "train",
        "recordings",
        "recordings",
        "e1",
    )
    assert (found.outcome.verdict, found.outcome.progress) == (Verdict.SUCCESS, 1.0)
    assert (found.stop, second.trajectory.stop) == (StopReason.EXPERT_END, StopReason.FINISHED)
    assert second.trajectory.outcome.verdict is Verdict.UNSCORED
    assert found.source["file"] == "episodes.jsonl"
    assert found.source["line"] == 1
    assert found.steps[0].requested == found.steps[0].executed == Click(x=50, y=100)


WRONG: list[tuple[Any, str]] = [
    ('{"id": "cut o', "not JSON"),
    ([1], "the line is [1]; expected a JSON object"),
    ('{"id": "e", "id": "f"}', "'id' stands twice"),
    ('{"id": "e", "goal": NaN}', "NaN is no number"),
    ('{"id": "\\ud800", "goal": "g", "steps": []}', "not JSON in UTF-8"),
    ({"goal": "g"}, "id is not there; expected text"),
    (episode("e", steps=[]), "steps is []; expected one step or more"),
    (episode("e", goal=3), "goal is 3; expected text"),
    (episode("e", outcome="done"), 'outcome is "done"; expected one of success, failure, unknown'),
    (episode("e", points="percent"), 'points is "percent"; expected one of pixels, fractions'),
    (episode("e", progress=2), "progress is 2; expected a number from 0 to 1"),
    (episode("e", seed=2**64), "seed is 18446744073709551616; expected a whole number"),
    (episode("e", gaol="x"), "gaol is no field of the format; did you mean 'goal'?"),
    (episode("e", step(bbox=[1, 2, 3, 4])), "steps[0].bbox is no field of the format; did you mean 'boxes'"),
    (episode("e", {"action": CLICK}), "steps[0].screenshot is not there; expected the path of a picture"),
    (episode("e", step(screenshot="b.png")), 'steps[0].screenshot is "b.png"'),
    (episode("e", step(screenshot="b.png")), "expected a path relative to the file, or to --images"),
    (episode("e", step(screenshot="b\0.png")), "expected a path relative to the file"),
    (episode("e", step(screenshot="cut.png")), "do not decode"),
    (episode("e", step(screen=[3, 4])), "steps[0].screen is [3, 4]; expected [100, 200], the size of"),
    (episode("e", step(action=None)), "steps[0].action is null; expected an action, or an `error`"),
    (episode("e", step(action={"type": "tap"})), "unknown action type 'tap'; expected one of"),
    (episode("e", step(action={**CLICK, "button": 1})), "has no argument 'button'"),
    (
        episode("e", step(), step(action={**CLICK, "x": 4000})),
        "steps[1].action.x is 4000; expected 0 to 99, because the screen is 100 pixels wide",
    ),
    (episode("e", step(action={**CLICK, "y": -1})), "steps[0].action.y is -1; expected 0 to 199"),
    (episode("e", step(action={**CLICK, "x": 0.5})), "action.x is 0.5; expected a whole number of pixels"),
    (episode("e", step(), points="fractions"), "steps[0].action.x is 50; expected 0 to 1, because `points`"),
    (
        episode("e", step(screenshot=None), points="fractions"),
        "steps[0].screen is not there; expected [width, height]",
    ),
    (
        episode("e", step(boxes=[50, 60, 10, 10])),
        "steps[0].boxes[0] is 50; expected [left, top, right, bottom]",
    ),
    (episode("e", step(boxes=[[50, 60, 10, 10]])), "so that left <= right"),
    (episode("e", step(elements=[{"name": "x", "box": [0, 0, 1, 1]}])), "elements[0].role is not there"),
]


def test_what_is_wrong_is_named_and_the_rest_kept(folder: Path) -> None:
    file = write(folder, *[row for row, _ in WRONG], episode("good"), episode("good"))
    report = ConversionReport()
    (record,) = read_jsonl(file, JsonlOptions(), report)
    assert record.trajectory.episode_id == "good"
    assert len(report.problems) == len(WRONG) + 1
    for line, (problem, (_, expected)) in enumerate(zip(report.problems, WRONG, strict=False), start=1):
        assert str(problem).startswith(f"{file}:{line}: ")
        assert expected in problem.reason, line
    assert f'id is "good", as in {file}:{len(WRONG) + 1}' in report.problems[-1].reason
    with pytest.raises(DataError, match=r"episodes\.jsonl:1: not JSON"):
        list(read_jsonl(file, JsonlOptions(on_damage=OnDamage.RAISE)))


def test_a_conversion_goes_on_where_it_was_broken_off(folder: Path) -> None:
    rows = [episode(f"e{number}", source={"licence": "ours"} if number else {}) for number in range(3)]
    del rows[0]["source"]
    convert_jsonl_file(write(folder, *rows[:2]), folder / "store", JsonlOptions())
    seen: list[int] = []
    report = convert_jsonl_file(
        write(folder, *rows), folder / "store", JsonlOptions(), on_row=lambda: seen.append(1)
    )
    assert (report.num_rows, report.num_already_there, report.num_episodes) == (3, 2, 1)
    assert len(seen) == 3
    assert TrajectoryStore.open(folder / "store").episode_ids == ["e0", "e1", "e2"]
    # The same id with another line is no earlier conversion of it.
    changed = [episode("e0", step(thought="new")), episode("e1", step(), step())]
    report = convert_jsonl_file(write(folder, *changed), folder / "store", JsonlOptions())
    assert report.num_already_there == 0
    assert all("which the store has from another row" in problem.reason for problem in report.problems)
    assert len(report.problems) == 2


def test_what_was_read_before_an_error_is_kept(folder: Path) -> None:
    good = [episode(f"e{number}") for number in range(3)]
    bad = episode("bad", step(screenshot="cut.png"))
    strict = JsonlOptions(on_damage=OnDamage.RAISE)
    file = write(folder, *good[:2], bad, good[2])
    for _ in range(2):  # a second run stops at the same line, and loses nothing
        with pytest.raises(DataError, match=r":3: steps\[0\]\.screenshot") as caught:
            convert_jsonl_file(file, folder / "store", strict)
        assert TrajectoryStore.open(folder / "store").episode_ids == ["e0", "e1"]
    assert "0 episodes from before it are kept" in caught.value.__notes__[0]
    mended = write(folder, *good[:2], episode("bad"), good[2])
    report = convert_jsonl_file(mended, folder / "store", strict)
    assert (report.num_already_there, report.num_episodes) == (2, 2)
    assert TrajectoryStore.open(folder / "store").episode_ids == ["e0", "e1", "bad", "e2"]


def test_an_interrupted_conversion_keeps_what_it_has_read(folder: Path) -> None:
    file = write(folder, *[episode(f"e{number}") for number in range(3)])
    seen: list[int] = []

    def interrupt() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_jsonl_file(file, folder / "store", JsonlOptions(), on_row=interrupt)
    assert TrajectoryStore.open(folder / "store").episode_ids == ["e0", "e1"]


def test_lines_of_any_system_are_read(folder: Path) -> None:
    first, second = (json.dumps(episode(name)).encode() for name in ("e1", "é"))
    file = folder / "episodes.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + first + b"\r\n\r\n  \r\n" + second.replace(b"\\u00e9", "é".encode()))
    assert [record.trajectory.source["line"] for record in read_jsonl(file, JsonlOptions())] == [1, 4]
    file.write_bytes(first + b"\n" + second.replace(b"\\u00e9", b"\xe9") + b"\n")
    report = ConversionReport()
    assert len(list(read_jsonl(file, JsonlOptions(), report))) == 1
    assert "not JSON in UTF-8" in report.problems[0].reason


def test_the_commands_there_and_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(folder, episode("e1", outcome="success"), episode("e2", step(action={**CLICK, "x": 100})))
    store, out = folder / "store", folder / "out"
    assert main(f"data convert jsonl {file} --output {store} --on-damage raise".split()) == 3
    said = capsys.readouterr().err
    assert f"{file}:2: steps[0].action.x is 100" in said
    assert f"1 episodes from before it are kept in {store}; call it again to go on" in said
    assert main(f"data convert jsonl {file} --output {store}".split()) == 0
    said = capsys.readouterr().out
    assert "0 of 2 rows converted" in said
    assert "1 rows are in the store already" in said
    assert f"left out: {file}:2: steps[0].action.x is 100; expected 0 to 99" in said
    assert main(f"data convert jsonl {file} --output {store} --screen 3x3".split()) == 2
    assert main(f"data export {store} --output {out}".split()) == 0
    assert main(f"data export {store} --output {out}".split()) == 2  # nothing is overwritten
    assert main(f"data convert jsonl {out / FILE} --output {folder / 'back'}".split()) == 0
    (there,), (back,) = TrajectoryStore.open(store), TrajectoryStore.open(folder / "back")
    assert back == carried(there)
    labelled = folder / "labelled"
    assert main(f"data convert jsonl {out / FILE} --output {labelled} --split eval".split()) == 0
    assert [each.split for each in TrajectoryStore.open(labelled)] == ["eval"]


def test_a_dry_run_reads_everything_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = episode("e2", step(screenshot="cut.png"))
    file, store = write(folder, episode("e1"), bad), folder / "store"
    line = f"data convert jsonl {file} --output {store} --dry-run".split()
    assert main(line) == 0
    said = capsys.readouterr().out
    assert f"nothing is written to {store}" in said
    assert "1 of 2 rows converted" in said
    assert f"left out: {file}:2: steps[0].screenshot" in said
    assert not store.exists()
    assert main([*line, "--on-damage", "raise"]) == 3
    assert main(line[:-1]) == 0
    assert main(line) == 0
    assert "1 rows are in the store already" in capsys.readouterr().out
    folder_line = f"data convert jsonl {folder} --output {store}".split()
    assert main(folder_line) == 3
    assert "cannot be read (Is a directory); give a file of JSON lines" in capsys.readouterr().err


def test_what_json_has_no_word_for_is_not_exported(folder: Path) -> None:
    store = TrajectoryStore.create(folder / "store")
    (record,) = read(folder, episode())
    endless = replace(record.trajectory, source={"score": float("inf")})
    store.append(replace(record, trajectory=endless))
    with pytest.raises(DataError, match=r"episode 'e1': Infinity is no number of JSON"):
        export_jsonl(store, folder / "out")


def test_pictures_travel_as_the_bytes_they_are(folder: Path) -> None:
    names = []
    for number, kind in enumerate(("PNG", "JPEG", "WEBP", "JPEG")):
        names.append(f"{number}.{kind.lower()}")
        Image.new("RGB", (100, 200), (40 * number, 90, 90)).save(folder / names[-1], kind)
    steps = [step(screenshot=name) for name in names]
    convert_jsonl_file(write(folder, episode("e", *steps)), folder / "store", JsonlOptions())
    export_jsonl(TrajectoryStore.open(folder / "store"), folder / "out")
    convert_jsonl_file(folder / "out" / FILE, folder / "back", JsonlOptions())
    (record,) = TrajectoryStore.open(folder / "back").records()
    shown = [record.screenshots[found.screenshot_sha256 or ""] for found in record.trajectory.steps]
    assert [shot.data for shot in shown] == [(folder / name).read_bytes() for name in names]
    assert [shot.media_type for shot in shown[:3]] == ["image/png", "image/jpeg", "image/webp"]


def test_pictures_of_other_forms_are_refused(folder: Path) -> None:
    Image.new("RGB", (100, 200)).save(folder / "a.bmp")
    with pytest.raises(DataError, match=r"do not decode as a PNG, JPEG or WebP picture"):
        read(folder, episode("e", step(screenshot="a.bmp")))


def test_an_export_names_damage_or_leaves_it_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (100, 200), "blue").save(folder / "b.png")
    file = write(folder, episode("e1"), episode("e2", step(screenshot="b.png")))
    convert_jsonl_file(file, folder / "store", JsonlOptions())
    store = TrajectoryStore.open(folder / "store")
    missing = store.screenshots.file(store.trajectory("e1").screenshot_sha256s[0])
    assert missing is not None
    missing.unlink()
    line = f"data export {folder / 'store'} --output {folder / 'out'}"
    assert main(line.split()) == 3
    assert "episode 'e1'" in capsys.readouterr().err
    assert not (folder / "out" / FILE).exists()
    assert main(f"{line} --on-damage skip".split()) == 0
    said = capsys.readouterr().out
    assert "1 episodes, 1 steps, 1 pictures" in said
    assert "left out: " in said
