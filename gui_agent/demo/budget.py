"""What an episode of a demo may use, and has used: waiting for a person costs nothing."""

from __future__ import annotations

from dataclasses import dataclass

from gui_agent.demo.asking import Answered
from gui_agent.demo.events import BudgetEvent
from gui_agent.device import StopReason
from gui_agent.safety.budget import Budget


@dataclass(slots=True, kw_only=True)
class Spent:
    """What one episode has used.

    Attributes:
        meter: counts tokens and money of the model that acts, and has their limits.
        max_steps: steps at most, undone ones counted.
        time_limit_s: seconds of the agent and the device together; 0 is no limit.
        steps: taken so far, undone ones counted.
        agent_s: seconds that the agent and the device have worked.
        requests: answers of models so far.
    """

    meter: Budget
    max_steps: int
    time_limit_s: float = 0.0
    steps: int = 0
    agent_s: float = 0.0
    requests: int = 0

    def answered(self, answered: Answered) -> None:
        """Count a request."""
        self.requests += 1

    @property
    def ended_by(self) -> StopReason | None:
        """Which limit is reached, if one is."""
        if self.steps >= self.max_steps:
            return StopReason.STEP_LIMIT
        if self.time_limit_s and self.agent_s >= self.time_limit_s:
            return StopReason.TIME_LIMIT
        return self.meter.spent_up

    @property
    def event(self) -> BudgetEvent:
        """The same for the page."""
        meter = self.meter
        has_price = bool(meter.price_input or meter.price_output)
        return BudgetEvent(
            steps=self.steps,
            max_steps=self.max_steps,
            agent_s=round(self.agent_s, 3),
            time_limit_s=self.time_limit_s,
            requests=self.requests,
            prompt_tokens=meter.tokens_read,
            completion_tokens=meter.tokens_written,
            max_tokens=meter.max_tokens,
            is_estimated=meter.is_estimated,
            cost=round(meter.cost, 6) if has_price else None,
            max_cost=meter.max_cost,
        )
