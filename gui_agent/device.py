"""Worlds that an agent acts in: recorded trajectories, browsers and phones behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable

from gui_agent.actions import Action, ParseError
from gui_agent.matching import MatchResult
from gui_agent.observation import Box, Observation


class ActionSource(StrEnum):
    """Who chose the action that was executed."""

    POLICY = "policy"
    PATCH = "patch"
    """A replayed expert took over after a mismatch."""
    HUMAN = "human"


class StopReason(StrEnum):
    """Why an episode ended."""

    FINISHED = "finished"
    """The agent said that it was done."""
    TASK_ENDED = "task_ended"
    """The world ended the task by itself, as MiniWoB++ pages do."""
    EXPERT_END = "expert_end"
    """The replayed trajectory has no further step."""
    PATCH_BUDGET_SPENT = "patch_budget_spent"
    """A mismatch with no patch left."""
    STEP_LIMIT = "step_limit"
    TIME_LIMIT = "time_limit"
    DEVICE_FAULT = "device_fault"
    """The world broke; the episode must not be scored."""
    MODEL_FAULT = "model_fault"
    """The model, or the server in front of it, failed; the episode must not be scored."""
    PROGRAM_FAULT = "program_fault"
    """This program failed; the episode must not be scored."""
    LOOP = "loop"
    """The agent did the same in the same state again and again."""
    SAFETY = "safety"
    """A rule held an action back and nobody allowed it, or the agent left the allowed apps and sites."""
    BUDGET = "budget"
    """The tokens or the money for the episode are spent."""
    USER = "user"

    @property
    def is_fault(self) -> bool:
        """Whether something broke that is not the agent's doing."""
        return self in (StopReason.DEVICE_FAULT, StopReason.MODEL_FAULT, StopReason.PROGRAM_FAULT)


class Verdict(StrEnum):
    """What a task's check says."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNSCORED = "unscored"
    """Nobody can tell; never to be counted as zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of checking a task.

    Attributes:
        verdict: success, failure, or nobody can tell.
        progress: share of the task that is done, in [0, 1], or None where it is not defined.
        detail: for people: what was found.
    """

    verdict: Verdict
    progress: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertAction:
    """What an expert did at one state, with what is needed to recognise the same deed.

    Attributes:
        action: in pixels of the screenshot of that state.
        boxes: targets that would have been right too; smallest first; empty if unknown.
        thought: the expert's reason, if recorded.
        subgoal: the instruction for this one step, if recorded or written by a template.
    """

    action: Action
    boxes: tuple[Box, ...] = ()
    thought: str | None = None
    subgoal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """What really happened.

    Attributes:
        executed: the action that the world performed; None if it performed none.
        error: why the requested action could not be performed: the agent's mistake, not a fault.
        source: who chose `executed`.
        expected: the expert's action at this state, when a trajectory is replayed.
        match: how the request compares with `expected`.
        stop: set when the episode is over.
    """

    executed: Action | None
    error: str | None = None
    source: ActionSource = ActionSource.POLICY
    expected: ExpertAction | None = None
    match: MatchResult | None = None
    stop: StopReason | None = None


class Task(Protocol):
    """Something to do in one kind of world.

    `template` names the family ("settings_toggle"), `task_id` one instance of it: equal ids mean the
    same start state and the same goal.
    """

    @property
    def task_id(self) -> str:
        """Names one instance."""
        ...

    @property
    def template(self) -> str:
        """The family of the task."""
        ...

    @property
    def seed(self) -> int:
        """What the instance was drawn from."""
        ...

    @property
    def goal(self) -> str:
        """The instruction that the agent is given."""
        ...

    @property
    def max_steps(self) -> int:
        """After this many steps an episode has failed."""
        ...


@runtime_checkable
class JudgedAtEnd(Protocol):
    """A task whose check disturbs the world, as opening an app does: it is asked once, at the end."""

    @property
    def judged_at_end(self) -> bool:
        """Whether that is so of this instance."""
        ...


EVALUATION_SEED_START: Final = 1_000_000
"""Instances with seeds below are for training, those from here on for evaluation."""


class TaskSource(Protocol):
    """A named list of task instances."""

    @property
    def suite(self) -> str:
        """The name under which the suite is asked for."""
        ...

    @property
    def templates(self) -> Sequence[str]:
        """The families of the suite, in a stable order."""
        ...

    def task(self, template: str, seed: int) -> Task:
        """One instance; `ConfigError` if the suite has no such family."""
        ...


class Device(Protocol):
    """One world that one agent acts in.

    The agent's mistakes are data in `ActionResult`; only a broken world raises `DeviceError`.
    """

    @property
    def action_space(self) -> frozenset[type]:
        """The types of `Action` that this world can perform."""
        ...

    async def reset(self, task: Task) -> None:
        """Bring the world to the start of the task; `DeviceError` if it cannot."""
        ...

    async def observe(self) -> Observation:
        """Look, without changing anything."""
        ...

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform the action, or record why it could not be performed."""
        ...

    async def check(self) -> Outcome:
        """Judge the task of the last `reset` over a channel the agent cannot reach; changes nothing."""
        ...

    async def close(self) -> None:
        """Give everything back; calling it twice is fine."""
        ...


@runtime_checkable
class Restorable(Protocol):
    """A device whose state can be saved: the same state shows the same pixels."""

    async def snapshot(self) -> Any:
        """The whole state, as an opaque value."""
        ...

    async def restore(self, snapshot: Any) -> None:
        """Go back to a state that `snapshot` returned."""
        ...


@runtime_checkable
class Demonstrator(Protocol):
    """A device that knows how its current task is solved, for recording demonstrations.

    `next_expert_action` answers for the current state, whatever was done before, as long as the task
    can still be solved; None means that the expert has nothing left to do.
    """

    async def next_expert_action(self) -> ExpertAction | None:
        """The expert's action at the current state."""
        ...


@runtime_checkable
class Closeable(Protocol):
    """A factory that holds something that must be ended, such as a browser."""

    async def close(self) -> None:
        """End it; calling it twice is fine."""
        ...


class DeviceFactory(Protocol):
    """Lends devices. A lease is given back when its context ends, also after a fault."""

    @property
    def capacity(self) -> int:
        """How many devices can be leased at once."""
        ...

    def lease(self) -> AbstractAsyncContextManager[Device]:
        """Borrow a device; waits while all are out."""
        ...
