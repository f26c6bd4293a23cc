"""What a page asks the session of a demo to do.

Actions are in pixels of the frame that they refer to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gui_agent.actions import Action


class Mode(StrEnum):
    """Who decides whether a proposed action is performed."""

    AUTO = "auto"
    """Nobody has to: it is shown and performed."""
    APPROVE = "approve"
    """A person, for each."""


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


Direction = (
    Pause | Resume | StepOnce | Stop | Approve | Edit | Reject | Takeover | Act | Hint | Undo
)  # said to the episode that runs
Command = Direction | Run | SetMode | SetOutcome | Export | Claim | Release | Reconnect | Seen

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
