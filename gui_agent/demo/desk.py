"""What the person wants: the desk on which the page lays it and from which the directed agent takes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field

from gui_agent.actions import Action
from gui_agent.demo.commands import Mode
from gui_agent.safety.verdict import SafetyVerdict


@dataclass(slots=True, kw_only=True)
class HumanAct:
    """An action of the person.

    Attributes:
        action: in pixels of the frame.
        frame: number of the frame that it was pointed out on; 0 for none.
        thought: the person's reason.
        looked: the screen was looked at again for its sake.
    """

    action: Action
    frame: int = 0
    thought: str = ""
    looked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """Perform the proposal.

    Attributes:
        verdict: what a person has said yes to, if a rule wanted a yes.
        waited: a person was waited for, and the screen may have changed meanwhile.
        forbidden: nobody was asked, for a rule denies it; the device is to hold it back.
    """

    verdict: SafetyVerdict | None = None
    waited: bool = False
    forbidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """Perform this instead."""

    act: HumanAct


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Ask the agent again."""


Answer = Approved | Edited | Rejected


@dataclass(slots=True)
class Desk:
    """What the person wants now. Whoever changes a field calls `touch`.

    Attributes:
        mode: whether each action is approved.
        paused: the agent is not asked, and a proposal that is there waits.
        single: one step of the agent although paused.
        takeover: the person acts.
        hint: words for the agent's prompts, or "".
        acts: the person's actions, oldest first.
        undo: so many steps are to be undone.
        proposal: number of the proposal that waits for an answer; 0 for none.
        answer: to that proposal.
        attended: somebody is there who can answer.
        stopping: the episode is to end; no further question is answered.
        failure: why the model gave no answer and the episode is paused, or "".
    """

    mode: Mode = Mode.AUTO
    paused: bool = False
    single: bool = False
    takeover: bool = False
    hint: str = ""
    acts: deque[HumanAct] = field(default_factory=deque)
    undo: int = 0
    proposal: int = 0
    answer: Answer | None = None
    attended: bool = True
    stopping: bool = False
    failure: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def holds(self) -> bool:
        """Whether the agent must not be asked."""
        return self.takeover or (self.paused and not self.single)

    @property
    def breaks_in(self) -> bool:
        """Whether the person wants something else than what the agent is about to do."""
        return bool(self.undo or self.acts or self.takeover)

    def begin(self, *, takeover: bool) -> None:
        """Clear what belonged to the last episode; the mode stays."""
        self.paused = self.single = self.stopping = False
        self.takeover, self.hint, self.undo, self.failure = takeover, "", 0, ""
        self.acts.clear()
        self.proposal, self.answer = 0, None

    def touch(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, timeout_s: float | None = None) -> None:
        """Wait until something is touched, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()

    def step_taken(self) -> None:
        """A step of the agent is about to be performed; a single one is then over."""
        if self.single:
            self.single, self.paused = False, True
