"""The shortest planner's dialect, for models of a few million parameters.

One user message: the picture first, then the goal, one line per earlier step, oldest first, and the
word `plan`, which tells the planner's prompt from an actor's where both are one model:

    <picture>turn on wifi
    Settings click 57 104
    plan

A response is one line, the subgoal: `tap Wi-Fi`, `type hello`, `press back`, `finish`. A step is
remembered by the actor's words (here with a thought), because they are what was done: an actor may well
do the right thing under a subgoal that says more than that, and a planner that reads its own words
believes them. A step that an expert took over is remembered as `patch` and the recorded subgoal, if there
is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gui_agent.errors import ConfigError
from gui_agent.formats.planner import ParsedSubgoal, PlannerTurn, planner_error, read_subgoal
from gui_agent.observation import Screenshot
from gui_agent.policy import ImagePart, Message, Prompt, Role, TextPart


class PlannerHistory(StrEnum):
    """Whose words a planner remembers a step by."""

    ACTED = "acted"
    """The actor's: what was done, or could not be read as an action."""
    PLANNED = "planned"
    """Its own: what it asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactPlannerOptions:
    """Choices within the dialect.

    Attributes:
        history_limit: earlier steps that are remembered, the latest ones; 0 remembers none.
        history: whose words a step is remembered by.
        mark_patches: the history says which steps an expert took over.
        max_subgoal_chars: the longest subgoal that an actor is given.
    """

    history_limit: int = 8
    history: PlannerHistory = PlannerHistory.ACTED
    mark_patches: bool = True
    max_subgoal_chars: int = 120

    def __post_init__(self) -> None:
        if self.history_limit < 0:
            raise ConfigError(f"history_limit is {self.history_limit}; it must be 0 or more")
        if self.max_subgoal_chars < 1:
            raise ConfigError(f"max_subgoal_chars is {self.max_subgoal_chars}; expected 1 or more")


class CompactPlannerFormat:
    """One line per step; see the module."""

    name = "compact"

    def __init__(self, options: CompactPlannerOptions | None = None) -> None:
        """Fix the options; None takes the defaults."""
        self.options = options or CompactPlannerOptions()

    @property
    def max_subgoal_chars(self) -> int:
        """The longest subgoal that an actor is given."""
        return self.options.max_subgoal_chars

    def prompt(self, goal: str, history: Sequence[PlannerTurn], screenshot: Screenshot) -> Prompt:
        """One user message: picture, goal, earlier steps line by line, `plan`."""
        limit = self.options.history_limit
        past = history[-limit:] if limit else ()
        lines = [goal, *(self._line(turn) for turn in past), "plan"]
        text = "".join(" ".join(line.split()) + "\n" for line in lines)
        parts = (ImagePart(screenshot=screenshot), TextPart(text=text))
        return (Message(role=Role.USER, parts=parts),)

    def parse(self, text: str) -> ParsedSubgoal:
        """Read a line."""
        line = text.strip()
        if len(line.splitlines()) > 1:
            error = planner_error("expected a subgoal of one line", text)
            return ParsedSubgoal(subgoal=error, reasoning=None, format_ok=False)
        subgoal = read_subgoal(line, max_chars=self.max_subgoal_chars, response=text)
        return ParsedSubgoal(subgoal=subgoal, reasoning=None, format_ok=isinstance(subgoal, str))

    def render(self, subgoal: str | None, reasoning: str | None) -> str:
        """The subgoal as one line, empty if there is none; the dialect has no place for reasoning."""
        return " ".join((subgoal or "").split())

    def _line(self, turn: PlannerTurn) -> str:
        if turn.patched:
            words = turn.response or self._acted(turn)
            return f"patch {words}" if self.options.mark_patches else words
        return self._acted(turn) or turn.response

    def _acted(self, turn: PlannerTurn) -> str:
        return turn.acted if self.options.history is PlannerHistory.ACTED else ""
