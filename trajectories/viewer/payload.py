"""What a page shows of an episode, as JSON-ready values.

The page draws itself from these values with text nodes only, so that nothing in a goal, a thought or
the text of a screen is ever read as markup.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from gui_agent.actions import (
    Action,
    Answer,
    Click,
    DoubleClick,
    Drag,
    Finish,
    LongPress,
    OpenApp,
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_name,
    action_points,
)
from gui_agent.agent import RoleCompletion
from gui_agent.device import ExpertAction
from gui_agent.errors import DataError
from gui_agent.observation import Screenshot
from trajectories.records import EpisodeRecord, Step, Trajectory

_SMALL_BYTES: Final = 40_000
"""Pictures up to this size are shown as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnnotation:
    """What training made of one step.

    Attributes:
        reward: of the step.
        parts: what the reward is made of, by name.
        return_: discounted sum of rewards from this step on, if there is one.
        advantages: by name, for instance "step", "episode" and "total".
    """

    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    return_: float | None = None
    advantages: Mapping[str, float] = field(default_factory=dict)


Annotations = Mapping[str, Sequence[StepAnnotation]]
"""One annotation per step, by episode id."""


def page_data(
    records: Iterable[EpisodeRecord], annotations: Annotations | None, *, max_side_px: int
) -> dict[str, Any]:
    """Everything that the page's script needs.

    Args:
        records: what to show; pictures that are missing are said to be.
        annotations: by episode id.
        max_side_px: larger pictures are scaled down to this.
    """
    images: dict[str, str] = {}
    episodes = []
    for record in records:
        notes = (annotations or {}).get(record.trajectory.episode_id, ())
        episodes.append(episode_data(record.trajectory, notes))
        for sha256 in record.trajectory.screenshot_sha256s:
            if sha256 not in images:
                images[sha256] = _picture(record, sha256, max_side_px)
    return {"episodes": episodes, "images": images}


def _picture(record: EpisodeRecord, sha256: str, max_side_px: int) -> str:
    """Address of a picture; empty if it is missing or damaged, which the page then says."""
    try:
        screenshot = record.screenshots.get(sha256)
        return "" if screenshot is None else data_uri(screenshot, max_side_px=max_side_px)
    except DataError:
        return ""


def data_uri(screenshot: Screenshot, *, max_side_px: int) -> str:
    """A picture for a page; large ones are scaled down and compressed, the stored one is untouched.

    Raises:
        ImageDecodeError: the picture is damaged.
    """
    data, media_type = screenshot.data, screenshot.media_type
    image = screenshot.image()
    if len(data) > _SMALL_BYTES or max(image.size) > max_side_px:
        image.thumbnail((max_side_px, max_side_px))
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=82)
        data, media_type = buffer.getvalue(), "image/webp"
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def action_label(action: Action) -> str:
    """An action in few words, for people."""
    match action:
        case Click(x=x, y=y) | DoubleClick(x=x, y=y) | LongPress(x=x, y=y):
            return f"{_words(action)} ({x}, {y})"
        case Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
            return f"swipe {action.finger_direction.value} ({x}, {y}) → ({to_x}, {to_y})"
        case Drag(x=x, y=y, to_x=to_x, to_y=to_y):
            return f"drag ({x}, {y}) → ({to_x}, {to_y})"
        case Scroll(direction=direction):
            return f"scroll {direction.value}"
        case TypeText(text=text):
            return f"type “{text}”"
        case Answer(text=text):
            return f"answer “{text}”"
        case PressKey(key=key):
            return f"key {key}"
        case SystemButton(button=button):
            return f"{button.value} button"
        case OpenApp(name=name):
            return f"open {name}"
        case Wait(duration_s=duration):
            return f"wait {duration:g} s"
        case Finish(status=status):
            return f"finish: {status.value}"
        case _:
            assert_never(action)


def _words(action: Action) -> str:
    return action_name(action).replace("_", " ")


def episode_data(trajectory: Trajectory, notes: Sequence[StepAnnotation] = ()) -> dict[str, Any]:
    """What a page shows of one episode, short of its pictures."""
    outcome = trajectory.outcome
    return {
        "id": trajectory.episode_id,
        "goal": trajectory.goal,
        "template": trajectory.template,
        "suite": trajectory.suite,
        "task": trajectory.task_id,
        "group": trajectory.group_id,
        "policy": trajectory.policy,
        "split": trajectory.split,
        "device": trajectory.device,
        "update": trajectory.update,
        "seed": trajectory.seed,
        "stop": trajectory.stop.value,
        "verdict": outcome.verdict.value,
        "progress": _number(outcome.progress),
        "detail": outcome.detail,
        "fault": trajectory.fault,
        "patches": trajectory.patches,
        "wall_s": _number(trajectory.wall_s),
        "final": trajectory.final_screenshot_sha256,
        "steps": [
            _step(step, notes[position] if position < len(notes) else None)
            for position, step in enumerate(trajectory.steps)
        ],
    }


def _step(step: Step, note: StepAnnotation | None) -> dict[str, Any]:
    return {
        "index": step.index,
        "image": step.screenshot_sha256,
        "width": step.width_px,
        "height": step.height_px,
        "app": step.foreground_app,
        "requested": None if step.requested is None else _request(step.requested),
        "executed": None if step.executed is None else _action(step.executed),
        "same": step.requested == step.executed,
        "source": step.source.value,
        "error": step.error,
        "expected": None if step.expected is None else _expert(step.expected),
        "match": None
        if step.match is None
        else {
            "type": step.match.type_match,
            "exact": step.match.exact_match,
            "reason": step.match.reason,
        },
        "thought": step.thought,
        "subgoal": step.subgoal,
        "format_ok": step.format_ok,
        "completions": [_completion(item) for item in step.completions],
        "progress": _number(step.progress),
        "changed": None
        if step.state_key_before is None or step.state_key_after is None
        else step.state_key_before != step.state_key_after,
        "raw_action": step.raw_action,
        "seconds": {
            "observe": _number(step.timings.observe_s),
            "decide": _number(step.timings.decide_s),
            "execute": _number(step.timings.execute_s),
        },
        "note": None if note is None else _note(note),
    }


def _request(request: Action | ParseError) -> dict[str, Any]:
    if isinstance(request, ParseError):
        return {
            "kind": "parse_error",
            "label": f"no action: {request.reason}",
            "points": [],
            "text": request.text,
        }
    return _action(request)


def _action(action: Action) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": action_name(action),
        "label": action_label(action),
        "points": [list(point) for point in action_points(action)],
    }
    if isinstance(action, Scroll):
        shown["direction"] = action.direction.value
    return shown


def _expert(expert: ExpertAction) -> dict[str, Any]:
    boxes = [[box.left, box.top, box.right, box.bottom] for box in expert.boxes]
    return {
        **_action(expert.action),
        "boxes": boxes,
        "thought": expert.thought,
        "subgoal": expert.subgoal,
    }


def _completion(item: RoleCompletion) -> dict[str, Any]:
    completion = item.completion
    logprobs = completion.logprobs
    return {
        "role": item.role.value,
        "text": completion.text,
        "tokens": len(completion.token_ids),
        "prompt_tokens": len(completion.prompt_token_ids),
        "images": len(item.image_sha256s),
        "mean_logprob": _number(math.fsum(logprobs) / len(logprobs)) if logprobs else None,
        "finish": completion.finish_reason.value,
        "version": completion.policy_version,
    }


def _note(note: StepAnnotation) -> dict[str, Any]:
    return {
        "reward": _number(note.reward),
        "parts": {name: _number(value) for name, value in note.parts.items()},
        "return": _number(note.return_),
        "advantages": {name: _number(value) for name, value in note.advantages.items()},
    }


def _number(value: float | None) -> float | None:
    """A number that JSON can hold; nan and infinity become None."""
    return None if value is None or not math.isfinite(value) else round(value, 4)
