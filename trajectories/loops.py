"""Noticing that an agent goes round in circles."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gui_agent.actions import Action, ParseError
from gui_agent.errors import ConfigError
from trajectories.records import Step


@dataclass(slots=True)
class LoopDetector:
    """Counts how often the same was asked for in the same state.

    A longer circle (open, back, open, back) is found as well, because each of its parts comes again. What
    could not be read counts as the same request, whatever it said.

    Attributes:
        limit: the same request in the same state so many times is a loop; 0 never finds one.
    """

    limit: int
    _seen: Counter[tuple[str, Action | None]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.limit < 0 or self.limit == 1:
            raise ConfigError(f"loop limit is {self.limit}; expected 0 (never) or 2 and more")

    def closes(self, step: Step) -> bool:
        """Count a step; true if it is one too many.

        The state is the device's state key, or the picture where the device cannot tell.
        """
        state = step.state_key_before or step.screenshot_sha256
        if not self.limit or state is None:
            return False
        request = None if isinstance(step.requested, ParseError) else step.requested
        self._seen[state, request] += 1
        return self._seen[state, request] >= self.limit
