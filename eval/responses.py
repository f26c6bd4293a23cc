"""How many responses of a model were no actions: a success of zero may have no other cause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gui_agent.actions import ParseError
from gui_agent.policy import FinishReason
from trajectories.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCounts:
    """What became of the responses.

    Attributes:
        decisions: steps that an agent decided.
        unparsed: of these, steps whose response could not be read as an action.
        cut_off: completions that reached the limit of their length.
        first_reason: why the first of the unparsed could not be read; empty if all could.
    """

    decisions: int
    unparsed: int
    cut_off: int
    first_reason: str


def count_responses(trajectories: Iterable[Trajectory]) -> ResponseCounts:
    """Count over all steps of evaluated episodes."""
    steps = [step for trajectory in trajectories for step in trajectory.steps if step.requested is not None]
    unparsed = [step.requested for step in steps if isinstance(step.requested, ParseError)]
    completions = [item.completion for step in steps for item in step.completions]
    return ResponseCounts(
        decisions=len(steps),
        unparsed=len(unparsed),
        cut_off=sum(completion.finish_reason is FinishReason.LENGTH for completion in completions),
        first_reason=unparsed[0].reason if unparsed else "",
    )
