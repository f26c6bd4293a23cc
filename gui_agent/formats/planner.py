"""The protocol of a planner format, and the values it exchanges with a hierarchical agent.

A planner looks at the screen and writes a *subgoal*: one instruction in words for the next step alone.
An actor turns it into an action.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gui_agent.actions import Action, ParseError
from gui_agent.observation import Screenshot
from gui_agent.policy import Prompt

_CONTROL_TOKEN: Final = re.compile(r"<\|[^<>|\s]{1,64}\|>")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerTurn:
    """One past step as the planner is to remember it.

    Attributes:
        screenshot: what was shown; a format keeps only the last few.
        response: the planner's words: its own, or the patch that stands in for them.
        executed: what the world performed; None if nothing.
        patched: somebody else chose `executed`: an expert, or a person.
        acted: the step in the actor's words, empty where it was not asked.
    """

    screenshot: Screenshot
    response: str
    executed: Action | None = None
    patched: bool = False
    acted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSubgoal:
    """What a planner's response means.

    Attributes:
        subgoal: one line of words, or why there is none: the planner's mistake, kept as data.
        reasoning: the reasoning part, None where the response has none.
        format_ok: reasoning and subgoal are where the format wants them.
    """

    subgoal: str | ParseError
    reasoning: str | None
    format_ok: bool


class PlannerFormat(Protocol):
    """Builds a planner's prompts and reads its responses.

    `parse` never raises on a response, whatever it contains. It undoes `render`, except for white space.
    """

    @property
    def name(self) -> str:
        """The name under which the format is asked for."""
        ...

    @property
    def max_subgoal_chars(self) -> int:
        """The longest subgoal that is handed to an actor, in characters."""
        ...

    def prompt(self, goal: str, history: Sequence[PlannerTurn], screenshot: Screenshot) -> Prompt:
        """The prompt for the next subgoal."""
        ...

    def parse(self, text: str) -> ParsedSubgoal:
        """Read a response."""
        ...

    def render(self, subgoal: str | None, reasoning: str | None) -> str:
        """Write a subgoal as the planner would; None where a patch came without one."""
        ...


def read_subgoal(words: str, *, max_chars: int, response: str) -> str | ParseError:
    """The subgoal in what stands in the place of one: one line, white space made single spaces.

    Args:
        words: where the format found the subgoal.
        max_chars: the longest that an actor is given.
        response: the planner's whole response, for the record.

    Returns:
        A `ParseError` if there are no words that can be seen, too many, or such that a tokenizer may read
        them as its own control tokens.
    """
    subgoal = " ".join(words.split())
    if all(unicodedata.category(character) in ("Cf", "Zs") for character in subgoal):  # or there is none
        return planner_error("the subgoal is empty", response)
    if len(subgoal) > max_chars:
        reason = f"the subgoal has {len(subgoal)} characters; an actor is given {max_chars} at most"
        return planner_error(reason, response)
    if found := _CONTROL_TOKEN.search(subgoal):
        return planner_error(f"the subgoal holds the control token {found.group()}", response)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in subgoal):
        return planner_error("the subgoal holds control characters", response)
    return subgoal


def carried_subgoal(planner_format: PlannerFormat, subgoal: str) -> str | ParseError:
    """A subgoal from data or a template, as an actor is given it once a planner has written it."""
    return planner_format.parse(planner_format.render(subgoal, None)).subgoal


def planner_error(reason: str, response: str) -> ParseError:
    """The planner's mistake: the actor is not asked, and nothing of the agent's is executed."""
    return ParseError(reason=f"planner: {reason}", text=response)
