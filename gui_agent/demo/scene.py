"""What the directed agent and the directed device of one episode share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gui_agent.agent import Decision
from gui_agent.demo.asking import ListenedPolicy
from gui_agent.demo.desk import Desk, HumanAct
from gui_agent.demo.events import Event, Phase
from gui_agent.demo.marks import Mark
from gui_agent.demo.screen import ScreenFeed
from gui_agent.safety.device import SafeDevice
from gui_agent.safety.options import ConfirmMode
from gui_agent.safety.verdict import SafetyVerdict


class DeedKind(StrEnum):
    """What one turn of the episode loop does."""

    OWN = "own"
    """The agent's action."""
    HUMAN = "human"
    """The person's."""
    LOOK = "look"
    """Nothing: the screen is looked at again."""
    UNDO = "undo"
    """Steps are taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What the device is to do in this turn.

    Attributes:
        kind: of deed.
        act: the person's action, for HUMAN.
        proposal: what the agent had proposed at this state, for HUMAN; None if it was not asked.
        consented: what a person said yes to, for OWN.
        forbidden: a rule denied it when it was shown, so that nobody was asked, for OWN.
        undo: number of steps, for UNDO.
    """

    kind: DeedKind
    act: HumanAct | None = None
    proposal: Decision | None = None
    consented: SafetyVerdict | None = None
    forbidden: bool = False
    undo: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a step began: the device, and what the agent remembered."""

    device: Any
    agent: Any


@dataclass(slots=True, kw_only=True)
class Scene:
    """What the directed agent and the directed device of one episode share.

    Attributes:
        desk: what the person wants.
        feed: the screens.
        device: the one that acts, behind its safety rules.
        lock: held during every call of the device; whoever else looks at it takes the lock.
        tell: sends an event to the pages.
        phase: says what is being done.
        policy: the model, if there is one to listen to.
        confirm: what becomes of an action that needs a yes.
        preview_s: an action is shown so long before it is performed.
        repeats: why a person is asked before the agent goes on: it goes round in circles; or "".
        deed, mark: of the present turn.
        marks: one for each turn so far.
        checkpoints: one for each step of the chain, where the device can go back.
        taken: steps in the chain.
    """

    desk: Desk
    feed: ScreenFeed
    device: SafeDevice
    lock: asyncio.Lock
    tell: Callable[[Event], None]
    phase: Callable[[Phase], None]
    policy: ListenedPolicy | None = None
    confirm: ConfirmMode = ConfirmMode.ASK
    preview_s: float = 0.0
    repeats: str = ""
    deed: Deed = field(default_factory=lambda: Deed(kind=DeedKind.LOOK))
    mark: Mark = field(default_factory=Mark)
    marks: list[Mark] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    taken: int = 0

    @property
    def asks(self) -> bool:
        """Whether an action that needs a yes is shown to a person, who is there."""
        return self.confirm is ConfirmMode.ASK and self.desk.attended

    @property
    def undoable(self) -> int:
        """So many steps can be undone now, beside those that are about to be."""
        return max(0, len(self.checkpoints) - self.desk.undo)
