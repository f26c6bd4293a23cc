"""One episode out of a JSON object: the fields of the neutral form, and what is meant where one is absent.

`docs/data.md` describes the fields with an example. Actions are those of the store (`action_from_dict`);
all coordinates of an episode are in the unit that its field `points` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gui_agent.actions import Action, Finish, ParseError
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError
from gui_agent.observation import Box, Screenshot
from trajectories.convert import ScreenSize
from trajectories.json_fields import Fields, shown, wrong
from trajectories.json_points import PointReader, Points
from trajectories.records import EpisodeRecord, Step, Trajectory

SUITE: Final = "recordings"
"""The suite of an episode that names none."""
Pictures = Callable[[str], Screenshot]
"""Reads the picture of a name; `DataError` if it is missing or broken."""

EPISODE_FIELDS: Final = (
    "id", "goal", "steps", "points", "split", "suite", "template", "task", "group", "seed", "policy",
    "device", "outcome", "outcome_detail", "progress", "stop", "fault", "source", "final_screenshot",
)  # fmt: skip
STEP_FIELDS: Final = (
    "screenshot", "screen", "action", "boxes", "thought", "subgoal", "elements", "app", "by", "requested",
    "expected", "error", "progress", "state_key_before", "state_key_after", "raw_action",
)  # fmt: skip


class StatedOutcome(StrEnum):
    """What an episode says of its end."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"
    """Nobody has judged it; trainings leave it out."""


VERDICTS: Final[Mapping[StatedOutcome, Verdict]] = {
    StatedOutcome.SUCCESS: Verdict.SUCCESS,
    StatedOutcome.FAILURE: Verdict.FAILURE,
    StatedOutcome.UNKNOWN: Verdict.UNSCORED,
}


def episode_from_json(
    data: dict[str, Any], pictures: Pictures, *, source: dict[str, Any], split: str | None = None
) -> EpisodeRecord:
    """The episode that a line describes.

    Args:
        data: the object.
        pictures: reads a picture by the name that the line gives it.
        source: provenance where the line states none.
        split: label in the place of the line's own.

    Raises:
        DataError: a field is wrong; the message names it, its value, and what was expected.
    """
    fields = Fields(data)
    shots: dict[str, Screenshot] = {}

    def shot(place: str, name: str | None) -> Screenshot | None:
        if name is None:
            return None
        try:
            screenshot = pictures(name)
        except DataError as error:
            raise DataError(f"{place} is {shown(name)}; {error}") from error
        return shots.setdefault(screenshot.sha256, screenshot)

    points = fields.choice("points", Points, Points.PIXELS)
    given = fields.items("steps")
    if not given and fields.any("fault") is None:
        raise wrong(
            "steps", fields.any("steps"), "one step or more, or a `fault` that says why there are none"
        )
    steps = tuple(
        _Step(Fields.of(step, f"steps[{at}]"), at, points, shot).read() for at, step in enumerate(given)
    )
    name = fields.text("id")
    if not name:
        raise wrong("id", name, "a text that is not empty")
    suite = fields.text("suite", SUITE)
    task = fields.text("task", name)
    outcome = fields.choice("outcome", StatedOutcome, StatedOutcome.UNKNOWN)
    final = shot("final_screenshot", fields.optional_text("final_screenshot"))
    stated = fields.any("source", source)
    if not isinstance(stated, dict):
        raise wrong("source", stated, "an object")
    own_split = fields.text("split", "train")
    trajectory = Trajectory(
        episode_id=name,
        task_id=task,
        template=fields.text("template", suite),
        suite=suite,
        goal=fields.text("goal"),
        steps=steps,
        stop=fields.choice("stop", StopReason, usual_stop(steps)),
        outcome=Outcome(
            verdict=VERDICTS[outcome],
            progress=fields.share("progress", usual_progress(VERDICTS[outcome])),
            detail=fields.text("outcome_detail", ""),
        ),
        group_id=fields.text("group", task),
        seed=fields.whole("seed", 0),
        policy=fields.text("policy", "expert"),
        split=own_split if split is None else split,
        device=fields.text("device", ""),
        source=stated,
        fault=fields.optional_text("fault"),
        final_screenshot_sha256=None if final is None else final.sha256,
    )
    fields.refuse_others(EPISODE_FIELDS)
    return EpisodeRecord(trajectory=trajectory, screenshots=shots)


def usual_stop(steps: Sequence[Step]) -> StopReason:
    """Why a recording ends that does not say so itself."""
    finished = bool(steps) and isinstance(steps[-1].executed, Finish)
    return StopReason.FINISHED if finished else StopReason.EXPERT_END


def usual_progress(verdict: Verdict) -> float | None:
    """How much of the task is done where nobody says so."""
    return 1.0 if verdict is Verdict.SUCCESS else None


def usual_expert(action: Action | None, boxes: tuple[Box, ...], thought: str | None) -> ExpertAction | None:
    """The expert's deed where a step does not say that it was another than the one that was done."""
    return None if action is None else ExpertAction(action=action, boxes=boxes, thought=thought)


@dataclass(frozen=True, slots=True)
class _Step:
    """One step on its way out of a line."""

    fields: Fields
    index: int
    points: Points
    shot: Callable[[str, str | None], Screenshot | None]

    def read(self) -> Step:
        fields = self.fields
        if not fields.has("screenshot"):
            raise DataError(
                f"{fields.at('screenshot')} is not there; expected the path of a picture, or null where none "
                "was taken (such a step cannot be replayed)"
            )
        screenshot = self.shot(fields.at("screenshot"), fields.optional_text("screenshot"))
        screen = self._screen(screenshot)
        pixels = PointReader(unit=self.points, screen=screen)
        executed = pixels.action(fields.any("action"), fields.at("action")) if self._acts() else None
        thought = fields.optional_text("thought")
        step = Step(
            index=self.index,
            screenshot_sha256=None if screenshot is None else screenshot.sha256,
            width_px=None if screen is None else screen.width_px,
            height_px=None if screen is None else screen.height_px,
            requested=self._requested(executed, pixels),
            executed=executed,
            source=fields.choice("by", ActionSource, ActionSource.POLICY),
            error=fields.optional_text("error"),
            expected=self._expected(executed, thought, pixels),
            thought=thought,
            subgoal=fields.optional_text("subgoal"),
            progress=fields.share("progress", None),
            state_key_before=fields.optional_text("state_key_before"),
            state_key_after=fields.optional_text("state_key_after"),
            foreground_app=fields.optional_text("app"),
            elements=self._elements(pixels),
            raw_action=fields.optional_text("raw_action"),
        )
        fields.refuse_others(STEP_FIELDS)
        return step

    def _screen(self, screenshot: Screenshot | None) -> ScreenSize | None:
        stated, place = self.fields.any("screen"), self.fields.at("screen")
        found = None
        if screenshot is not None:
            found = ScreenSize(width_px=screenshot.width_px, height_px=screenshot.height_px)
        if stated is not None:
            sides = stated if isinstance(stated, list) and len(stated) == 2 else [None]
            if not all(type(side) is int and 0 < side < 2**31 for side in sides):
                raise wrong(place, stated, "[width, height] in pixels")
            screen = ScreenSize(width_px=stated[0], height_px=stated[1])
            if found not in (None, screen):
                raise wrong(place, stated, f"{[found.width_px, found.height_px]}, the size of the picture")
            return screen
        if found is None and self.points is not Points.PIXELS:
            raise DataError(f"{place} is not there; expected [width, height], because there is no picture")
        return found

    def _acts(self) -> bool:
        """Whether anything was done; if not, the step must say why."""
        if self.fields.any("action") is not None:
            return True
        if self.fields.any("error") is None:
            state = "null" if self.fields.has("action") else "not there"
            raise DataError(
                f"{self.fields.at('action')} is {state}; expected an action, or an `error` beside it that "
                "says why none was executed"
            )
        return False

    def _requested(self, executed: Action | None, pixels: PointReader) -> Action | ParseError | None:
        if not self.fields.has("requested"):
            return executed
        value, place = self.fields.any("requested"), self.fields.at("requested")
        if value is None:
            return None
        request = Fields.of(value, place)
        if request.any("type") == "parse_error":
            error = ParseError(reason=request.text("reason"), text=request.text("text"))
            request.refuse_others()
            return error
        # What an agent asked for may lie outside the screen: that is its mistake, and kept.
        return pixels.action(value, place, anywhere=True)

    def _expected(
        self, executed: Action | None, thought: str | None, pixels: PointReader
    ) -> ExpertAction | None:
        boxes = pixels.boxes(self.fields)
        if not self.fields.has("expected"):
            if boxes and executed is None:
                raise DataError(
                    f"{self.fields.at('boxes')} are the targets of an action; expected one beside it"
                )
            return usual_expert(executed, boxes, thought)
        if boxes:
            raise DataError(
                f"{self.fields.at('boxes')} stand beside `expected`; expected them within it, because they "
                "are targets of the expert's action"
            )
        value, place = self.fields.any("expected"), self.fields.at("expected")
        if value is None:
            return None
        expert = Fields.of(value, place)
        found = ExpertAction(
            action=pixels.action(expert.any("action"), expert.at("action")),
            boxes=pixels.boxes(expert),
            thought=expert.optional_text("thought"),
            subgoal=expert.optional_text("subgoal"),
        )
        expert.refuse_others()
        return found

    def _elements(self, pixels: PointReader) -> tuple[dict[str, Any], ...] | None:
        if self.fields.any("elements") is None:
            return None
        return tuple(
            self._element(Fields.of(element, f"{self.fields.at('elements')}[{at}]"), pixels)
            for at, element in enumerate(self.fields.items("elements"))
        )

    def _element(self, element: Fields, pixels: PointReader) -> dict[str, Any]:
        name, role = element.text("name"), element.text("role")
        box = pixels.box(element.any("box"), element.at("box"))
        if not isinstance(element.any("clickable", True), bool):
            raise wrong(element.at("clickable"), element.any("clickable"), "true or false")
        edges = [box.left, box.top, box.right, box.bottom]
        return {**element.data, "name": name, "role": role, "box": edges}
