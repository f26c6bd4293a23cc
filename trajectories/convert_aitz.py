"""Episodes of Android in the Zoo (AITZ) as trajectories, with their screenshots.

One JSON file is one episode: a list of steps in the form of Android in the Wild (AITW). Touch and lift
points are shares of the screen in the order (y, x); a gesture whose points are close is a tap, any
other is the path of a finger, kept as it is. Detected widgets stand in `ui_positions` as
(top, left, height, width) in pixels of the picture; those under a tap become its boxes.

The thought (`coat_action_think`) is the expert's thought, the description (`coat_action_desc`) its
subgoal.

Source: AITZ (IMNearth/CoAT), arXiv:2403.02713; AITW, arXiv:2307.10088.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from gui_agent.actions import (
    Action,
    Button,
    Click,
    Finish,
    FinishStatus,
    Swipe,
    SystemButton,
    TypeText,
)
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.observation import Box, Screenshot, UiElement
from trajectories.convert import ImageFolder, convert_to_store
from trajectories.convert_rows import (
    ConversionReport,
    Draft,
    KnownEpisode,
    SourceRow,
    known_episodes,
    read_rows,
)
from trajectories.damage import OnDamage
from trajectories.episode import element_to_dict
from trajectories.json_fields import Fields, is_number, load_json, wrong
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

CONVERTER: Final = "convert_aitz@1"
LICENCE: Final = "Apache-2.0 (AITZ); CC BY 4.0 (AITW)"
TAP_DISTANCE: Final = 0.04
"""Touch and lift closer than this, in shares of the screen, are one tap (AITW's own rule)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AitzOptions:
    """How to convert.

    Attributes:
        images: folder with the screenshots, searched by name; the folder of each JSON file if None.
        split, suite: labels of the trajectories.
        on_damage: "skip" leaves a bad episode out and reports it, "raise" stops there.
    """

    images: Path | None = None
    split: str = "train"
    suite: str = "aitz"
    on_damage: OnDamage = OnDamage.SKIP


def convert_aitz_files(
    sources: Sequence[str | Path],
    target: str | Path,
    options: AitzOptions,
    *,
    on_row: Callable[[], None] = lambda: None,
) -> ConversionReport:
    """Convert episode files and append them to the store at `target`, made if it is not there.

    Raises:
        DataError: an episode is bad (only with on_damage="raise").
    """
    report = ConversionReport()
    provenance = {"dataset": "Android in the Zoo", "licence": LICENCE, "converter": CONVERTER}
    store = TrajectoryStore.open_or_create(target, source=provenance)
    convert_to_store(read_aitz(sources, options, report, known=known_episodes(store), on_row=on_row), store)
    return report


def read_aitz(
    sources: Sequence[str | Path],
    options: AitzOptions,
    report: ConversionReport | None = None,
    *,
    known: Mapping[str, KnownEpisode] | None = None,
    on_row: Callable[[], None] = lambda: None,
) -> Iterator[EpisodeRecord]:
    """Convert file by file; what became of every episode is counted into `report`.

    Raises:
        DataError: as `convert_aitz_files`.
    """
    report = ConversionReport() if report is None else report
    given = None if options.images is None else ImageFolder(options.images)
    folder_of = lru_cache(maxsize=1)(ImageFolder)  # a folder of many episodes is listed once

    def draft(file: Path) -> Draft:
        return _draft(file, options, lambda: given or folder_of(file.parent))

    rows = (SourceRow(file=str(file), line=1, draft=partial(draft, file)) for file in map(Path, sources))
    return read_rows(rows, report, on_damage=options.on_damage, known=known or {}, on_row=on_row)


def _draft(file: Path, options: AitzOptions, images: Callable[[], ImageFolder]) -> Draft:
    try:
        text = file.read_bytes()
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror}); check its permissions") from error
    given = load_json(text)
    if not isinstance(given, list) or not given:
        raise wrong("the file", given, "a list of steps that is not empty")
    steps = [Fields.of(step, f"[{at}]") for at, step in enumerate(given)]
    number = steps[0].any("episode_id")
    if isinstance(number, bool) or not isinstance(number, int | str) or number == "":
        raise wrong(steps[0].at("episode_id"), number, "text")
    episode = _Episode(
        file=file.name,
        sha256=hashlib.sha256(text).hexdigest(),
        name=f"{options.suite}-{number}",
        goal=steps[0].text("instruction"),
        fields=steps,
        options=options,
    )
    return Draft(
        episode_id=episode.name,
        goal=episode.goal,
        num_steps=len(steps),
        sha256=episode.sha256,
        record=lambda: episode.record(images()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Episode:
    """One file on its way to a trajectory."""

    file: str
    sha256: str
    name: str
    goal: str
    fields: Sequence[Fields]
    options: AitzOptions

    def record(self, images: ImageFolder) -> EpisodeRecord:
        screenshots: dict[str, Screenshot] = {}
        steps: list[Step] = []
        for fields in self.fields:
            screenshot = _screenshot(fields, images)
            screenshots[screenshot.sha256] = screenshot
            steps.append(_step(len(steps), fields, screenshot))
        return EpisodeRecord(trajectory=self._trajectory(tuple(steps)), screenshots=screenshots)

    def _trajectory(self, steps: tuple[Step, ...]) -> Trajectory:
        last = steps[-1].executed
        successful = last == Finish(status=FinishStatus.SUCCESS)
        return Trajectory(
            episode_id=self.name,
            task_id=self.name,
            template=self.options.suite,
            suite=self.options.suite,
            goal=self.goal,
            steps=steps,
            stop=StopReason.FINISHED if isinstance(last, Finish) else StopReason.EXPERT_END,
            outcome=Outcome(
                verdict=Verdict.SUCCESS if successful else Verdict.UNSCORED,
                progress=1.0 if successful else None,
                detail="as the annotator declared" if successful else "the recording does not say",
            ),
            group_id=self.name,
            policy="expert",
            split=self.options.split,
            device="android_recording",
            source={
                "dataset": "Android in the Zoo",
                "licence": LICENCE,
                "converter": CONVERTER,
                "file": self.file,
                "file_sha256": self.sha256,
                **({"subgoal_source": "coat_action_desc"} if any(step.subgoal for step in steps) else {}),
            },
        )


def _screenshot(fields: Fields, images: ImageFolder) -> Screenshot:
    name = fields.text("image_path")
    screenshot = images.read(name)
    if screenshot is None:
        raise wrong(fields.at("image_path"), name, f"a picture under {images.path} (--images DIR)")
    return screenshot


def _step(index: int, fields: Fields, screenshot: Screenshot) -> Step:
    action = _action(fields, screenshot)
    thought = fields.optional_text("coat_action_think") or None
    widgets = list(_widgets(fields))
    raw = {key: value for key, value in fields.data.items() if key.startswith("result_")}
    return Step(
        index=index,
        screenshot_sha256=screenshot.sha256,
        width_px=screenshot.width_px,
        height_px=screenshot.height_px,
        requested=action,
        executed=action,
        expected=ExpertAction(action=action, boxes=_boxes_under(action, widgets), thought=thought),
        thought=thought,
        subgoal=fields.optional_text("coat_action_desc") or None,
        elements=tuple(element_to_dict(widget) for widget in widgets),
        raw_action=json.dumps(raw, ensure_ascii=False),
    )


def _action(fields: Fields, screenshot: Screenshot) -> Action:
    match fields.any("result_action_type"):
        case 3:
            return TypeText(text=fields.text("result_action_text"))
        case 4:
            return _gesture(fields, screenshot)
        case 5:
            return SystemButton(button=Button.BACK)
        case 6:
            return SystemButton(button=Button.HOME)
        case 7:
            return SystemButton(button=Button.ENTER)
        case 10:
            return Finish(status=FinishStatus.SUCCESS)
        case 11:
            return Finish(status=FinishStatus.FAILURE)
        case other:
            raise wrong(fields.at("result_action_type"), other, "3 to 7, 10 or 11")


def _gesture(fields: Fields, screenshot: Screenshot) -> Click | Swipe:
    (y, x), (to_y, to_x) = _point(fields, "result_touch_yx"), _point(fields, "result_lift_yx")

    def pixel(share: float, size_px: int) -> int:
        return min(max(int(share * size_px), 0), size_px - 1)  # a finger leaves the screen at its edge

    width, height = screenshot.width_px, screenshot.height_px
    start = pixel(x, width), pixel(y, height)
    if math.hypot(to_x - x, to_y - y) <= TAP_DISTANCE:
        return Click(x=start[0], y=start[1])
    return Swipe(x=start[0], y=start[1], to_x=pixel(to_x, width), to_y=pixel(to_y, height))


def _point(fields: Fields, name: str) -> list[float]:
    return _numbers(_list(fields, name), fields.at(name), "[y, x] as shares of the screen", count=2)


def _widgets(fields: Fields) -> Iterator[UiElement]:
    """What was detected on the screen; each has a place, a kind, and a text that may be empty."""
    positions, texts, kinds = (_list(fields, name) for name in ("ui_positions", "ui_text", "ui_types"))
    if not len(positions) == len(texts) == len(kinds):
        raise DataError(
            f"{fields.place} has {len(positions)} ui_positions, {len(texts)} ui_text and {len(kinds)} "
            "ui_types; expected as many of each"
        )
    for at, (position, text, kind) in enumerate(zip(positions, texts, kinds, strict=True)):
        for name, value in (("ui_text", text), ("ui_types", kind)):
            if not isinstance(value, str):
                raise wrong(f"{fields.at(name)}[{at}]", value, "text")
        place = f"{fields.at('ui_positions')}[{at}]"
        top, left, height, width = map(
            round, _numbers(position, place, "[top, left, height, width] in pixels", count=4)
        )
        role = "text" if kind == "TEXT" else "icon"
        yield UiElement(
            name=text or kind.removeprefix("ICON_").replace("_", " ").lower(),
            role=role,
            box=Box(left=left, top=top, right=left + width, bottom=top + height),
            clickable=role == "icon",
        )


def _boxes_under(action: Action, widgets: Sequence[UiElement]) -> tuple[Box, ...]:
    if not isinstance(action, Click):
        return ()
    boxes = [widget.box for widget in widgets if widget.box.contains(action.x, action.y)]
    return tuple(sorted(boxes, key=lambda box: box.area_px))


def _numbers(value: Any, place: str, expected: str, *, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count or not all(map(is_number, value)):
        raise wrong(place, value, expected)
    return value


def _list(fields: Fields, name: str) -> list[Any]:
    """A list, which AITZ writes as JSON within JSON; empty where the field is not there."""
    value = fields.any(name, [])
    found = load_json(value.encode()) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise wrong(fields.at(name), value, "a list")
    return found
