"""Stopping an agent at once: between looking and acting, not only between steps."""

from __future__ import annotations

import asyncio

from gui_agent.actions import ParseError
from gui_agent.agent import Agent, Decision, EpisodeContext
from gui_agent.device import ActionResult
from gui_agent.observation import Observation

INTERRUPTED = ParseError(reason="interrupted before the agent had decided", text="")
"""What a decision that was cut short asks for: nothing."""


class InterruptibleAgent:
    """Another agent, whose thinking can be cut short.

    `interrupt` ends a decision that is being made, and every later one: nothing is executed any more. The
    episode loop then ends by its own `should_stop`. The step that was cut short asks for `INTERRUPTED`; it
    is no deed of the agent.
    """

    def __init__(self, agent: Agent) -> None:
        """Act as `agent` does, until interrupted."""
        self._agent = agent
        self._interrupted = asyncio.Event()
        self._cut_short = False

    @property
    def interrupted(self) -> bool:
        """Whether somebody said stop."""
        return self._interrupted.is_set()

    def interrupt(self) -> None:
        """Stop now; saying it twice is fine."""
        self._interrupted.set()

    def start(self, context: EpisodeContext) -> None:
        """Begin an episode."""
        self._agent.start(context)

    async def decide(self, observation: Observation) -> Decision:
        """What the agent decides, or nothing if it is interrupted before it has."""
        thinking = asyncio.ensure_future(self._agent.decide(observation))
        waiting = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait({thinking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            thinking.cancel()  # nothing, if it is done
        if not self.interrupted:
            return thinking.result()
        # An error of the model that comes now is of no interest: nobody waits for its answer.
        await asyncio.gather(thinking, return_exceptions=True)
        self._cut_short = True
        return Decision(action=INTERRUPTED)

    async def record(self, result: ActionResult) -> None:
        """Tell the agent what became of its decision; of one that was cut short it never knows."""
        if not self._cut_short:
            await self._agent.record(result)
