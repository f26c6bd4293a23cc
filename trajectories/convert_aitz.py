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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from gui_agent.observation import Box, Screenshot
from trajectories.convert import ConversionReport, ImageFolder, RowProblem, convert_to_store, count_episode
from trajectories.damage import OnDamage
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
        on_problem: "skip" leaves a bad episode out and reports it, "raise" stops there.
    """

    images: Path | None = None
    split: str = "train"
    suite: str = "aitz"
    on_problem: OnDamage = OnDamage.SKIP


def convert_aitz_files(
    sources: Sequence[str | Path], target: str | Path, options: AitzOptions
) -> ConversionReport:
    """Convert episode files and append them to the store at `target`, made if it is not there.

    Raises:
        DataError: an episode is bad (only with on_problem="raise").
    """
    report = ConversionReport()
    provenance = {"dataset": "Android in the Zoo", "licence": LICENCE, "converter": CONVERTER}
    store = TrajectoryStore.open_or_create(target, source=provenance)
    convert_to_store(read_aitz(sources, options, report), store)
    return report


def read_aitz(
    sources: Sequence[str | Path], options: AitzOptions, report: ConversionReport | None = None
) -> Iterator[EpisodeRecord]:
    """Convert file by file; what became of every episode is counted into `report`."""
    report = ConversionReport() if report is None else report
    for source in map(Path, sources):
        report.num_rows += 1
        try:
            images = ImageFolder(options.images or source.parent)
            record = _Episode(source, images, options).record()
        except DataError as error:
            problem = RowProblem(file=str(source), line=1, reason=str(error))
            if options.on_problem is OnDamage.RAISE:
                raise DataError(str(problem)) from error
            report.problems.append(problem)
            continue
        yield count_episode(report, record)


@dataclass(slots=True)
class _Episode:
    """One file on its way to a trajectory."""

    file: Path
    images: ImageFolder
    options: AitzOptions
    screenshots: dict[str, Screenshot] = field(default_factory=dict)

    def record(self) -> EpisodeRecord:
        try:
            text = self.file.read_text(encoding="utf-8")
            data = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"not readable as JSON ({error}); fetch the file again") from error
        if not isinstance(data, list) or not data:
            raise DataError("an episode must be a list of steps that is not empty; fetch the file again")
        try:
            steps = tuple(self._step(index, stored) for index, stored in enumerate(data))
            name = f"{self.options.suite}-{data[0]['episode_id']}"
            goal = str(data[0]["instruction"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"a field is missing or of the wrong kind: {error!r}") from error
        last = steps[-1].executed
        successful = last == Finish(status=FinishStatus.SUCCESS)
        trajectory = Trajectory(
            episode_id=name,
            task_id=name,
            template=self.options.suite,
            suite=self.options.suite,
            goal=goal,
            steps=steps,
            stop=StopReason.FINISHED if isinstance(last, Finish) else StopReason.EXPERT_END,
            outcome=Outcome(
                verdict=Verdict.SUCCESS if successful else Verdict.UNSCORED,
                progress=1.0 if successful else None,
                detail="as the annotator declared" if successful else "the recording does not say",
            ),
            group_id=name,
            policy="expert",
            split=self.options.split,
            device="android_recording",
            source={
                "dataset": "Android in the Zoo",
                "licence": LICENCE,
                "converter": CONVERTER,
                "file": self.file.name,
                "file_sha256": hashlib.sha256(text.encode()).hexdigest(),
                **({"subgoal_source": "coat_action_desc"} if any(step.subgoal for step in steps) else {}),
            },
        )
        return EpisodeRecord(trajectory=trajectory, screenshots=self.screenshots)

    def _step(self, index: int, stored: Mapping[str, Any]) -> Step:
        screenshot = self.images.read(stored["image_path"])
        if screenshot is None:
            raise DataError(
                f"step {index}: {stored['image_path']} is not under {self.images.path}; give its folder "
                "(--images DIR)"
            )
        self.screenshots[screenshot.sha256] = screenshot
        action = _action(index, stored, screenshot)
        thought = stored.get("coat_action_think") or None
        boxes = _boxes_under(action, stored)
        raw = {key: value for key, value in stored.items() if key.startswith("result_")}
        return Step(
            index=index,
            screenshot_sha256=screenshot.sha256,
            width_px=screenshot.width_px,
            height_px=screenshot.height_px,
            requested=action,
            executed=action,
            expected=ExpertAction(action=action, boxes=boxes, thought=thought),
            thought=thought,
            subgoal=stored.get("coat_action_desc") or None,
            elements=tuple(_elements(stored)),
            raw_action=json.dumps(raw, ensure_ascii=False),
        )


def _action(index: int, stored: Mapping[str, Any], screenshot: Screenshot) -> Action:
    match stored["result_action_type"]:
        case 3:
            return TypeText(text=str(stored["result_action_text"]))
        case 4:
            return _gesture(stored, screenshot)
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
            raise DataError(
                f"step {index}: result_action_type is {other!r}; expected 3 to 7, 10 or 11; leave it out"
            )


def _gesture(stored: Mapping[str, Any], screenshot: Screenshot) -> Click | Swipe:
    (y, x), (to_y, to_x) = _list(stored["result_touch_yx"]), _list(stored["result_lift_yx"])

    def pixel(share: float, size_px: int) -> int:
        return min(max(int(share * size_px), 0), size_px - 1)  # a finger leaves the screen at its edge

    width, height = screenshot.width_px, screenshot.height_px
    start = pixel(x, width), pixel(y, height)
    if math.hypot(to_x - x, to_y - y) <= TAP_DISTANCE:
        return Click(x=start[0], y=start[1])
    return Swipe(x=start[0], y=start[1], to_x=pixel(to_x, width), to_y=pixel(to_y, height))


def _widgets(stored: Mapping[str, Any]) -> Iterator[tuple[Box, str, str]]:
    positions = _list(stored.get("ui_positions", []))
    texts, kinds = _list(stored.get("ui_text", [])), _list(stored.get("ui_types", []))
    for (top, left, height, width), text, kind in zip(positions, texts, kinds, strict=True):
        yield Box(left=left, top=top, right=left + width, bottom=top + height), text, kind


def _elements(stored: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for box, text, kind in _widgets(stored):
        role = "text" if kind == "TEXT" else "icon"
        name = text or kind.removeprefix("ICON_").replace("_", " ").lower()
        edges = [box.left, box.top, box.right, box.bottom]
        yield {"name": name, "role": role, "box": edges, "clickable": role == "icon"}


def _boxes_under(action: Action, stored: Mapping[str, Any]) -> tuple[Box, ...]:
    if not isinstance(action, Click):
        return ()
    boxes = [box for box, _, _ in _widgets(stored) if box.contains(action.x, action.y)]
    return tuple(sorted(boxes, key=lambda box: box.area_px))


def _list(value: Any) -> list[Any]:
    """AITZ writes lists as JSON within JSON."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise DataError(f"expected a list, not {found!r:.80}")
    return found
