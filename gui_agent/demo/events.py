"""What the session of a demo tells the pages.

Actions are written as in stored episodes (`gui_agent.actions.action_to_dict`), in pixels of the frame that
they refer to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gui_agent.demo.commands import Mode

PROTOCOL_VERSION: Final = 1


class Phase(StrEnum):
    """What the session does now."""

    IDLE = "idle"
    """No episode runs."""
    STARTING = "starting"
    """The device is brought to the start of the task."""
    THINKING = "thinking"
    """The agent was shown the screen and decides."""
    WAITING = "waiting"
    """A proposal waits for a person: approve, edit or reject it, or act."""
    PAUSED = "paused"
    """Before the agent is asked: paused, stepping, or the person has taken over."""
    ACTING = "acting"
    """The device performs an action."""
    STOPPING = "stopping"
    """The episode is being ended and stored."""
    FAULT = "fault"
    """The device broke; `reconnect` tries again."""


class Part(StrEnum):
    """What a `said` event holds."""

    SUBGOAL = "subgoal"
    THOUGHT = "thought"
    ACTION = "action"


class Need(StrEnum):
    """What a proposal waits for."""

    NOTHING = "nothing"
    """It is performed now."""
    APPROVAL = "approval"
    """Each action is approved (mode "approve"), or the agent's responses repeat themselves."""
    CONFIRMATION = "confirmation"
    """A safety rule asks for a person; `reason` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloEvent:
    """First message of a connection.

    Attributes:
        client: number of this tab.
        device, agent: for people.
        can_undo: the device restores earlier states.
        can_hint: the agent takes hints.
        actions: names of the actions that the device performs and the agent has words for.
        task: the task that `run` begins without a goal, or "".
        examples: goals to try.
        poll_interval_s: an idle device is looked at so often; nothing is looked at while the agent uses it.
        protocol: version of it.
    """

    client: int
    device: str
    agent: str
    can_undo: bool
    can_hint: bool
    actions: tuple[str, ...]
    task: str = ""
    examples: tuple[str, ...] = ()
    poll_interval_s: float = 0.0
    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlEvent:
    """Who decides: this tab (`you`), another one, or nobody (None)."""

    controller: int | None
    you: bool
    watchers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEvent:
    """What the session does; sent whenever it changes.

    Attributes:
        step: index of the step that is being decided, from 0.
        task: SUITE:TEMPLATE:SEED that the goal is of, or "" for a goal in words.
        takeover: the person acts.
        paused: the agent is not asked.
        hint: what the agent is told, or "".
        undo_steps: so many steps can be undone now.
    """

    phase: Phase
    mode: Mode
    takeover: bool
    paused: bool
    step: int
    goal: str
    task: str
    episode_id: str
    hint: str
    undo_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidEvent:
    """A part of a decision as soon as it is there: the planner's subgoal before the actor is asked."""

    step: int
    attempt: int
    part: Part
    role: str
    text: str
    seconds: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalEvent:
    """What the agent wants to do, before it is done.

    Attributes:
        proposal: its number, for approve, edit and reject; newer proposals replace older ones.
        step: index of the step.
        attempt: 1, or how often the agent has been asked at this step.
        action: what it asks for; None if the response is no action (`error` says why).
        label: the same for people.
        points: of the action, in pixels of the frame: one, or the way of a finger.
        frame, width_px, height_px: the screen that it was decided on.
        needs: what it waits for.
        reason: why it waits, or why a safety rule forbids it.
    """

    proposal: int
    step: int
    attempt: int
    action: dict[str, Any] | None
    label: str
    points: tuple[tuple[int, int], ...]
    frame: int
    width_px: int
    height_px: int
    needs: Need
    thought: str | None = None
    subgoal: str | None = None
    error: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedEvent:
    """What became of a proposal: performed, edited, rejected, forbidden, undone, stopped, or taken over."""

    proposal: int
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Where the time of a step went: looking, the planner, the actor, the preview, the person, the device."""

    observe: float = 0.0
    plan: float = 0.0
    act: float = 0.0
    preview: float = 0.0
    person: float = 0.0
    execute: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """A step was taken; also sent for every step so far when a page connects.

    Attributes:
        index: from 0; an index that was undone comes again.
        source: "policy" or "human".
        requested, executed: what the agent asked for, and what the device did, or None.
        label: of what was executed, or of the request that could not be.
        points: of the executed action.
        rejected: labels of proposals that were not performed at this step.
        picture: path of the screen at full size; add ?small for a thumbnail.
    """

    index: int
    source: str
    requested: dict[str, Any] | None
    executed: dict[str, Any] | None
    label: str
    points: tuple[tuple[int, int], ...]
    width_px: int
    height_px: int
    picture: str
    seconds: Seconds
    error: str | None = None
    thought: str | None = None
    subgoal: str | None = None
    progress: float | None = None
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoneEvent:
    """The last steps left the episode; `steps` remain."""

    undone: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetEvent:
    """What was used; a limit of 0 is none.

    `cost` is None where no price is known. `is_estimated`: a server did not count its tokens.
    """

    steps: int
    max_steps: int
    agent_s: float
    time_limit_s: float
    requests: int
    prompt_tokens: int
    completion_tokens: int
    max_tokens: int
    cost: float | None
    max_cost: float
    is_estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeEvent:
    """An episode ended and is stored; sent again when its outcome changes, and for each when a page connects.

    Attributes:
        stop: as stored (finished, step_limit, time_limit, loop, user, device_fault, …).
        verdict: success, failure or unscored.
        reason: why it stopped, for people.
        picture: path of its last screen, or "".
        human_steps: steps that the person took.
    """

    episode_id: str
    goal: str
    stop: str
    reason: str
    verdict: str
    detail: str
    steps: int
    human_steps: int
    wall_s: float
    answer: str
    picture: str
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeEvent:
    """Something a person should know: level "info", "warning" or "error"; `code` is for programs."""

    level: str
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedEvent:
    """A zip that can be fetched at `path`."""

    path: str
    name: str
    num_episodes: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneEvent:
    """The command with this id was taken."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent:
    """A command was not taken: bad_message, unknown_command, not_controller, not_now, bad_value, …"""

    code: str
    text: str
    id: int | None = None


Event = (
    HelloEvent
    | ControlEvent
    | StateEvent
    | SaidEvent
    | ProposalEvent
    | ResolvedEvent
    | StepEvent
    | UndoneEvent
    | BudgetEvent
    | EpisodeEvent
    | NoticeEvent
    | ExportedEvent
    | DoneEvent
    | ErrorEvent
)

EVENT_NAMES: Final[Mapping[type, str]] = {
    HelloEvent: "hello",
    ControlEvent: "control",
    StateEvent: "state",
    SaidEvent: "said",
    ProposalEvent: "proposal",
    ResolvedEvent: "resolved",
    StepEvent: "step",
    UndoneEvent: "undone",
    BudgetEvent: "budget",
    EpisodeEvent: "episode",
    NoticeEvent: "notice",
    ExportedEvent: "exported",
    DoneEvent: "done",
    ErrorEvent: "error",
}
