"""What the rules say about one action, and what a person answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gui_agent.actions import Action


class Decision(StrEnum):
    """What may become of an action."""

    ALLOW = "allow"
    CONFIRM = "confirm"
    """Only if a person says yes."""
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyVerdict:
    """What the rules say about one action.

    Example: `SafetyVerdict(decision=Decision.CONFIRM, rule="deletion", hit='button "Delete all"',
    why="deletes or removes something ('delete')")`.

    Attributes:
        decision: allowed, needs a person's yes, or denied.
        rule: name of the rule that decided; "" if none met.
        hit: what the action hits, for people; "" if nothing.
        why: for people.
    """

    decision: Decision
    rule: str = ""
    hit: str = ""
    why: str = ""

    @property
    def sentence(self) -> str:
        """For people: `deletion: deletes or removes something ('delete'), on button "Delete all"`."""
        return f"{self.rule}: {self.why}" + (f", on {self.hit}" if self.hit else "")

    def to_dict(self) -> dict[str, str]:
        """JSON-ready."""
        return {"decision": self.decision.value, "rule": self.rule, "hit": self.hit, "why": self.why}


ALLOWED = SafetyVerdict(decision=Decision.ALLOW)
"""No rule has anything against it."""


class Consent(StrEnum):
    """What a person answers."""

    YES = "yes"
    """Do it, this once."""
    NO = "no"
    """Leave it undone; the agent goes on."""
    STOP = "stop"
    """Leave it undone and end the episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked.

    Attributes:
        action: what the agent wants to do, secrets as `{NAME}`.
        verdict: what the rules say about it.
        done: it has happened already, and the question is whether to go on from where it led.
    """

    action: Action
    verdict: SafetyVerdict
    done: bool = False


class Confirm(Protocol):
    """Asks somebody."""

    async def __call__(self, question: Question) -> Consent:
        """The answer; waits for it."""
        ...


async def always_stop(question: Question) -> Consent:
    """Nobody is there to be asked."""
    return Consent.STOP


async def always_yes(question: Question) -> Consent:
    """Whoever started this allows everything but what is denied."""
    return Consent.YES
