"""UI-S1's AndroidControl JSON lines as trajectories.

One line is one trajectory: `goal`, `is_successful`, `steps` of `action_content` and `screenshot`. The
data come in two dialects:

* training: the target is `action_content.bbox`, a flat [left, top, right, bottom];
* evaluation: `check_options.candidate_bbox` is a list of boxes, and each step has a
  `step_instruction` (kept as `Step.subgoal`: it is what a planner would say). Episodes end without
  `terminate`.

Swipes need care. AndroidControl records the *scroll direction*: scrolling down shows what is further
down, for which a finger moves up. The training file draws that direction as a path (scroll down is
600 to 1800, a finger moving down), on both axes; the evaluation file draws vertical paths as a finger
moves (direction "down" is 1800 to 600) and horizontal ones as the scroll direction. Here every swipe
becomes the path of the finger that does what was recorded, so paths drawn the other way are turned
round (`SWIPES_AS_STORED`), and no matcher ever needs to flip anything. The training file's horizontal
rule follows from its vertical one; the sample that was checked holds vertical swipes only.
`raw_action` keeps the stored words.

Source: X-PLUG/MobileAgent, UI-S1 (Apache-2.0); AndroidControl, arXiv:2406.03679.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Final

from gui_agent.actions import ACTION_TYPES, Action, Direction, Finish, Swipe
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.formats.json_actions import ArgumentProblem, action_from_arguments
from gui_agent.observation import Box, Screenshot
from trajectories.convert import (
    ConversionReport,
    ImageFolder,
    RowProblem,
    ScreenSize,
    convert_to_store,
    count_episode,
    numbered_lines,
)
from trajectories.damage import OnDamage
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

CONVERTER: Final = "convert_ui_s1@1"
LICENCE: Final = "Apache-2.0"
_ALL_ACTIONS: Final = frozenset(ACTION_TYPES)
_PIXELS: Final = ScreenGeometry(width_px=1, height_px=1, resized_width_px=1, resized_height_px=1)
"""Stored points are pixels of the screen already, whatever its size."""


class Dialect(StrEnum):
    """Which of the two files a row comes from."""

    TRAINING = "training"
    EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwipesAsStored:
    """On which axes a stored path shows the scroll direction, and so runs against the finger."""

    vertical_is_scroll: bool
    horizontal_is_scroll: bool

    def finger(self, swipe: Swipe) -> Swipe:
        """The path of the finger."""
        vertical = swipe.finger_direction in (Direction.UP, Direction.DOWN)
        if not (self.vertical_is_scroll if vertical else self.horizontal_is_scroll):
            return swipe
        return Swipe(x=swipe.to_x, y=swipe.to_y, to_x=swipe.x, to_y=swipe.y)


SWIPES_AS_STORED: Final[Mapping[Dialect, SwipesAsStored]] = {
    Dialect.TRAINING: SwipesAsStored(vertical_is_scroll=True, horizontal_is_scroll=True),
    Dialect.EVALUATION: SwipesAsStored(vertical_is_scroll=False, horizontal_is_scroll=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1Options:
    """How to convert.

    Attributes:
        dialect: of all rows; recognised row by row if None.
        images: folder with the screenshots, searched by name; without it steps have no picture.
        screen: size of the screen where there is no picture to tell; actions are in its pixels.
        swipes: overrides the rule of the dialect.
        split: label of the trajectories; "train" or "eval" by dialect if None.
        suite: label of the trajectories, and the first part of their names.
        on_problem: "skip" leaves a bad row out and reports it, "raise" stops there.
    """

    dialect: Dialect | None = None
    images: Path | None = None
    screen: ScreenSize | None = None
    swipes: SwipesAsStored | None = None
    split: str | None = None
    suite: str = "android_control"
    on_problem: OnDamage = OnDamage.SKIP


def convert_ui_s1_file(source: str | Path, target: str | Path, options: UiS1Options) -> ConversionReport:
    """Convert a file of JSON lines and append it to the store at `target`, made if it is not there.

    Raises:
        DataError: the file cannot be read; a row is bad (only with on_problem="raise").
    """
    report = ConversionReport()
    provenance = {"dataset": "UI-S1 AndroidControl", "licence": LICENCE, "converter": CONVERTER}
    store = TrajectoryStore.open_or_create(target, source=provenance)
    convert_to_store(read_ui_s1(source, options, report), store)
    return report


def read_ui_s1(
    source: str | Path, options: UiS1Options, report: ConversionReport | None = None
) -> Iterator[EpisodeRecord]:
    """Convert row by row.

    Args:
        source: a file of JSON lines.
        options: how.
        report: what became of every row is counted into it.

    Raises:
        DataError: as `convert_ui_s1_file`.
    """
    source = Path(source)
    report = ConversionReport() if report is None else report
    images = None if options.images is None else ImageFolder(options.images)
    names: set[str] = set()
    for line, text in numbered_lines(source):
        report.num_rows += 1
        try:
            row = _Row(source.name, line, text, options, images, report)
            record = row.record(names)
        except DataError as error:
            problem = RowProblem(file=str(source), line=line, reason=str(error))
            if options.on_problem is OnDamage.RAISE:
                raise DataError(str(problem)) from error
            report.problems.append(problem)
            continue
        names.add(record.trajectory.episode_id)
        yield count_episode(report, record)


@dataclass(slots=True)
class _Row:
    """One line on its way to a trajectory."""

    file: str
    line: int
    text: str
    options: UiS1Options
    images: ImageFolder | None
    report: ConversionReport
    screenshots: dict[str, Screenshot] = field(default_factory=dict)
    num_missing: int = 0
    num_reversed: int = 0

    def record(self, taken: set[str]) -> EpisodeRecord:
        data = _load(self.text)
        stored_steps = _get(data, "steps", list, "the row")
        if not stored_steps:
            raise DataError("the row has no steps; remove it")
        dialect = self.options.dialect or _dialect(stored_steps)
        steps = tuple(self._step(index, stored, dialect) for index, stored in enumerate(stored_steps))
        name = self._name(data, stored_steps)
        episode_id = name if name not in taken else f"{name}-line{self.line}"
        finished = isinstance(steps[-1].executed, Finish)
        trajectory = Trajectory(
            episode_id=episode_id,
            task_id=name,
            template=self.options.suite,
            suite=self.options.suite,
            goal=_get(data, "goal", str, "the row"),
            steps=steps,
            stop=StopReason.FINISHED if finished else StopReason.EXPERT_END,
            outcome=_outcome(data.get("is_successful")),
            group_id=name,
            policy="expert",
            split=self.options.split or ("train" if dialect is Dialect.TRAINING else "eval"),
            device="android_recording",
            source={
                "dataset": "UI-S1 AndroidControl",
                "dialect": dialect.value,
                "licence": LICENCE,
                "converter": CONVERTER,
                "file": self.file,
                "line": self.line,
                "row_sha256": hashlib.sha256(self.text.strip().encode()).hexdigest(),
                "screenshots": [stored.get("screenshot") for stored in stored_steps],
                **({"subgoal_source": "step_instruction"} if any(step.subgoal for step in steps) else {}),
            },
        )
        self.report.num_missing_screenshots += self.num_missing
        self.report.num_reversed_swipes += self.num_reversed
        return EpisodeRecord(trajectory=trajectory, screenshots=self.screenshots)

    def _step(self, index: int, stored: Any, dialect: Dialect) -> Step:
        where = f"step {index}"
        if not isinstance(stored, dict):
            raise DataError(f"{where} is no JSON object; remove the row")
        content = _get(stored, "action_content", dict, where)
        action = action_from_arguments(content, CoordinateSpace.RESIZED_PIXELS, _PIXELS, _ALL_ACTIONS)
        if isinstance(action, ArgumentProblem):
            raise DataError(f"{where}: action_content {json.dumps(content)[:120]}: {action.reason}")
        action = self._finger(action, dialect)
        boxes = _boxes(stored, where)
        screenshot = self._screenshot(stored)
        screen = self._screen(screenshot, where)
        thought = stored.get("thought") or stored.get("motivation") or None
        return Step(
            index=index,
            screenshot_sha256=None if screenshot is None else screenshot.sha256,
            width_px=None if screen is None else screen.width_px,
            height_px=None if screen is None else screen.height_px,
            requested=action,
            executed=action,
            expected=ExpertAction(action=action, boxes=boxes, thought=thought),
            thought=thought,
            subgoal=stored.get("step_instruction"),
            raw_action=json.dumps(content, ensure_ascii=False),
        )

    def _finger(self, action: Action, dialect: Dialect) -> Action:
        if not isinstance(action, Swipe):
            return action
        swipe = (self.options.swipes or SWIPES_AS_STORED[dialect]).finger(action)
        self.num_reversed += swipe != action
        return swipe

    def _screenshot(self, stored: Mapping[str, Any]) -> Screenshot | None:
        name = stored.get("screenshot")
        if self.images is None or not isinstance(name, str):
            return None
        screenshot = self.images.read(name)
        if screenshot is None:
            self.num_missing += 1
            return None
        self.screenshots[screenshot.sha256] = screenshot
        return screenshot

    def _screen(self, screenshot: Screenshot | None, where: str) -> ScreenSize | None:
        stated = self.options.screen
        if screenshot is None:
            return stated
        found = ScreenSize(width_px=screenshot.width_px, height_px=screenshot.height_px)
        if stated is not None and stated != found:
            raise DataError(
                f"{where}: the picture has {found.width_px}x{found.height_px} pixels, but "
                f"{stated.width_px}x{stated.height_px} were stated (--screen); give pictures of the original "
                "size, because actions are in its pixels"
            )
        return found

    def _name(self, data: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> str:
        """The episode's number in AndroidControl, from the row or from the names of its pictures."""
        number = data.get("episode_id")
        if number is None:
            stems = {PurePosixPath(str(step.get("screenshot", ""))).stem for step in steps}
            prefixes = {re.sub(r"_\d+$", "", stem) for stem in stems if stem}
            number = prefixes.pop() if len(prefixes) == 1 else f"line{self.line}"
        return f"{self.options.suite}-{number}"


def _load(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"not JSON ({error}); the file may have been cut off here: fetch it again, or remove the line"
        ) from error
    if not isinstance(data, dict):
        raise DataError(f"a JSON {type(data).__name__} instead of an object; remove the line")
    return data


def _get(data: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = data.get(key)
    if not isinstance(value, kind):
        expected = {"str": "text", "list": "a list", "dict": "an object"}[kind.__name__]
        raise DataError(f"{where}: {key!r} must be {expected}, not {value!r:.80}; correct or remove the row")
    return value


def _dialect(steps: Sequence[Any]) -> Dialect:
    evaluated = any(isinstance(step, dict) and "check_options" in step for step in steps)
    return Dialect.EVALUATION if evaluated else Dialect.TRAINING


def _outcome(successful: Any) -> Outcome:
    match successful:
        case True:
            return Outcome(verdict=Verdict.SUCCESS, progress=1.0, detail="as the data set states")
        case False:
            return Outcome(verdict=Verdict.FAILURE, detail="as the data set states")
        case _:
            return Outcome(verdict=Verdict.UNSCORED, detail="the data set does not say")


def _boxes(stored: Mapping[str, Any], where: str) -> tuple[Box, ...]:
    """Target boxes of either dialect, smallest first."""
    checks = stored.get("check_options")
    candidates: list[Any] = []
    for holder in (stored["action_content"], stored, checks if isinstance(checks, dict) else {}):
        for key in ("bbox", "candidate_bbox"):
            value = holder.get(key)
            if value is None:
                continue
            if not isinstance(value, list):
                raise DataError(
                    f"{where}: {key} must be a list, not {value!r:.80}; correct or remove the row"
                )
            # Four numbers are one box; a list of four boxes is not (it was taken for one in the release).
            flat = len(value) == 4 and not any(isinstance(part, list) for part in value)
            candidates += [value] if flat else value
    boxes = dict.fromkeys(_box(candidate, where) for candidate in candidates)
    return tuple(sorted(boxes, key=lambda box: box.area_px))


def _box(edges: Any, where: str) -> Box:
    numbers = isinstance(edges, list) and all(
        isinstance(edge, int | float) and not isinstance(edge, bool) and abs(edge) < 1e6 for edge in edges
    )
    if not numbers or len(edges) != 4:
        raise DataError(
            f"{where}: a box must be [left, top, right, bottom], not {edges!r:.80}; correct or remove the row"
        )
    left, top, right, bottom = (round(edge) for edge in edges)
    return Box(left=left, top=top, right=right, bottom=bottom)
