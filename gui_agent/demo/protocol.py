"""What the page and the server of the demo say to each other, over one WebSocket at /socket.

Text messages are JSON objects with a "type". From the page come *commands* (`Run`, `Approve`, …); a command
may carry a whole number "id", and is answered by `done` or `error` with the same "id". From the server come
*events* (`StateEvent`, `ProposalEvent`, …). Binary messages, server to page only, are screens: see
`gui_agent.demo.frames`.

Actions are written as in stored episodes (`gui_agent.actions.action_to_dict`), for instance
{"type": "click", "x": 40, "y": 61}; coordinates are pixels of the frame that they refer to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from typing import Any, Final

from gui_agent.actions import Action, action_from_dict
from gui_agent.errors import DataError, GuiAgentError

PROTOCOL_VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 65_536
"""Longest message that a page may send."""
MAX_TEXT_LENGTH: Final = 4_000
"""Longest text in a command, in characters: a goal, a hint, text to type."""


class ProtocolError(GuiAgentError, ValueError):
    """A message that is none, or a command that cannot be taken; `code` is for programs.

    Attributes:
        code: as in `ErrorEvent`.
        id: of the command, if it could be read.
    """

    def __init__(self, message: str, *, code: str = "bad_message") -> None:
        """Say what was expected."""
        super().__init__(message)
        self.code = code
        self.id: int | None = None


class Mode(StrEnum):
    """Who decides whether a proposed action is performed."""

    AUTO = "auto"
    """Nobody has to: it is shown and performed."""
    APPROVE = "approve"
    """A person, for each."""


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


# Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Begin an episode: a goal in words, or a task of a suite as SUITE:TEMPLATE:SEED.

    Attributes:
        goal, task: one of them.
        takeover: begin with the person acting.
        fresh: bring the device to its start first; False goes on where it is (goals in words only).
    """

    goal: str = ""
    task: str = ""
    takeover: bool = False
    fresh: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Ask the agent nothing more; a proposal that is there waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on after pause, step, undo or a fault of the agent; ends a takeover too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOnce:
    """One step of the agent, then pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the episode at once; nothing more is performed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMode:
    """Approve each action, or none."""

    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """Perform the proposal as it is."""

    proposal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Perform this instead of the proposal; it is then the person's action, with their reason if given."""

    proposal: int
    action: Action
    thought: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Do not perform the proposal; the agent is asked again, with a hint if one is given."""

    proposal: int
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """The person acts (on), or the agent again (off)."""

    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """The person's own action; takes over if that was not said before.

    Attributes:
        action: in pixels of `frame`.
        frame: the frame that it was pointed out on; 0 if it points nowhere.
        secret: text that is typed, but masked in what is stored.
        thought: the person's reason, for an agent to learn from.
    """

    action: Action
    frame: int = 0
    secret: bool = False
    thought: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Words for the agent, in its prompts from now on in this episode; "" takes them back."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """Bring the device back to before the last `steps` steps; they leave the episode."""

    steps: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOutcome:
    """Thumbs up ("success"), down ("failure"), or neither ("unscored") for an ended episode."""

    episode_id: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Make a zip of episodes: a trajectory store for training, and an HTML file. None are all of this run."""

    episodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """This tab wants to control; with `force`, although another one does."""

    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """This tab only watches from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """Take the device up again after a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The page has drawn this frame: the server may send another. Every frame is answered so."""

    frame: int


Command = (
    Run
    | Pause
    | Resume
    | StepOnce
    | Stop
    | SetMode
    | Approve
    | Edit
    | Reject
    | Takeover
    | Act
    | Hint
    | Undo
    | SetOutcome
    | Export
    | Claim
    | Release
    | Reconnect
    | Seen
)

COMMANDS: Final[Mapping[str, type]] = {
    "run": Run,
    "pause": Pause,
    "resume": Resume,
    "step": StepOnce,
    "stop": Stop,
    "mode": SetMode,
    "approve": Approve,
    "edit": Edit,
    "reject": Reject,
    "takeover": Takeover,
    "act": Act,
    "hint": Hint,
    "undo": Undo,
    "outcome": SetOutcome,
    "export": Export,
    "claim": Claim,
    "release": Release,
    "reconnect": Reconnect,
    "seen": Seen,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command and the number under which it is answered."""

    command: Command
    id: int | None = None


def request_from_json(text: str) -> Request:
    """Read a command.

    Raises:
        ProtocolError: it is no JSON object, its type is not known, or a field is missing, unknown, of the
            wrong kind or too long.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message must be JSON ({str(error)[:100]})") from error
    if not isinstance(data, dict):
        raise ProtocolError('a message must be a JSON object with a "type"')
    number = data.pop("id", None)
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise ProtocolError("id must be a whole number")
    try:
        return Request(command=_command(data), id=number)
    except ProtocolError as error:
        error.id = number
        raise


def _command(data: dict[str, Any]) -> Command:
    name = data.pop("type", None)
    cls = COMMANDS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ProtocolError(
            f"unknown command {str(name)[:40]!r}; expected one of {', '.join(COMMANDS)}",
            code="unknown_command",
        )
    known = {item.name: item for item in fields(cls)}
    if unknown := sorted(set(data) - set(known)):
        raise ProtocolError(f"{name} has no field {unknown[0][:40]!r}; it takes {sorted(known)}")
    for item in known.values():
        if item.name not in data and item.default is MISSING:
            raise ProtocolError(f"{name} needs the field {item.name!r}")
    values = {key: _value(f"{name}.{key}", str(known[key].type), value) for key, value in data.items()}
    command: Command = cls(**values)
    return command


def _value(where: str, kind: str, value: Any) -> Any:
    match kind:
        case "Action":
            return _action(where, value)
        case "Mode":
            if value not in list(Mode):
                raise ProtocolError(f"{where} is {str(value)[:40]!r}; expected auto or approve")
            return Mode(value)
        case "tuple[str, ...]":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ProtocolError(f"{where} must be a list of texts")
            return tuple(value)
    expected = {"str": str, "int": int, "bool": bool}[kind]
    if type(value) is not expected:
        raise ProtocolError(f"{where} must be of type {kind}, not {type(value).__name__}")
    if isinstance(value, str):
        _check_text(where, value)
    return value


def _check_text(where: str, text: str) -> None:
    if len(text) > MAX_TEXT_LENGTH:
        raise ProtocolError(f"{where} has {len(text)} characters; at most {MAX_TEXT_LENGTH} are taken")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ProtocolError(f"{where} holds half of a character (a lone surrogate), which cannot be stored")


def _action(where: str, value: Any) -> Action:
    if not isinstance(value, dict):
        raise ProtocolError(f'{where} must be an action, such as {{"type": "click", "x": 1, "y": 2}}')
    try:
        action = action_from_dict(value)
    except (DataError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"{where}: {error}") from error
    for text in (item for item in value.values() if isinstance(item, str)):
        _check_text(where, text)
    return action


# Events


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

_EVENT_NAMES: Final[Mapping[type, str]] = {
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


def event_to_json(event: Event) -> str:
    """The event as the page reads it: its fields beside its "type", in ASCII: what a model writes may hold
    halves of characters, which no other encoding can carry."""
    return json.dumps({"type": _EVENT_NAMES[type(event)], **_plain(event)})


def _plain(event: Any) -> dict[str, Any]:
    found = {}
    for item in fields(event):
        value = getattr(event, item.name)
        found[item.name] = _plain(value) if isinstance(value, Seconds) else value
    return found
