"""Subgoals of recorded steps: taken from the data, or written by a template.

A subgoal is the instruction that a planner would give for one step. Some data sets come with one per
step (AndroidControl's `step_instruction`, AITZ's description of the action). Where there is none, the
expert's action and the name of what it hits are one: "tap Wi-Fi", "type hello", "press back", "finish".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from gui_agent.actions import action_points
from gui_agent.device import ActionSource
from gui_agent.instructions import instruction_for
from trajectories.records import Step, Trajectory

TEMPLATE: Final = "template@1"
"""Name and version of the templates, as provenance names them."""
_NAME_WORDS: Final = 5


class SubgoalSource(StrEnum):
    """Where the subgoals of recordings come from."""

    DATA = "data"
    """Recorded ones; steps without stay without."""
    TEMPLATE = "template"
    """Written by a template for every step, also where one was recorded."""
    DATA_ELSE_TEMPLATE = "data_else_template"
    """Recorded ones, and written by a template where there is none."""


def with_subgoals(trajectory: Trajectory, source: SubgoalSource) -> Trajectory:
    """The same recording with a subgoal at every step that can have one.

    Its provenance (`subgoal_source`) says how many are from where: "step_instruction 3, template@1 2".
    """
    counts: Counter[str] = Counter()
    steps = []
    for step in trajectory.steps:
        subgoal, origin = _subgoal(step, source)
        counts[origin] += 1
        steps.append(_set(step, subgoal))
    known = str(trajectory.source.get("subgoal_source", ""))
    counts[known if known.isidentifier() else "data"] += counts.pop("data", 0)
    words = ", ".join(f"{origin} {number}" for origin, number in sorted(counts.items()) if number)
    provenance: dict[str, Any] = {**trajectory.source, "subgoal_source": words}
    return replace(trajectory, steps=tuple(steps), source=provenance)


def template_subgoal(step: Step) -> str | None:
    """What was executed, in words; None if nothing was, or it points at something without a name.

    The name is that of the smallest labelled widget under the point, or of the one that fills a box of
    the expert's. Recordings without labels may have it as the expert's thought, if that is a few words.
    """
    action = step.executed
    if action is None:
        return None
    points = action_points(action)
    target = _target(step, points[0]) if points else None
    words = instruction_for(action, target)
    # A verb alone is an instruction only where the action has no target.
    named = not points or target is not None or instruction_for(action, "x") == words
    return words if named else None


def recorded_subgoal(step: Step) -> str | None:
    """The subgoal that was recorded for what was executed, None if there is none.

    What a planner asked for is no name for what an expert did instead.
    """
    expected = step.expected
    if expected is not None and expected.action == step.executed and expected.subgoal:
        return expected.subgoal
    return (step.subgoal or None) if step.source is ActionSource.POLICY else None


def _subgoal(step: Step, source: SubgoalSource) -> tuple[str | None, str]:
    """A subgoal and its origin: "data", the template's name, or "none"."""
    if source is not SubgoalSource.TEMPLATE and (recorded := recorded_subgoal(step)):
        return recorded, "data"
    if source is not SubgoalSource.DATA and (written := template_subgoal(step)):
        return written, TEMPLATE
    return None, "none"


def _set(step: Step, subgoal: str | None) -> Step:
    """The step with a subgoal for what was executed, beside the expert's deed and as the actor's own."""
    if step.expected is not None and step.expected.action == step.executed:
        step = replace(step, expected=replace(step.expected, subgoal=subgoal))
    return replace(step, subgoal=subgoal) if step.source is ActionSource.POLICY else step


def _target(step: Step, point: tuple[int, int]) -> str | None:
    """What a person calls the thing at a point."""
    x, y = point
    # Boxes and thought of an expert who did something else are about another thing.
    expected = step.expected
    same = expected is not None and expected.action == step.executed
    boxes = expected.boxes if expected is not None and same else ()
    edges = {(box.left, box.top, box.right, box.bottom) for box in boxes}
    named = [element for element in step.elements or () if str(element["name"]).strip()]
    hit = [element for element in named if _contains(element["box"], x, y)]
    found = hit or [element for element in named if tuple(element["box"]) in edges]
    if found:
        return str(min(found, key=_area)["name"])
    thought = (expected.thought if expected is not None and same else step.thought) or ""
    is_name = 0 < len(thought.split()) <= _NAME_WORDS and len(thought.splitlines()) == 1
    return thought if is_name else None


def _contains(box: list[int], x: int, y: int) -> bool:
    left, top, right, bottom = box
    return left <= x < right and top <= y < bottom


def _area(element: dict[str, Any]) -> int:
    left, top, right, bottom = element["box"]
    return int((right - left) * (bottom - top))
