"""How `gui-agent run` ended: its exit status, and what is said about it."""

from __future__ import annotations

import json
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from gui_agent.actions import Finish, FinishStatus
from gui_agent.cli.run_view import printable
from gui_agent.device import StopReason, Verdict
from gui_agent.safety.budget import Budget
from trajectories.records import Trajectory


class RunExit(IntEnum):
    """How an episode ended, as the exit status of `gui-agent run`."""

    DONE = 0
    """The agent finished; the task's check says success, or there is none."""
    FAILED = 1
    """The model, its server or this program failed, as for every command; the steps until then are kept."""
    DEVICE_FAULT = 4
    """The device broke, as for every command."""
    WRONG = 10
    """The agent finished; the task's check says failure."""
    GAVE_UP = 11
    """The agent said that it cannot be done."""
    STEP_LIMIT = 12
    TIME_LIMIT = 13
    LOOP = 14
    """The agent did the same in the same state again and again."""
    SAFETY = 15
    """A safety rule held an action back, or the agent left the apps and sites that are allowed."""
    BUDGET = 16
    """The tokens or the money are spent."""
    USER = 130
    """Ctrl-C."""


_EXITS: Final = {
    StopReason.MODEL_FAULT: RunExit.FAILED,
    StopReason.PROGRAM_FAULT: RunExit.FAILED,
    StopReason.DEVICE_FAULT: RunExit.DEVICE_FAULT,
    StopReason.STEP_LIMIT: RunExit.STEP_LIMIT,
    StopReason.TIME_LIMIT: RunExit.TIME_LIMIT,
    StopReason.LOOP: RunExit.LOOP,
    StopReason.SAFETY: RunExit.SAFETY,
    StopReason.BUDGET: RunExit.BUDGET,
    StopReason.USER: RunExit.USER,
}
_SENTENCES: Final = {
    RunExit.DONE: "finished",
    RunExit.WRONG: "finished, but not done",
    RunExit.GAVE_UP: "gave up",
    RunExit.STEP_LIMIT: "stopped at the step limit",
    RunExit.TIME_LIMIT: "stopped at the time limit",
    RunExit.LOOP: "stopped: the same action in the same state {loop_limit} times",
    RunExit.SAFETY: "stopped by a safety rule",
    RunExit.BUDGET: "stopped: the budget is spent",
    RunExit.FAILED: "broken off by a failure",
    RunExit.DEVICE_FAULT: "the device broke",
    RunExit.USER: "stopped by Ctrl-C",
}


def run_exit(trajectory: Trajectory) -> RunExit:
    """How an episode ended; what its check says counts where the agent, or the world, ended it."""
    if (code := _EXITS.get(trajectory.stop)) is not None:
        return code
    last = trajectory.steps[-1].executed if trajectory.steps else None
    if isinstance(last, Finish) and last.status is FinishStatus.FAILURE:
        return RunExit.GAVE_UP
    return RunExit.WRONG if trajectory.outcome.verdict is Verdict.FAILURE else RunExit.DONE


def said_in_json(trajectory: Trajectory, budget: Budget, store: Path) -> str:
    """One JSON object for programs."""
    code, held = run_exit(trajectory), trajectory.source.get("safety", [])
    said: dict[str, Any] = {
        "end": code.name.lower(),
        "exit_code": int(code),
        "verdict": trajectory.outcome.verdict.value,
        "detail": trajectory.outcome.detail,
        "progress": trajectory.outcome.progress,
        "answer": trajectory.answer,
        "steps": len(trajectory.steps),
        "held": held,
        "tokens_read": budget.tokens_read,
        "tokens_written": budget.tokens_written,
        "cost": round(budget.cost, 6),
        "wall_s": round(trajectory.wall_s, 3),
        "episode_id": trajectory.episode_id,
        "store": str(store),
    }
    return json.dumps(said)


def said_in_words(trajectory: Trajectory, budget: Budget, store: Path, *, loop_limit: int) -> str:
    """Some lines for people."""
    code, outcome = run_exit(trajectory), trajectory.outcome
    # What failed is said by the error that follows.
    detail = "" if code is RunExit.FAILED else f" ({printable(outcome.detail)})"
    steps = f"{len(trajectory.steps)} steps, {trajectory.wall_s:.1f} s"
    lines = [
        f"{_SENTENCES[code].format(loop_limit=loop_limit)} after {steps}; {outcome.verdict.value}{detail}",
        f"episode {trajectory.episode_id} in {store}; see it with: gui-agent view {store}",
    ]
    if trajectory.answer:
        lines.insert(0, f"answer: {printable(trajectory.answer)}")
    if budget.tokens:
        lines.insert(-1, budget.sentence)
    return "\n".join(lines)
