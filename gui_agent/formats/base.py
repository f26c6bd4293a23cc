"""The protocol of a prompt format, and the values it exchanges with an agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gui_agent.actions import Action, ParseError
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.observation import Screenshot
from gui_agent.policy import ImagePart, Message, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One past step as the model is to remember it.

    Attributes:
        screenshot: what was shown; a format keeps only the last few.
        response: the assistant's words: its own, or the patch that stands in for them.
        goal: what was asked for at that step, where every step is asked for something of its own, as an
            actor is by its planner; empty if nobody knows. None is the goal of the whole prompt.
    """

    screenshot: Screenshot
    response: str
    goal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedResponse:
    """What a response means.

    Attributes:
        action: in pixels of the screenshot shown, or why there is none.
        thought: the reasoning part, None where the response has none.
        format_ok: thought and action are where the format wants them and the thought is not blank.
    """

    action: Action | ParseError
    thought: str | None
    format_ok: bool


class PromptFormat(Protocol):
    """Builds prompts and reads responses in the dialect of one family of models.

    `parse` never raises on a response, whatever it contains. `render` and `parse` are inverse up to
    rounding of coordinates.
    """

    @property
    def name(self) -> str:
        """The name under which the format is asked for."""
        ...

    @property
    def space(self) -> CoordinateSpace:
        """The unit in which the model writes points."""
        ...

    @property
    def action_space(self) -> frozenset[type]:
        """Types of action that this dialect can express."""
        ...

    def prompt(self, goal: str, history: Sequence[Turn], screenshot: Screenshot) -> Prompt:
        """The prompt for the next step."""
        ...

    def parse(self, text: str, geometry: ScreenGeometry) -> ParsedResponse:
        """Read a response; points are converted to pixels of the screenshot shown."""
        ...

    def render(self, action: Action, thought: str | None, geometry: ScreenGeometry) -> str:
        """Write an action as the assistant would; a thought of None is left out as the format says.

        Raises:
            ConfigError: the dialect has no word for this type of action.
        """
        ...

    def thought_prompt(
        self,
        goal: str,
        history: Sequence[Turn],
        screenshot: Screenshot,
        expert: Action,
        geometry: ScreenGeometry,
    ) -> Prompt:
        """Ask the policy to explain an expert's action (UI-S1, on-policy thought patch, A.10)."""
        ...

    def parse_thought(self, text: str) -> str:
        """The thought in a response to `thought_prompt`; empty if there is none."""
        ...


def keep_last_images(messages: Sequence[Message], limit: int) -> Prompt:
    """Drop all pictures but the last `limit`; words stay.

    Source: UI-S1, `num_image_limit` (reference vectors `history_slimming`).
    """
    remaining = limit
    kept: list[Message] = []
    for message in reversed(messages):
        parts = []
        for part in reversed(message.parts):
            if isinstance(part, ImagePart):
                if remaining <= 0:
                    continue
                remaining -= 1
            parts.append(part)
        kept.append(Message(role=message.role, parts=tuple(reversed(parts))))
    return tuple(reversed(kept))
