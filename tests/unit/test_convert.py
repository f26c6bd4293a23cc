"""Converters on real rows, and on rows that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui_agent.actions import (
    Button,
    Click,
    Direction,
    Finish,
    FinishStatus,
    OpenApp,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.agent import DemonstratorAgent, EpisodeContext
from gui_agent.device import StopReason, Verdict
from gui_agent.errors import DataError, ReplayError
from gui_agent.matching import get_matcher
from gui_agent.observation import Box
from trajectories.check import check_store
from trajectories.convert import ImageFolder, ScreenSize
from trajectories.convert_aitz import AitzOptions, convert_aitz_files
from trajectories.convert_rows import ConversionReport
from trajectories.convert_ui_s1 import (
    SwipesAsStored,
    UiS1Options,
    convert_ui_s1_file,
    read_ui_s1,
)
from trajectories.damage import OnDamage
from trajectories.episode import run_episode
from trajectories.replay import ReplayDevice, ReplaySource, ReplayTask
from trajectories.store import TrajectoryStore

GOLDEN = Path(__file__).parents[1] / "golden"
TRAIN = GOLDEN / "android_control" / "train.jsonl"
EVALUATION = GOLDEN / "android_control" / "evaluation.jsonl"
AITZ = GOLDEN / "aitz" / "GOOGLE_APPS-523638528775825151.json"
PHONE = ScreenSize(width_px=1080, height_px=2400)


def test_real_training_rows(tmp_path: Path) -> None:
    report = convert_ui_s1_file(TRAIN, tmp_path, UiS1Options())
    assert (report.num_rows, report.num_episodes, report.problems) == (6, 6, [])
    store = TrajectoryStore.open(tmp_path)
    assert store.episode_ids[:2] == ["android_control-0", "android_control-20"]
    first = store.trajectory("android_control-0")
    assert first.goal == "Open the Zoho Meet app , view the scheduled meetings ."
    assert [step.executed for step in first.steps] == [
        OpenApp(name="Zoho Meeting"),
        Wait(duration_s=2.0),
        Click(x=540, y=389),
        Finish(status=FinishStatus.SUCCESS),
    ]
    click = first.steps[2]
    assert click.expected is not None
    assert click.expected.boxes == (Box(left=360, top=327, right=695, bottom=466),)
    assert json.loads(click.raw_action or "")["coordinate"] == [540.0, 389.8351648351648]
    # Nothing is made up: there are neither pictures nor sizes.
    assert (click.screenshot_sha256, click.width_px, click.height_px) == (None, None, None)
    assert report.num_without_size == report.num_steps == check_store(store).num_steps
    assert (first.outcome.verdict, first.stop, first.split) == (Verdict.SUCCESS, StopReason.FINISHED, "train")
    assert first.source["screenshots"][0] == "/datasets/AndroidControl/images/0_0.png"
    with pytest.raises(ReplayError, match="--images"):
        ReplayTask.from_trajectory(first, store.screenshots)


def test_training_swipes_become_the_path_of_the_finger() -> None:
    report = ConversionReport()
    episodes = [record.trajectory for record in read_ui_s1(TRAIN, UiS1Options(), report)]
    swipes = [step for episode in episodes for step in episode.steps if isinstance(step.executed, Swipe)]
    # The goals (browse products, read reviews) want what is further down: the finger moves up.
    assert {step.executed for step in swipes} == {Swipe(x=540, y=1800, to_x=540, to_y=600)}
    assert {step.executed.finger_direction for step in swipes if isinstance(step.executed, Swipe)} == {
        Direction.UP
    }
    assert report.num_reversed_swipes == len(swipes) == 8
    assert json.loads(swipes[0].raw_action or "")["coordinate"] == [540.0, 600.0]
    kept = SwipesAsStored(vertical_is_scroll=False, horizontal_is_scroll=False)
    stored = [record.trajectory for record in read_ui_s1(TRAIN, UiS1Options(swipes=kept))]
    assert stored[1].steps[3].executed == Swipe(x=540, y=600, to_x=540, to_y=1800)


def test_real_evaluation_rows() -> None:
    report = ConversionReport()
    episodes = [record.trajectory for record in read_ui_s1(EVALUATION, UiS1Options(screen=PHONE), report)]
    assert [episode.episode_id.removeprefix("android_control-") for episode in episodes] == [
        "8193",
        "8197",
        "8202",
        "16402",
        "8216",
    ]
    assert (report.num_steps, report.num_without_size, report.num_reversed_swipes) == (27, 0, 0)
    first = episodes[0]
    assert first.steps[0].executed == SystemButton(button=Button.BACK)
    assert first.steps[2].subgoal == "click on pin option"
    assert first.steps[2].expected is not None
    areas = [box.area_px for box in first.steps[2].expected.boxes]
    assert len(areas) == 3
    assert areas == sorted(areas)
    assert first.steps[7].executed == TypeText(text="Sculpture art")
    assert (first.steps[0].width_px, first.steps[0].height_px) == (1080, 2400)
    assert {episode.stop for episode in episodes} == {StopReason.EXPERT_END}
    assert {episode.split for episode in episodes} == {"eval"}


def write_rows(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def row_of(*contents: dict[str, Any], **step_fields: Any) -> dict[str, Any]:
    steps = [
        {"action_content": content, "screenshot": f"/data/images/7_{index}.png", **step_fields}
        for index, content in enumerate(contents)
    ]
    return {"goal": "Do it", "is_successful": True, "steps": steps}


@pytest.mark.parametrize(
    ("start", "end", "finger"),
    [
        # check_options.direction "down" is drawn as a finger moving up, "right" as one moving right
        ((540, 1800), (540, 600), Direction.UP),
        ((200, 1200), (800, 1200), Direction.LEFT),
    ],
)
def test_evaluation_swipes_become_the_path_of_the_finger(
    tmp_path: Path, start: tuple[int, int], end: tuple[int, int], finger: Direction
) -> None:
    content = {"action": "swipe", "coordinate": list(start), "coordinate2": list(end)}
    file = write_rows(tmp_path / "rows.jsonl", row_of(content, check_options=content))
    (record,) = read_ui_s1(file, UiS1Options())
    swipe = record.trajectory.steps[0].executed
    assert isinstance(swipe, Swipe)
    assert swipe.finger_direction is finger


FOUR_BOXES = [[0, 0, 100, 100], [0, 0, 10, 10], [0, 0, 50, 50], [0, 0, 20, 20]]


def test_boxes_of_every_form_smallest_first(tmp_path: Path) -> None:
    click = {"action": "click", "coordinate": [5, 5]}
    file = write_rows(
        tmp_path / "rows.jsonl",
        row_of({**click, "bbox": [1, 2, 3, 4]}),
        row_of({**click, "bbox": FOUR_BOXES}),
        row_of(click, check_options={"candidate_bbox": [0.4, 0, 9.6, 10]}),
        row_of(click, check_options={"candidate_bbox": []}),
    )
    boxes = [record.trajectory.steps[0].expected.boxes for record in read_ui_s1(file, UiS1Options())]  # type: ignore[union-attr]
    assert boxes[0] == (Box(left=1, top=2, right=3, bottom=4),)
    assert [box.right for box in boxes[1]] == [10, 20, 50, 100]
    assert boxes[2] == (Box(left=0, top=0, right=10, bottom=10),)
    assert boxes[3] == ()


def test_bad_rows_are_named_and_good_rows_kept(tmp_path: Path) -> None:
    good = row_of({"action": "wait", "time": 2})
    bad = {
        2: ('{"goal": "cut o', "not JSON"),
        3: ([1], r"the line is \[1\]; expected a JSON object"),
        4: ({**good, "goal": None}, "goal is null; expected text"),
        5: ({**good, "steps": []}, r"steps is \[\]; expected one step or more"),
        6: (row_of({"action": "click", "coordinate": [1]}), r"steps\[0\].*coordinate must be two numbers"),
        7: (row_of({"action": "fly"}), "no action is called 'fly'"),
        8: (row_of({"action": "click", "coordinate": [1, 1], "bbox": [[1, 2, 3]]}), r"expected \[left, top"),
        9: ({**good, "steps": ["nothing"]}, r'steps\[0\] is "nothing"; expected an object'),
        10: (row_of({"action": "wait"}, step_instruction=["wait"]), r"step_instruction is \["),
        11: (row_of({"action": "wait"}, thought={"a": 1}), r"steps\[0\]\.thought is .* expected text"),
        12: ('{"goal": "half a letter \\ud800", "steps": []}', "not JSON in UTF-8"),
        13: ({**good, "episode_id": [7]}, r"episode_id is \[7\]; expected a number or text"),
    }
    file = write_rows(tmp_path / "rows.jsonl", good, *[row for row, _ in bad.values()], good)
    report = ConversionReport()
    records = list(read_ui_s1(file, UiS1Options(), report))
    assert [record.trajectory.episode_id for record in records] == [
        "android_control-7",
        "android_control-7-line14",
    ]
    assert (report.num_rows, report.num_episodes) == (14, 2)
    assert [problem.line for problem in report.problems] == list(bad)
    for problem in report.problems:
        assert str(problem).startswith(f"{file}:{problem.line}: ")
        with pytest.raises(AssertionError, match=bad[problem.line][1]):
            raise AssertionError(problem.reason)
    with pytest.raises(DataError, match=r"rows\.jsonl:2: not JSON"):
        list(read_ui_s1(file, UiS1Options(on_damage=OnDamage.RAISE)))


def test_a_line_that_is_no_text_costs_no_other(tmp_path: Path) -> None:
    good = json.dumps(row_of({"action": "wait"})).encode()
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + good + b"\r\n" + good.replace(b"Do it", b"\xff") + b"\r\n" + good)
    report = ConversionReport()
    assert len(list(read_ui_s1(file, UiS1Options(), report))) == 2
    assert [(problem.line, problem.reason[:17]) for problem in report.problems] == [(2, "not JSON in UTF-8")]


def test_points_are_held_to_the_screen(tmp_path: Path) -> None:
    places = [[1, 1], [1080, 2400], [1081, 5], [5, -1]]
    file = write_rows(
        tmp_path / "rows.jsonl", *[row_of({"action": "click", "coordinate": place}) for place in places]
    )
    anywhere = [record.trajectory.steps[0].executed for record in read_ui_s1(file, UiS1Options())]
    assert anywhere == [Click(x=x, y=y) for x, y in places]
    report = ConversionReport()
    found = [
        record.trajectory.steps[0].executed for record in read_ui_s1(file, UiS1Options(screen=PHONE), report)
    ]
    assert found == [Click(x=1, y=1), Click(x=1079, y=2399)]  # the far edge is the last pixel
    assert [problem.line for problem in report.problems] == [3, 4]
    assert "expected points within the screen of 1080x2400 pixels" in report.problems[0].reason


def test_a_conversion_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    lines = TRAIN.read_text().splitlines()
    file, store = tmp_path / "rows.jsonl", tmp_path / "store"
    file.write_text("\n".join([*lines[:3], "{", *lines[3:]]))
    with pytest.raises(DataError, match=":4: not JSON") as caught:
        convert_ui_s1_file(file, store, UiS1Options(on_damage=OnDamage.RAISE))
    assert "3 episodes from before it are kept" in caught.value.__notes__[0]
    report = convert_ui_s1_file(file, store, UiS1Options())
    assert (report.num_already_there, report.num_episodes, len(report.problems)) == (3, 3, 1)
    whole = convert_ui_s1_file(TRAIN, tmp_path / "whole", UiS1Options())
    assert whole.num_episodes == 6
    found, expected = TrajectoryStore.open(store), TrajectoryStore.open(tmp_path / "whole")
    assert [each.steps for each in found] == [each.steps for each in expected]
    first = json.loads(lines[0])
    file.write_text(json.dumps({**first, "goal": "another"}))
    report = convert_ui_s1_file(file, store, UiS1Options())
    assert "which the store has from another row" in report.problems[0].reason


def test_pictures_of_the_same_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    for folder in ("a/7", "a/8", "b/8"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.png").touch()
    images = ImageFolder(tmp_path)
    assert images.find("/data/7/0.png") == tmp_path / "a/7/0.png"
    assert images.find("/data/b/8/0.png") == tmp_path / "b/8/0.png"
    assert images.find("/data/8/1.png") is images.find("") is None
    for name in ("/data/8/0.png", "0.png"):
        with pytest.raises(DataError, match="fits both"):
            images.find(name)


def test_pictures_are_found_by_name_and_give_the_size(tmp_path: Path) -> None:
    images = tmp_path / "elsewhere" / "images"
    images.mkdir(parents=True)
    Image.new("RGB", (108, 240), "red").save(images / "7_0.png")
    (images / "unrelated").mkdir()
    Image.new("RGB", (5, 5)).save(images / "unrelated" / "7_0.png")
    file = write_rows(tmp_path / "rows.jsonl", row_of({"action": "wait"}, {"action": "terminate"}))
    report = ConversionReport()
    (record,) = read_ui_s1(file, UiS1Options(images=tmp_path / "elsewhere"), report)
    seen, unseen = record.trajectory.steps
    assert (seen.width_px, seen.height_px) == (108, 240)
    assert seen.screenshot_sha256 in record.screenshots
    assert (unseen.screenshot_sha256, unseen.width_px) == (None, None)
    assert (report.num_screenshots, report.num_missing_screenshots) == (1, 1)
    # Pictures of another size than stated would put every action in the wrong place.
    list(read_ui_s1(file, UiS1Options(images=images, screen=PHONE), report))
    assert "108x240 pixels, but 1080x2400 were stated" in report.problems[0].reason
    (images / "7_0.png").write_bytes(b"no picture")
    list(read_ui_s1(file, UiS1Options(images=images), report))
    assert "do not decode" in report.problems[1].reason
    with pytest.raises(DataError, match="is no folder"):
        list(read_ui_s1(file, UiS1Options(images=tmp_path / "nowhere")))


def test_a_screen_size_must_be_one() -> None:
    assert ScreenSize.parse("1080x2400") == PHONE
    for text in ("1080", "0x10", "axb", "10x-3"):
        with pytest.raises(DataError, match="WIDTHxHEIGHT"):
            ScreenSize.parse(text)


async def test_a_real_aitz_episode_converts_and_replays(tmp_path: Path) -> None:
    report = convert_aitz_files([AITZ], tmp_path, AitzOptions())
    assert (report.num_episodes, report.num_screenshots, report.problems) == (1, 4, [])
    store = TrajectoryStore.open(tmp_path)
    (episode,) = store
    swipe = episode.steps[1].executed
    assert [step.executed for step in episode.steps] == [
        SystemButton(button=Button.HOME),
        Swipe(x=136, y=324, to_x=156, to_y=0),
        Click(x=163, y=299),
        Finish(status=FinishStatus.SUCCESS),
    ]
    assert isinstance(swipe, Swipe)
    assert swipe.finger_direction is Direction.UP
    assert [step.subgoal for step in episode.steps][:2] == ["press the home button", "scroll up"]
    assert check_store(store).ok
    device = ReplayDevice(get_matcher("ui_s1"), patch_budget=0)
    (task,) = ReplaySource(store).tasks
    context = EpisodeContext(goal=task.goal, episode_id="replayed")
    record = await run_episode(device, DemonstratorAgent(device), task, context=context)
    assert record.trajectory.outcome.verdict is Verdict.SUCCESS
    assert set(record.screenshots) == set(store.screenshots)


def test_bad_aitz_files_are_named(tmp_path: Path) -> None:
    data = json.loads(AITZ.read_text())
    (tmp_path / "cut.json").write_text(AITZ.read_text()[:500])
    (tmp_path / "unknown.json").write_text(json.dumps([{**data[0], "result_action_type": 99}]))
    (tmp_path / "bare.json").write_text(json.dumps([{"image_path": data[0]["image_path"]}]))
    sources = [tmp_path / "cut.json", tmp_path / "unknown.json", tmp_path / "bare.json", AITZ]
    report = convert_aitz_files(sources, tmp_path / "store", AitzOptions(images=AITZ.parent))
    assert report.num_episodes == 1
    reasons = [str(problem) for problem in report.problems]
    assert "cut.json:1: not JSON" in reasons[0]
    assert "[0].result_action_type is 99; expected 3 to 7, 10 or 11" in reasons[1]
    assert "[0].episode_id is null; expected text" in reasons[2]
    again = convert_aitz_files(sources, tmp_path / "store", AitzOptions(images=AITZ.parent))
    assert (again.num_episodes, again.num_already_there, len(again.problems)) == (0, 1, 3)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("image_path", 3, "image_path is 3; expected text"),
        ("image_path", "no.png", 'image_path is "no.png"; expected a picture under'),
        ("result_touch_yx", "[1e999, 0]", "result_touch_yx is [Infinity, 0]; expected [y, x] as shares"),
        ("result_lift_yx", [0.5], "result_lift_yx is [0.5]; expected [y, x]"),
        ("result_lift_yx", "[0.5", "not JSON"),
        ("ui_types", "[]", "ui_text and 0 ui_types; expected as many of each"),
        ("ui_positions", 4, "ui_positions is 4; expected a list"),
        ("coat_action_desc", ["tap"], 'coat_action_desc is ["tap"]; expected text'),
        ("coat_action_think", "\ud800", "not JSON in UTF-8"),
        ("instruction", None, "instruction is null; expected text"),
    ],
)
def test_what_is_wrong_in_an_aitz_episode_is_named(tmp_path: Path, field: str, value: Any, said: str) -> None:
    data = json.loads(AITZ.read_text())
    at = 0 if field == "instruction" else 2
    data[at][field] = value
    file = tmp_path / "episode.json"
    file.write_text(json.dumps(data))
    report = convert_aitz_files([file, AITZ], tmp_path / "store", AitzOptions(images=AITZ.parent))
    (problem,) = report.problems
    assert str(problem).startswith(f"{file}:1: ")
    assert said in problem.reason
    assert report.num_episodes == 1


def test_the_same_aitz_episode_twice_is_named(tmp_path: Path) -> None:
    report = convert_aitz_files([AITZ, AITZ], tmp_path / "store", AitzOptions())
    assert report.num_episodes == 1
    assert f"as in {AITZ}:1; expected another one" in report.problems[0].reason
