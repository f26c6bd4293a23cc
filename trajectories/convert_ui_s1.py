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

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Final

from gui_agent.actions import ACTION_TYPES, Action, Direction, Finish, Swipe, action_points
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.formats.json_actions import ArgumentProblem, action_from_arguments
from gui_agent.observation import Box, Screenshot
from trajectories.convert import ImageFolder, ScreenSize, convert_to_store
from trajectories.convert_rows import (
    ConversionReport,
    Draft,
    KnownEpisode,
    NumberedLine,
    SourceRow,
    known_episodes,
    numbered_lines,
    read_rows,
)
from trajectories.damage import OnDamage
from trajectories.json_fields import Fields, is_number, load_object, shown, wrong
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

CONVERTER: Final = "convert_ui_s1@1"
LICENCE: Final = "Apache-2.0"
_ALL_ACTIONS: Final = frozenset(ACTION_TYPES)
_ENDLESS: Final = 2**30
"""Sides of a screen whose size nobody states: stored points are its pixels, whatever it is."""


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


_SPLITS: Final[Mapping[Dialect, str]] = {Dialect.TRAINING: "train", Dialect.EVALUATION: "eval"}
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
        on_damage: "skip" leaves a bad row out and reports it, "raise" stops there.
    """

    dialect: Dialect | None = None
    images: Path | None = None
    screen: ScreenSize | None = None
    swipes: SwipesAsStored | None = None
    split: str | None = None
    suite: str = "android_control"
    on_damage: OnDamage = OnDamage.SKIP


def convert_ui_s1_file(
    source: str | Path,
    target: str | Path,
    options: UiS1Options,
    *,
    on_row: Callable[[], None] = lambda: None,
) -> ConversionReport:
    """Convert a file of JSON lines and append it to the store at `target`, made if it is not there.

    Raises:
        DataError: the file cannot be read; a row is bad (only with on_damage="raise").
    """
    report = ConversionReport()
    provenance = {"dataset": "UI-S1 AndroidControl", "licence": LICENCE, "converter": CONVERTER}
    store = TrajectoryStore.open_or_create(target, source=provenance)
    convert_to_store(read_ui_s1(source, options, report, known=known_episodes(store), on_row=on_row), store)
    return report


def read_ui_s1(
    source: str | Path,
    options: UiS1Options,
    report: ConversionReport | None = None,
    *,
    known: Mapping[str, KnownEpisode] | None = None,
    on_row: Callable[[], None] = lambda: None,
) -> Iterator[EpisodeRecord]:
    """Convert row by row.

    Args:
        source: a file of JSON lines.
        options: how.
        report: what became of every row is counted into it.
        known: episodes that the store has; their rows are counted and left out.
        on_row: called after each line.

    Raises:
        DataError: as `convert_ui_s1_file`.
    """
    source = Path(source)
    report = ConversionReport() if report is None else report
    images = None if options.images is None else ImageFolder(options.images)
    taken: set[str] = set()

    def rows() -> Iterator[SourceRow]:
        for line in numbered_lines(source):
            row = _Row(source.name, line, options, images, report, taken)
            yield SourceRow(file=str(source), line=line.number, draft=row.draft)

    return read_rows(rows(), report, on_damage=options.on_damage, known=known or {}, on_row=on_row)


@dataclass(slots=True)
class _Row:
    """One line on its way to a trajectory."""

    file: str
    line: NumberedLine
    options: UiS1Options
    images: ImageFolder | None
    report: ConversionReport
    taken: set[str]
    screenshots: dict[str, Screenshot] = field(default_factory=dict)
    num_missing: int = 0
    num_reversed: int = 0

    def draft(self) -> Draft:
        fields = Fields(load_object(self.line.text))
        goal, given = fields.text("goal"), fields.items("steps")
        if not given:
            raise wrong("steps", fields.any("steps"), "one step or more")
        steps = [Fields.of(step, f"steps[{at}]") for at, step in enumerate(given)]
        name = self._name(fields, steps)
        episode_id = name if name not in self.taken else f"{name}-line{self.line.number}"
        self.taken.add(episode_id)

        def record() -> EpisodeRecord:
            return self._record(fields, steps, goal, name=name, episode_id=episode_id)

        return Draft(
            episode_id=episode_id,
            goal=goal,
            num_steps=len(steps),
            sha256=self.line.sha256,
            record=record,
        )

    def _record(
        self, fields: Fields, given: Sequence[Fields], goal: str, *, name: str, episode_id: str
    ) -> EpisodeRecord:
        dialect = self.options.dialect or _dialect(given)
        steps = tuple(self._step(index, step, dialect) for index, step in enumerate(given))
        finished = isinstance(steps[-1].executed, Finish)
        trajectory = Trajectory(
            episode_id=episode_id,
            task_id=name,
            template=self.options.suite,
            suite=self.options.suite,
            goal=goal,
            steps=steps,
            stop=StopReason.FINISHED if finished else StopReason.EXPERT_END,
            outcome=_outcome(fields.any("is_successful")),
            group_id=name,
            policy="expert",
            split=self.options.split or _SPLITS[dialect],
            device="android_recording",
            source={
                "dataset": "UI-S1 AndroidControl",
                "licence": LICENCE,
                "converter": CONVERTER,
                "dialect": dialect.value,
                "file": self.file,
                "line": self.line.number,
                "row_sha256": self.line.sha256,
                "screenshots": [step.any("screenshot") for step in given],
                **({"subgoal_source": "step_instruction"} if any(step.subgoal for step in steps) else {}),
            },
        )
        self.report.num_missing_screenshots += self.num_missing
        self.report.num_reversed_swipes += self.num_reversed
        return EpisodeRecord(trajectory=trajectory, screenshots=self.screenshots)

    def _step(self, index: int, fields: Fields, dialect: Dialect) -> Step:
        content = Fields.of(fields.any("action_content"), fields.at("action_content"))
        screenshot = self._screenshot(fields)
        screen = self._screen(screenshot, fields.place)
        action = self._finger(_action(content, screen), dialect)
        thought = fields.optional_text("thought") or fields.optional_text("motivation") or None
        boxes = _boxes(fields, content)
        return Step(
            index=index,
            screenshot_sha256=None if screenshot is None else screenshot.sha256,
            width_px=None if screen is None else screen.width_px,
            height_px=None if screen is None else screen.height_px,
            requested=action,
            executed=action,
            expected=ExpertAction(action=action, boxes=boxes, thought=thought),
            thought=thought,
            subgoal=fields.optional_text("step_instruction"),
            raw_action=json.dumps(content.data, ensure_ascii=False),
        )

    def _finger(self, action: Action, dialect: Dialect) -> Action:
        if not isinstance(action, Swipe):
            return action
        swipe = (self.options.swipes or SWIPES_AS_STORED[dialect]).finger(action)
        self.num_reversed += swipe != action
        return swipe

    def _screenshot(self, fields: Fields) -> Screenshot | None:
        name = fields.optional_text("screenshot")
        if self.images is None or name is None:
            return None
        screenshot = self.images.read(name)
        if screenshot is None:
            self.num_missing += 1
            return None
        self.screenshots[screenshot.sha256] = screenshot
        return screenshot

    def _screen(self, screenshot: Screenshot | None, place: str) -> ScreenSize | None:
        stated = self.options.screen
        if screenshot is None:
            return stated
        found = ScreenSize(width_px=screenshot.width_px, height_px=screenshot.height_px)
        if stated is not None and stated != found:
            raise DataError(
                f"{place}: the picture has {found.width_px}x{found.height_px} pixels, but "
                f"{stated.width_px}x{stated.height_px} were stated (--screen); give pictures of the original "
                "size, because actions are in its pixels"
            )
        return found

    def _name(self, fields: Fields, steps: Sequence[Fields]) -> str:
        """The episode's number in AndroidControl, from the row or from the names of its pictures."""
        number = fields.any("episode_id")
        if number is None:
            stems = {PurePosixPath(step.optional_text("screenshot") or "").stem for step in steps}
            prefixes = {re.sub(r"_\d+$", "", stem) for stem in stems if stem}
            number = prefixes.pop() if len(prefixes) == 1 else f"line{self.line.number}"
        elif isinstance(number, bool) or not isinstance(number, int | str):
            raise wrong("episode_id", number, "a number or text")
        return f"{self.options.suite}-{number}"


def _dialect(steps: Sequence[Fields]) -> Dialect:
    evaluated = any(step.has("check_options") for step in steps)
    return Dialect.EVALUATION if evaluated else Dialect.TRAINING


def _outcome(successful: Any) -> Outcome:
    match successful:
        case True:
            return Outcome(verdict=Verdict.SUCCESS, progress=1.0, detail="as the data set states")
        case False:
            return Outcome(verdict=Verdict.FAILURE, detail="as the data set states")
        case _:
            return Outcome(verdict=Verdict.UNSCORED, detail="the data set does not say")


def _action(content: Fields, screen: ScreenSize | None) -> Action:
    """The action, on the screen; a point on its far edge is the last pixel."""
    width, height = (_ENDLESS, _ENDLESS) if screen is None else (screen.width_px, screen.height_px)
    pixels = ScreenGeometry(
        width_px=width, height_px=height, resized_width_px=width, resized_height_px=height
    )
    action = action_from_arguments(content.data, CoordinateSpace.RESIZED_PIXELS, pixels, _ALL_ACTIONS)
    if isinstance(action, ArgumentProblem):
        raise DataError(f"{content.place} is {shown(content.data)}; {action.reason}")
    for x, y in () if screen is None else action_points(action):
        if not (0 <= x < width and 0 <= y < height):
            raise wrong(content.place, content.data, f"points within the screen of {width}x{height} pixels")
    return action


def _boxes(fields: Fields, content: Fields) -> tuple[Box, ...]:
    """Target boxes of either dialect, smallest first."""
    holders = [content, fields]
    if isinstance(fields.any("check_options"), dict):
        holders.append(Fields.of(fields.any("check_options"), fields.at("check_options")))
    found: list[Box] = []
    for holder in holders:
        for key in ("bbox", "candidate_bbox"):
            value, place = holder.any(key) or [], holder.at(key)
            if not isinstance(value, list):
                raise wrong(place, value, "a list")
            # Four numbers are one box; a list of four boxes is not (it was taken for one in the release).
            flat = len(value) == 4 and not any(isinstance(part, list) for part in value)
            found += [_box(edges, place) for edges in ([value] if flat else value)]
    return tuple(sorted(dict.fromkeys(found), key=lambda box: box.area_px))


def _box(edges: Any, place: str) -> Box:
    numbers = isinstance(edges, list) and all(is_number(edge) and abs(edge) < 1e6 for edge in edges)
    if not numbers or len(edges) != 4:
        raise wrong(place, edges, "[left, top, right, bottom] in pixels, or a list of these")
    left, top, right, bottom = (round(edge) for edge in edges)
    return Box(left=left, top=top, right=right, bottom=bottom)
