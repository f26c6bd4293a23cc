"""What a page shows of an episode, as JSON-ready values.

The page draws itself from these values with text nodes only, so that nothing in a goal, a thought or
the text of a screen is ever read as markup.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gui_agent.agent import RoleCompletion
from gui_agent.device import ActionSource, ExpertAction
from gui_agent.errors import DataError
from gui_agent.observation import Screenshot
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.viewer.candidates import (
    IN_A_FILE,
    SERVED,
    CandidateAnnotation,
    CandidateLimits,
    candidates_data,
    left_out,
    num_bytes,
)
from trajectories.viewer.shown import action_data, number, request_data, shortened

_SMALL_BYTES: Final = 40_000
"""Pictures up to this size are shown as they are."""
_NAME_CHARS: Final = 500
_CANDIDATES_BYTES: Final = 12_000_000
"""Of all candidates together in one file; the steps after have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnnotation:
    """What training made of one step.

    Attributes:
        reward: of the step.
        parts: what the reward is made of, by name.
        return_: discounted sum of rewards from this step on, if there is one.
        advantages: by name, for instance "step", "episode" and "total".
        candidates: one for each candidate of the step, in their order, or none.
    """

    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    return_: float | None = None
    advantages: Mapping[str, float] = field(default_factory=dict)
    candidates: Sequence[CandidateAnnotation] = ()


Annotations = Mapping[str, Sequence[StepAnnotation]]
"""One annotation per step, by episode id."""


def page_data(
    records: Iterable[EpisodeRecord],
    annotations: Annotations | None,
    *,
    max_side_px: int,
    candidates_bytes: int = _CANDIDATES_BYTES,
) -> dict[str, Any]:
    """Everything that the page's script needs, of a size that a browser can open.

    Args:
        records: what to show; pictures that are missing are said to be.
        annotations: by episode id.
        max_side_px: larger pictures are scaled down to this.
        candidates_bytes: for candidates; steps for which nothing of it is left only say how many they
            have, and `steps_cut` counts them.
    """
    images: dict[str, str] = {}
    episodes: list[dict[str, Any]] = []
    for record in records:
        notes = (annotations or {}).get(record.trajectory.episode_id, ())
        episodes.append(episode_data(record.trajectory, notes, limits=IN_A_FILE))
        for sha256 in _shown_pictures(record.trajectory):
            if sha256 not in images:
                images[sha256] = _picture(record, sha256, max_side_px)
    cut = _cut_candidates([step for episode in episodes for step in episode["steps"]], candidates_bytes)
    return {"episodes": episodes, "images": images, "steps_cut": cut}


def _cut_candidates(steps: Iterable[dict[str, Any]], room_bytes: int) -> int:
    """Leave out the candidates of the steps for which there is no more room, and count those."""
    cut = 0
    for step in steps:
        if step["candidates"] is None:
            continue
        room_bytes -= num_bytes(step["candidates"])
        if room_bytes < 0:
            step["candidates"] = left_out(step["candidates"])
            cut += 1
    return cut


def _shown_pictures(trajectory: Trajectory) -> Iterable[str]:
    """Not those that only a prompt held."""
    for name in (*(step.screenshot_sha256 for step in trajectory.steps), trajectory.final_screenshot_sha256):
        if name is not None:
            yield name


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


def episode_data(
    trajectory: Trajectory, notes: Sequence[StepAnnotation] = (), *, limits: CandidateLimits = SERVED
) -> dict[str, Any]:
    """What a page shows of one episode, short of its pictures.

    Args:
        trajectory: the episode.
        notes: one for each step, or fewer.
        limits: for the candidates of each step.
    """
    outcome = trajectory.outcome
    human = sum(step.source is ActionSource.HUMAN for step in trajectory.steps)
    return {
        "id": trajectory.episode_id,
        "goal": shortened(trajectory.goal),
        "template": shortened(trajectory.template, _NAME_CHARS),
        "suite": shortened(trajectory.suite, _NAME_CHARS),
        "task": shortened(trajectory.task_id, _NAME_CHARS),
        "group": shortened(trajectory.group_id, _NAME_CHARS),
        "policy": shortened(trajectory.policy, _NAME_CHARS),
        "split": shortened(trajectory.split, _NAME_CHARS),
        "device": shortened(trajectory.device, _NAME_CHARS),
        "update": trajectory.update,
        "seed": trajectory.seed,
        "stop": trajectory.stop.value,
        "verdict": outcome.verdict.value,
        "progress": number(outcome.progress),
        "detail": shortened(outcome.detail),
        "fault": _text(trajectory.fault),
        "patches": trajectory.patches,
        "human": human,
        "acted": "human" if human else "patched" if trajectory.patches else "agent",
        "source": shortened(json.dumps(trajectory.source, ensure_ascii=False, indent=1))
        if trajectory.source
        else "",
        "wall_s": number(trajectory.wall_s),
        "final": trajectory.final_screenshot_sha256,
        "steps": [
            _step(step, notes[position] if position < len(notes) else None, limits)
            for position, step in enumerate(trajectory.steps)
        ],
    }


def _step(step: Step, note: StepAnnotation | None, limits: CandidateLimits) -> dict[str, Any]:
    return {
        "index": step.index,
        "image": step.screenshot_sha256,
        "width": step.width_px,
        "height": step.height_px,
        "app": None if step.foreground_app is None else shortened(step.foreground_app, _NAME_CHARS),
        "requested": None if step.requested is None else request_data(step.requested),
        "executed": None if step.executed is None else action_data(step.executed),
        "same": step.requested == step.executed,
        "source": step.source.value,
        "error": _text(step.error),
        "expected": None if step.expected is None else _expert(step.expected),
        "match": None
        if step.match is None
        else {
            "type": step.match.type_match,
            "exact": step.match.exact_match,
            "reason": shortened(step.match.reason),
        },
        "thought": _text(step.thought),
        "subgoal": _text(step.subgoal),
        "format_ok": step.format_ok,
        "completions": [_completion(item) for item in step.completions],
        "progress": number(step.progress),
        "changed": None
        if step.state_key_before is None or step.state_key_after is None
        else step.state_key_before != step.state_key_after,
        "raw_action": _text(step.raw_action),
        "seconds": {
            "observe": number(step.timings.observe_s),
            "decide": number(step.timings.decide_s),
            "execute": number(step.timings.execute_s),
        },
        "note": None if note is None else _note(note),
        "candidates": candidates_data(
            step.candidates, () if note is None else note.candidates, limits=limits
        ),
    }


def _expert(expert: ExpertAction) -> dict[str, Any]:
    boxes = [[box.left, box.top, box.right, box.bottom] for box in expert.boxes]
    return {
        **action_data(expert.action),
        "boxes": boxes,
        "thought": _text(expert.thought),
        "subgoal": _text(expert.subgoal),
    }


def _completion(item: RoleCompletion) -> dict[str, Any]:
    completion = item.completion
    logprobs = completion.logprobs
    return {
        "role": item.role.value,
        "text": shortened(completion.text),
        "tokens": len(completion.token_ids),
        "prompt_tokens": len(completion.prompt_token_ids),
        "images": len(item.image_sha256s),
        "mean_logprob": number(math.fsum(logprobs) / len(logprobs)) if logprobs else None,
        "finish": completion.finish_reason.value,
        "version": completion.policy_version,
    }


def _note(note: StepAnnotation) -> dict[str, Any]:
    return {
        "reward": number(note.reward),
        "parts": {name: number(value) for name, value in note.parts.items()},
        "return": number(note.return_),
        "advantages": {name: number(value) for name, value in note.advantages.items()},
    }


def _text(text: str | None) -> str | None:
    return None if text is None else shortened(text)
