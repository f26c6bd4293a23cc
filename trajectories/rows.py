"""Trajectories as rows of three flat tables, and back.

`episodes` has one row per episode, `steps` one per decision, `completions` one per sampled response; a
response that was compared with others at the same state (a candidate) says so in columns of its own.
Columns are plain: text, numbers, lists of numbers; what is nested is JSON in a text column. Every
table can be read with any Parquet reader; nothing here is needed to make sense of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from gui_agent.actions import Action, ParseError, action_from_dict, action_to_dict
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import DataError, SchemaVersionError
from gui_agent.matching import MatchResult
from gui_agent.observation import Box
from gui_agent.policy import AgentRole, Completion, FinishReason
from trajectories.records import SCHEMA_VERSION, Step, StepTimings, Trajectory

Row = dict[str, Any]

EPISODES: Final = pa.schema(
    [
        ("episode_id", pa.string()),
        ("task_id", pa.string()),
        ("template", pa.string()),
        ("suite", pa.string()),
        ("goal", pa.string()),
        ("num_steps", pa.int32()),
        ("stop", pa.string()),
        ("verdict", pa.string()),
        ("progress", pa.float64()),
        ("outcome_detail", pa.string()),
        ("group_id", pa.string()),
        ("seed", pa.int64()),
        ("update", pa.int64()),
        ("policy", pa.string()),
        ("split", pa.string()),
        ("device", pa.string()),
        ("source", pa.string()),
        ("fault", pa.string()),
        ("wall_s", pa.float64()),
        ("final_screenshot_sha256", pa.string()),
        ("schema_version", pa.int32()),
    ]
)
STEPS: Final = pa.schema(
    [
        ("episode_id", pa.string()),
        ("index", pa.int32()),
        ("screenshot_sha256", pa.string()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("requested", pa.string()),
        ("executed", pa.string()),
        ("source", pa.string()),
        ("error", pa.string()),
        ("expected", pa.string()),
        ("match_type", pa.bool_()),
        ("match_exact", pa.bool_()),
        ("match_reason", pa.string()),
        ("thought", pa.string()),
        ("subgoal", pa.string()),
        ("format_ok", pa.bool_()),
        ("progress", pa.float64()),
        ("state_key_before", pa.string()),
        ("state_key_after", pa.string()),
        ("foreground_app", pa.string()),
        ("elements", pa.string()),
        ("raw_action", pa.string()),
        ("observe_s", pa.float64()),
        ("decide_s", pa.float64()),
        ("execute_s", pa.float64()),
    ]
)
COMPLETIONS: Final = pa.schema(
    [
        ("episode_id", pa.string()),
        ("step", pa.int32()),
        ("position", pa.int32()),
        ("role", pa.string()),
        ("text", pa.string()),
        ("finish_reason", pa.string()),
        ("policy_version", pa.int64()),
        ("prompt_token_ids", pa.list_(pa.int32())),
        ("token_ids", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float64())),
        ("image_sha256s", pa.list_(pa.string())),
        ("image_grids", pa.list_(pa.list_(pa.int32()))),
        ("candidate", pa.string()),
        ("branch", pa.int32()),
        ("sample", pa.int32()),
        ("subgoal", pa.string()),
        ("action", pa.string()),
        ("format_ok", pa.bool_()),
        ("measured", pa.string()),
    ]
)
ADDED_COLUMNS: Final = frozenset(
    {"candidate", "branch", "sample", "subgoal", "action", "format_ok", "measured"}
)
"""Columns of `completions` since schema 2: older shards are without them, and hold no candidate."""
_MAY_BE_EMPTY: Final = {
    "progress", "fault", "final_screenshot_sha256", "screenshot_sha256", "width_px", "height_px", "requested",
    "executed", "error", "expected", "match_type", "match_exact", "match_reason", "thought",
    "subgoal", "state_key_before", "state_key_after", "foreground_app", "elements", "raw_action",
}  # fmt: skip
"""Columns of `episodes` and `steps` that hold nothing where there is nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryRows:
    """One trajectory as rows; steps and completions in time order."""

    episode: Row
    steps: Sequence[Row]
    completions: Sequence[Row]


def trajectory_to_rows(trajectory: Trajectory) -> TrajectoryRows:
    """Flatten; `rows_to_trajectory` restores an equal trajectory."""
    return TrajectoryRows(
        episode=_episode_row(trajectory),
        steps=[_step_row(trajectory.episode_id, step) for step in trajectory.steps],
        completions=[
            _completion_row(trajectory.episode_id, step.index, position, completion)
            for step in trajectory.steps
            for position, completion in enumerate(step.completions)
        ]
        + [
            _candidate_row(trajectory.episode_id, step.index, position, candidate)
            for step in trajectory.steps
            for position, candidate in enumerate(step.candidates)
        ],
    )


def rows_to_trajectory(rows: TrajectoryRows) -> Trajectory:
    """Restore a trajectory.

    Raises:
        SchemaVersionError: a newer program wrote it.
        DataError: a value cannot be read, or steps are missing; the message names the column.
    """
    row = rows.episode
    for each in (row, *rows.steps):
        _check_filled(each, _MAY_BE_EMPTY)
    for each in rows.completions:
        _check_filled(each, ADDED_COLUMNS)
    if row["schema_version"] > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"episode {row['episode_id']!r} was written with schema {row['schema_version']}, this program "
            f"reads up to {SCHEMA_VERSION}; upgrade gui-agent to read it"
        )
    if len(rows.steps) != row["num_steps"]:
        raise DataError(
            f"episode {row['episode_id']!r} has {len(rows.steps)} of its {row['num_steps']} steps; "
            "restore the steps file from a copy, or leave the episode out (--on-damage skip)"
        )
    completions: dict[int, list[Row]] = {}
    for completion in rows.completions:
        completions.setdefault(completion["step"], []).append(completion)
    return Trajectory(
        episode_id=row["episode_id"],
        task_id=row["task_id"],
        template=row["template"],
        suite=row["suite"],
        goal=row["goal"],
        steps=tuple(_step(step, completions.get(step["index"], ())) for step in rows.steps),
        stop=_read(row, "stop", StopReason),
        outcome=Outcome(
            verdict=_read(row, "verdict", Verdict), progress=row["progress"], detail=row["outcome_detail"]
        ),
        group_id=row["group_id"],
        seed=row["seed"],
        update=row["update"],
        policy=row["policy"],
        split=row["split"],
        device=row["device"],
        source=_read(row, "source", _object),
        fault=row["fault"],
        wall_s=row["wall_s"],
        final_screenshot_sha256=row["final_screenshot_sha256"],
        schema_version=row["schema_version"],
    )


def _episode_row(trajectory: Trajectory) -> Row:
    return {
        "episode_id": trajectory.episode_id,
        "task_id": trajectory.task_id,
        "template": trajectory.template,
        "suite": trajectory.suite,
        "goal": trajectory.goal,
        "num_steps": len(trajectory.steps),
        "stop": trajectory.stop.value,
        "verdict": trajectory.outcome.verdict.value,
        "progress": trajectory.outcome.progress,
        "outcome_detail": trajectory.outcome.detail,
        "group_id": trajectory.group_id,
        "seed": trajectory.seed,
        "update": trajectory.update,
        "policy": trajectory.policy,
        "split": trajectory.split,
        "device": trajectory.device,
        "source": _json(trajectory.source),
        "fault": trajectory.fault,
        "wall_s": trajectory.wall_s,
        "final_screenshot_sha256": trajectory.final_screenshot_sha256,
        "schema_version": trajectory.schema_version,
    }


def _step_row(episode_id: str, step: Step) -> Row:
    match_ = step.match
    return {
        "episode_id": episode_id,
        "index": step.index,
        "screenshot_sha256": step.screenshot_sha256,
        "width_px": step.width_px,
        "height_px": step.height_px,
        "requested": None if step.requested is None else _json(request_to_dict(step.requested)),
        "executed": None if step.executed is None else _json(action_to_dict(step.executed)),
        "source": step.source.value,
        "error": step.error,
        "expected": None if step.expected is None else _json(expert_to_dict(step.expected)),
        "match_type": None if match_ is None else match_.type_match,
        "match_exact": None if match_ is None else match_.exact_match,
        "match_reason": None if match_ is None else match_.reason,
        "thought": step.thought,
        "subgoal": step.subgoal,
        "format_ok": step.format_ok,
        "progress": step.progress,
        "state_key_before": step.state_key_before,
        "state_key_after": step.state_key_after,
        "foreground_app": step.foreground_app,
        "elements": None if step.elements is None else _json(step.elements),
        "raw_action": step.raw_action,
        "observe_s": step.timings.observe_s,
        "decide_s": step.timings.decide_s,
        "execute_s": step.timings.execute_s,
    }


def _step(row: Row, completions: Sequence[Row]) -> Step:
    match_ = None
    if row["match_type"] is not None:
        match_ = MatchResult(
            type_match=row["match_type"], exact_match=row["match_exact"], reason=row["match_reason"]
        )
    elements = _optional(row, "elements", _objects)
    return Step(
        index=row["index"],
        screenshot_sha256=row["screenshot_sha256"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        requested=_optional(row, "requested", lambda text: request_from_dict(_object(text))),
        executed=_optional(row, "executed", lambda text: action_from_dict(_object(text))),
        source=_read(row, "source", ActionSource),
        error=row["error"],
        expected=_optional(row, "expected", lambda text: expert_from_dict(_object(text))),
        match=match_,
        thought=row["thought"],
        subgoal=row["subgoal"],
        format_ok=row["format_ok"],
        completions=tuple(_completion(item) for item in completions if item.get("candidate") is None),
        candidates=tuple(_candidate(item) for item in completions if item.get("candidate") is not None),
        progress=row["progress"],
        state_key_before=row["state_key_before"],
        state_key_after=row["state_key_after"],
        foreground_app=row["foreground_app"],
        elements=elements,
        raw_action=row["raw_action"],
        timings=StepTimings(observe_s=row["observe_s"], decide_s=row["decide_s"], execute_s=row["execute_s"]),
    )


def _completion_row(episode_id: str, step: int, position: int, item: RoleCompletion) -> Row:
    completion = item.completion
    return {
        "episode_id": episode_id,
        "step": step,
        "position": position,
        "role": item.role.value,
        "text": completion.text,
        "finish_reason": completion.finish_reason.value,
        "policy_version": completion.policy_version,
        "prompt_token_ids": completion.prompt_token_ids,
        "token_ids": completion.token_ids,
        "logprobs": completion.logprobs,
        "image_sha256s": item.image_sha256s,
        "image_grids": completion.image_grids,
    }


def _candidate_row(episode_id: str, step: int, position: int, item: Candidate) -> Row:
    return {
        **_completion_row(episode_id, step, position, item.completion),
        "candidate": item.kind.value,
        "branch": item.branch,
        "sample": item.sample,
        "subgoal": item.subgoal,
        "action": None if item.action is None else _json(request_to_dict(item.action)),
        "format_ok": item.format_ok,
        "measured": _json(item.measured),
    }


def _candidate(row: Row) -> Candidate:
    return Candidate(
        kind=_read(row, "candidate", CandidateKind),
        completion=_completion(row),
        branch=row["branch"],
        sample=row["sample"],
        subgoal=row["subgoal"],
        action=_optional(row, "action", lambda text: request_from_dict(_object(text))),
        format_ok=row["format_ok"],
        measured=_read(row, "measured", _object),
    )


def _completion(row: Row) -> RoleCompletion:
    return RoleCompletion(
        role=_read(row, "role", AgentRole),
        completion=Completion(
            prompt_token_ids=tuple(row["prompt_token_ids"]),
            image_grids=tuple((time, height, width) for time, height, width in row["image_grids"]),
            token_ids=tuple(row["token_ids"]),
            logprobs=tuple(row["logprobs"]),
            text=row["text"],
            finish_reason=_read(row, "finish_reason", FinishReason),
            policy_version=row["policy_version"],
        ),
        image_sha256s=tuple(row["image_sha256s"]),
    )


def request_to_dict(request: Action | ParseError) -> Row:
    """An action, or `{"type": "parse_error", ...}`, as a JSON-ready dictionary."""
    if isinstance(request, ParseError):
        return {"type": "parse_error", "reason": request.reason, "text": request.text}
    return action_to_dict(request)


def request_from_dict(data: Row) -> Action | ParseError:
    """Restore what `request_to_dict` wrote; `DataError` if it is neither."""
    if data.get("type") == "parse_error":
        return ParseError(reason=data["reason"], text=data["text"])
    return action_from_dict(data)


def expert_to_dict(expert: ExpertAction) -> Row:
    """An expert's action as a JSON-ready dictionary; boxes as [left, top, right, bottom]."""
    boxes = [[box.left, box.top, box.right, box.bottom] for box in expert.boxes]
    subgoal = {} if expert.subgoal is None else {"subgoal": expert.subgoal}
    return {"action": action_to_dict(expert.action), "boxes": boxes, "thought": expert.thought, **subgoal}


def expert_from_dict(data: Row) -> ExpertAction:
    """Restore what `expert_to_dict` wrote; `DataError` if the action is none."""
    boxes = tuple(
        Box(left=left, top=top, right=right, bottom=bottom) for left, top, right, bottom in data["boxes"]
    )
    return ExpertAction(
        action=action_from_dict(data["action"]),
        boxes=boxes,
        thought=data["thought"],
        subgoal=data.get("subgoal"),  # recordings from before there were subgoals have none
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _optional(row: Row, column: str, read: Callable[[str], Any]) -> Any:
    return None if row[column] is None else _read(row, column, read)


def _object(text: str) -> Row:
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("expected a JSON object")
    return data


def _objects(text: str) -> tuple[Row, ...]:
    data = json.loads(text)
    if not (isinstance(data, list) and all(isinstance(item, dict) for item in data)):
        raise ValueError("expected a list of JSON objects")
    return tuple(data)


def _check_filled(row: Row, may_be_empty: Collection[str]) -> None:
    for column, value in row.items():
        if value is None and column not in may_be_empty:
            raise DataError(f"{_where(row)}: column {column!r} is empty; expected a value")


def _read(row: Row, column: str, read: Callable[[str], Any]) -> Any:
    """Decode one cell; a cell that cannot be read names itself."""
    try:
        return read(row[column])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{_where(row)}: column {column!r} holds {row[column]!r}, which cannot be read ({error})"
        ) from error


def _where(row: Row) -> str:
    index = row.get("index", row.get("step"))
    return f"episode {row['episode_id']!r}" + ("" if index is None else f", step {index}")
