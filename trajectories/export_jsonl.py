"""A store as JSON lines and pictures, in the form that `convert_jsonl` reads.

Every episode is read back before it is written: what comes out of a file is equal to what went into it,
in every field that the form carries (`carried`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from gui_agent.actions import action_to_dict
from gui_agent.device import ActionSource, ExpertAction
from gui_agent.errors import ConfigError, DataError
from gui_agent.observation import Box, Screenshot
from trajectories.damage import OnDamage
from trajectories.json_episode import (
    VERDICTS,
    episode_from_json,
    usual_expert,
    usual_progress,
    usual_stop,
)
from trajectories.json_fields import load_object
from trajectories.records import SCHEMA_VERSION, Step, StepTimings, Trajectory
from trajectories.rows import request_to_dict
from trajectories.screenshots import ScreenshotFolder
from trajectories.store import TrajectoryStore

FILE: Final = "episodes.jsonl"
PICTURES: Final = "screenshots"
_OUTCOMES: Final = {verdict: outcome for outcome, verdict in VERDICTS.items()}


@dataclass(slots=True, kw_only=True)
class ExportReport:
    """What became of a store.

    Attributes:
        file: what was written.
        num_episodes, num_steps, num_screenshots: in it; each picture counts once.
        problems: episodes and files of the store that were left out, and why.
    """

    file: Path
    num_episodes: int = 0
    num_steps: int = 0
    num_screenshots: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{self.num_episodes} episodes, {self.num_steps} steps, {self.num_screenshots} pictures"
        written = [f"{counts} in {self.file}"] if self.num_episodes else []
        return "\n".join([*written, *(f"left out: {problem}" for problem in self.problems)])


def export_jsonl(
    store: TrajectoryStore,
    folder: Path,
    *,
    on_damage: OnDamage = OnDamage.RAISE,
    on_episode: Callable[[], None] = lambda: None,
) -> ExportReport:
    """Write `episodes.jsonl` and the pictures beside it.

    The file gets its name when it is complete; without any episode there is none. Pictures that an earlier
    attempt has written are not written again.

    Args:
        store: what to write; opened with the same `on_damage`.
        folder: made if it is not there.
        on_damage: "skip" leaves out what is damaged and lists it, "raise" stops there.
        on_episode: called after each episode.

    Raises:
        ConfigError: there is such a file already.
        DataError: an episode is damaged (only with on_damage="raise").
    """
    file = folder / FILE
    if file.exists():
        raise ConfigError(f"{file} exists; move it away, or choose another output")
    folder.mkdir(parents=True, exist_ok=True)
    target = ScreenshotFolder(folder / PICTURES)
    report = ExportReport(file=file)
    shown: set[str] = set()
    unfinished = file.with_name(file.name + ".tmp")
    with unfinished.open("w", encoding="utf-8") as lines:
        for trajectory in store:
            try:
                line = _line(trajectory, store, target)
            except DataError as error:
                problem = f"{store.path}, episode {trajectory.episode_id!r}: {error}"
                if on_damage is OnDamage.RAISE:
                    raise type(error)(problem) from error
                report.problems.append(problem)
            else:
                lines.write(line + "\n")
                report.num_episodes += 1
                report.num_steps += len(trajectory.steps)
                shown.update(carried(trajectory).screenshot_sha256s)
            on_episode()
    report.problems += [damage.message for damage in store.damage]
    report.num_screenshots = len(shown)
    if report.num_episodes:
        unfinished.replace(file)
    else:
        unfinished.unlink()
    return report


def carried(trajectory: Trajectory) -> Trajectory:
    """The trajectory as it comes back: without what was sampled, measured and compared on the way."""
    steps = tuple(
        replace(step, match=None, format_ok=True, completions=(), candidates=(), timings=StepTimings())
        for step in trajectory.steps
    )
    return replace(trajectory, steps=steps, update=0, wall_s=0.0, schema_version=SCHEMA_VERSION)


def episode_to_json(trajectory: Trajectory, name_of: Callable[[str], str]) -> dict[str, Any]:
    """The object that stands for an episode; fields that say what is meant without them are left out.

    Args:
        trajectory: what to write; `carried` says what of it is written.
        name_of: from the SHA-256 of a picture to its name in the file.
    """
    outcome, suite, task = trajectory.outcome, trajectory.suite, trajectory.task_id
    final = trajectory.final_screenshot_sha256
    optional: dict[str, tuple[Any, Any]] = {
        "template": (trajectory.template, suite),
        "task": (task, trajectory.episode_id),
        "group": (trajectory.group_id, task),
        "seed": (trajectory.seed, 0),
        "policy": (trajectory.policy, "expert"),
        "device": (trajectory.device, ""),
        "progress": (outcome.progress, usual_progress(outcome.verdict)),
        "outcome_detail": (outcome.detail, ""),
        "stop": (trajectory.stop.value, usual_stop(trajectory.steps).value),
        "fault": (trajectory.fault, None),
        "final_screenshot": (None if final is None else name_of(final), None),
    }
    return {
        "id": trajectory.episode_id,
        "goal": trajectory.goal,
        "split": trajectory.split,
        "suite": suite,
        "outcome": _OUTCOMES[outcome.verdict].value,
        **_unusual(optional),
        "steps": [_step_to_json(step, name_of) for step in trajectory.steps],
        "source": trajectory.source,
    }


def _step_to_json(step: Step, name_of: Callable[[str], str]) -> dict[str, Any]:
    sha256, action = step.screenshot_sha256, step.executed
    # The size is that of the picture, where there is one; a file is read back and so is held to it.
    size = None if sha256 is not None else (step.width_px, step.height_px)
    optional: dict[str, tuple[Any, Any]] = {
        "screen": (None if size in (None, (None, None)) else size, None),
        "thought": (step.thought, None),
        "subgoal": (step.subgoal, None),
        "elements": (None if step.elements is None else list(step.elements), None),
        "app": (step.foreground_app, None),
        "by": (step.source.value, ActionSource.POLICY.value),
        "error": (step.error, None),
        "progress": (step.progress, None),
        "state_key_before": (step.state_key_before, None),
        "state_key_after": (step.state_key_after, None),
        "raw_action": (step.raw_action, None),
    }
    written = {
        "screenshot": None if sha256 is None else name_of(sha256),
        "action": None if action is None else action_to_dict(action),
        **_expert_to_json(step),
        **_unusual(optional),
    }
    if step.requested != action:
        written["requested"] = None if step.requested is None else request_to_dict(step.requested)
    return written


def _expert_to_json(step: Step) -> dict[str, Any]:
    """Boxes alone where the expert did what was done, for the same reason; else the whole deed."""
    expert = step.expected
    boxes = () if expert is None else expert.boxes
    if expert == usual_expert(step.executed, boxes, step.thought):
        return {"boxes": _edges(boxes)} if boxes else {}
    return {"expected": None if expert is None else _deed(expert)}


def _deed(expert: ExpertAction) -> dict[str, Any]:
    optional: dict[str, tuple[Any, Any]] = {
        "boxes": (_edges(expert.boxes), []),
        "thought": (expert.thought, None),
        "subgoal": (expert.subgoal, None),
    }
    return {"action": action_to_dict(expert.action), **_unusual(optional)}


def _edges(boxes: tuple[Box, ...]) -> list[list[int]]:
    return [[box.left, box.top, box.right, box.bottom] for box in boxes]


def _unusual(optional: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The values of those fields that are not what is meant without them."""
    return {name: value for name, (value, usual) in optional.items() if value != usual}


def _line(trajectory: Trajectory, store: TrajectoryStore, target: ScreenshotFolder) -> str:
    """An episode as text, its pictures written.

    Raises:
        DataError: a picture is missing or damaged, or the episode would not come back as it is.
    """
    kept = carried(trajectory)
    shots = {sha256: store.screenshot(sha256) for sha256 in kept.screenshot_sha256s}
    names: dict[str, str] = {}
    by_name: dict[str, Screenshot] = {}
    for sha256, screenshot in shots.items():
        screenshot.image()  # the header alone would not show that the rest is cut off
        names[sha256] = f"{PICTURES}/{target.file_for(screenshot).relative_to(target.path).as_posix()}"
        by_name[names[sha256]] = screenshot
    line = json.dumps(episode_to_json(trajectory, names.__getitem__), ensure_ascii=False)
    back = episode_from_json(load_object(line.encode()), by_name.__getitem__, source={}).trajectory
    if back != kept:
        raise DataError(f"it would come back otherwise: {_difference(back, kept)}")
    for screenshot in shots.values():
        target.add(screenshot)
    return line


def _difference(back: Any, kept: Any) -> str:
    """The first field in which two records differ, and both values."""
    for each in fields(kept):
        one, other = getattr(kept, each.name), getattr(back, each.name)
        if each.name == "steps":
            for mine, theirs in zip(one, other, strict=True):
                if mine != theirs:
                    return f"step {mine.index}, {_difference(theirs, mine)}"
        if one != other:
            return f"{each.name} is {one!r} in the store and would be {other!r}"
    return "it is of another type"
