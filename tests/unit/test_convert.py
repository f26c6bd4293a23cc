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
from trajectories.convert import ConversionReport, ScreenSize
from trajectories.convert_aitz import AitzOptions, convert_aitz_files
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
    assert report.num_without_size == report.num_steps == store.validate().num_steps
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
        3: ([1], "a JSON list instead of an object"),
        4: ({**good, "goal": None}, "'goal' must be text"),
        5: ({**good, "steps": []}, "no steps"),
        6: (row_of({"action": "click", "coordinate": [1]}), "step 0.*coordinate must be two numbers"),
        7: (row_of({"action": "fly"}), "no action is called 'fly'"),
        8: (row_of({"action": "click", "coordinate": [1, 1], "bbox": [[1, 2, 3]]}), "a box must be"),
        9: ({**good, "steps": ["nothing"]}, "step 0 is no JSON object"),
    }
    file = write_rows(tmp_path / "rows.jsonl", good, *[row for row, _ in bad.values()], good)
    report = ConversionReport()
    records = list(read_ui_s1(file, UiS1Options(), report))
    assert [record.trajectory.episode_id for record in records] == [
        "android_control-7",
        "android_control-7-line10",
    ]
    assert (report.num_rows, report.num_episodes) == (10, 2)
    assert [problem.line for problem in report.problems] == list(bad)
    for problem in report.problems:
        assert str(problem).startswith(f"{file}:{problem.line}: ")
        with pytest.raises(AssertionError, match=bad[problem.line][1]):
            raise AssertionError(problem.reason)
    with pytest.raises(DataError, match=r"rows\.jsonl:2: not JSON"):
        list(read_ui_s1(file, UiS1Options(on_problem=OnDamage.RAISE)))


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
    assert store.validate().ok
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
    assert "cut.json" in reasons[0]
    assert "result_action_type is 99" in reasons[1]
    assert "'result_action_type'" in reasons[2]
