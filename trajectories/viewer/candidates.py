"""Several samples at one state as a page shows them: equal ones once, with how often they came.

The planner's subgoals, each with the actions that the actor tried under it, and the actor's actions under
the subgoal that was executed; what was executed comes first, then what was rewarded best.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final

from gui_agent.agent import Candidate, CandidateKind
from trajectories.viewer.shown import number, request_data, shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateAnnotation:
    """What training made of one candidate.

    Attributes:
        reward: of a subgoal or an action; what a probe achieved.
        parts: what the reward is made of, by name.
        advantage: None if its tokens were not trained with any.
    """

    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    advantage: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLimits:
    """How much of a step's candidates a page shows.

    Attributes:
        rows: of each group, and of the probes under each subgoal.
        text_chars: of a response.
    """

    rows: int
    text_chars: int


Noted = tuple[Candidate, CandidateAnnotation]
SERVED: Final = CandidateLimits(rows=64, text_chars=4000)
IN_A_FILE: Final = CandidateLimits(rows=12, text_chars=300)


def candidates_data(
    candidates: Sequence[Candidate], notes: Sequence[CandidateAnnotation] = (), *, limits: CandidateLimits
) -> dict[str, Any] | None:
    """What a page shows of the candidates of a step; None if there are none.

    Args:
        candidates: of the step.
        notes: one for each of them, or none at all.
        limits: what is beyond is counted under `omitted`.
    """
    if not candidates:
        return None
    noted = list(notes) or [CandidateAnnotation()] * len(candidates)
    pairs = list(zip(candidates, noted, strict=True))
    of_kind = {kind: [pair for pair in pairs if pair[0].kind is kind] for kind in CandidateKind}
    probes = of_kind[CandidateKind.PROBE]
    subgoals = _merged(of_kind[CandidateKind.SUBGOAL])
    planner = _group(subgoals, limits)
    for row, equals in zip(planner["rows"], subgoals, strict=False):
        branches = {candidate.branch for candidate, _ in equals}
        below = [pair for pair in probes if pair[0].branch in branches]
        row["probes"] = _group(_merged(below), limits)
    actor = _group(_merged(of_kind[CandidateKind.ACTION]), limits)
    return {"num_samples": len(candidates), "num_probes": len(probes), "planner": planner, "actor": actor}


def left_out(data: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the place of candidates that a page has no room for."""
    return {"num_samples": data["num_samples"]}


def num_bytes(data: Mapping[str, Any]) -> int:
    """What `candidates_data` takes in a page."""
    return len(json.dumps(data, ensure_ascii=False).encode())


def _merged(pairs: Iterable[Noted]) -> list[list[Noted]]:
    """Equal candidates together, what was executed first, then by reward, then by how many they are."""
    found: dict[Hashable, list[Noted]] = {}
    for candidate, note in pairs:
        found.setdefault(_sort_of(candidate, note), []).append((candidate, note))
    return sorted(found.values(), key=_worth)


def _worth(equals: Sequence[Noted]) -> tuple[bool, float, int]:
    reward = equals[0][1].reward
    was_executed = any(_was_executed(candidate) for candidate, _ in equals)
    return not was_executed, math.inf if reward is None else -reward, -len(equals)


def _group(merged: Sequence[Sequence[Noted]], limits: CandidateLimits) -> dict[str, Any]:
    rewards = [note.reward for equals in merged for _, note in equals if note.reward is not None]
    return {
        "size": sum(map(len, merged)),
        "mean": number(fmean(rewards)) if rewards else None,
        "rows": [_row(equals, limits) for equals in merged[: limits.rows]],
        "omitted": sum(map(len, merged[limits.rows :])),
    }


def _sort_of(candidate: Candidate, note: CandidateAnnotation) -> Hashable:
    """Equal for candidates that a reader cannot tell apart; a response without any sense has only words."""
    is_read = candidate.subgoal if candidate.kind is CandidateKind.SUBGOAL else candidate.action
    return (
        is_read,
        candidate.completion.completion.text if is_read is None else "",
        candidate.format_ok,
        tuple(candidate.measured.items()),
        note.reward,
        tuple(note.parts.items()),
        note.advantage,
    )


def _was_executed(candidate: Candidate) -> bool:
    """Number 0 of the subgoals and of the actions; a probe shows what would have been."""
    return candidate.kind is not CandidateKind.PROBE and candidate.branch == 0 and candidate.sample == 0


def _row(equals: Sequence[Noted], limits: CandidateLimits) -> dict[str, Any]:
    candidate, note = equals[0]
    text = candidate.completion.completion.text
    shown: dict[str, Any] = {
        "count": len(equals),
        "executed": any(_was_executed(each) for each, _ in equals),
        "format_ok": candidate.format_ok,
        "measured": {name: number(value) for name, value in candidate.measured.items()},
        "reward": number(note.reward),
        "parts": {name: number(value) for name, value in note.parts.items()},
        "advantage": number(note.advantage),
    }
    if candidate.kind is CandidateKind.SUBGOAL:
        subgoal = candidate.subgoal
        shown["subgoal"] = None if subgoal is None else shortened(subgoal, limits.text_chars)
        if subgoal is None or text.strip() != subgoal:  # the reasoning before it
            shown["response"] = shortened(text, limits.text_chars)
    else:
        shown["action"] = None if candidate.action is None else request_data(candidate.action)
        if candidate.kind is CandidateKind.ACTION:
            shown["response"] = shortened(text, limits.text_chars)
    return shown
