"""Beside every step of the episode loop: what it was really, since not every turn of the loop is a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gui_agent.actions import ParseError
from gui_agent.agent import Candidate, CandidateKind, Decision
from gui_agent.policy import AgentRole
from trajectories.preferences import REJECTED
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.viewer.shown import action_label

UNDONE = "undone"
"""It was executed, and a person took it back."""


@dataclass(slots=True, kw_only=True)
class Mark:
    """What one turn of the episode loop was.

    Attributes:
        kept: it is a step; others only looked again, took steps back, or were cut short.
        undo: so many steps before it were taken back.
        rejected: proposals at this state that a person did not want.
        plan_s, act_s: seconds in which the planner and the actor answered.
        preview_s: seconds in which an action that waits for nobody was shown before it was performed.
        person_s: seconds in which a person was waited for before the action was performed.
        late_s: the same while it was being performed: a rule asked, and that time is not the device's.
    """

    kept: bool = True
    undo: int = 0
    rejected: tuple[Decision, ...] = ()
    plan_s: float = 0.0
    act_s: float = 0.0
    preview_s: float = 0.0
    person_s: float = 0.0
    late_s: float = 0.0


@dataclass(slots=True)
class Chain:
    """The steps that count, while an episode runs and after it.

    A step that was undone leaves the chain. What was decided at the state to which the device went back is a
    candidate of the step that is taken there instead, measured `undone`; later ones are only listed.
    """

    steps: list[Step] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    undone: list[dict[str, Any]] = field(default_factory=list)
    _taken_back: list[Step] = field(default_factory=list)

    def add(self, step: Step, mark: Mark) -> Step | None:
        """Take in one turn of the loop; returns the step as it is in the chain, or None if it is none."""
        if mark.undo:
            self._undo(min(mark.undo, len(self.steps)))
        if not mark.kept:
            return None
        execute_s = max(0.0, step.timings.execute_s - mark.late_s)
        step = replace(
            step,
            index=len(self.steps),
            candidates=(*step.candidates, *self._candidates(step)),
            timings=replace(step.timings, decide_s=mark.plan_s + mark.act_s, execute_s=execute_s),
        )
        self.steps.append(step)
        self.marks.append(mark)
        return step

    def _undo(self, number: int) -> None:
        taken_back = self.steps[len(self.steps) - number :]
        del self.steps[len(self.steps) - number :]
        del self.marks[len(self.marks) - number :]
        for step in taken_back:
            self.undone.append(
                {
                    "step": step.index,
                    "action": _words(step),
                    "by": step.source.value,
                    "thought": step.thought,
                    "subgoal": step.subgoal,
                }
            )
        self._taken_back.append(taken_back[0])

    def _candidates(self, step: Step) -> list[Candidate]:
        """What was decided and undone at this state before."""
        here = [old for old in self._taken_back if old.screenshot_sha256 == step.screenshot_sha256]
        self._taken_back.clear()
        taken = max((candidate.branch for candidate in step.candidates), default=0)
        found: list[Candidate] = []
        for number, old in enumerate(here, start=taken + 1):
            if not isinstance(old.requested, ParseError) and old.requested == old.executed:
                found += candidates_of(_decision(old), branch=number, measured={UNDONE: 1.0})
        return found


def chain_of(trajectory: Trajectory, marks: Sequence[Mark]) -> Chain:
    """The chain of an episode that has ended; there is a mark for each of its steps."""
    assert len(trajectory.steps) == len(marks), (len(trajectory.steps), len(marks))
    chain = Chain()
    for step, mark in zip(trajectory.steps, marks, strict=True):
        chain.add(step, mark)
    return chain


def with_chain(record: EpisodeRecord, chain: Chain, source: dict[str, Any]) -> EpisodeRecord:
    """The episode as it is stored."""
    trajectory = record.trajectory
    said = {**trajectory.source, **source}
    if chain.undone:
        said["undone"] = chain.undone
    return replace(record, trajectory=replace(trajectory, steps=tuple(chain.steps), source=said))


def candidates_of(decision: Decision, *, branch: int, measured: dict[str, float]) -> list[Candidate]:
    """The samples of a decision as candidates of a step; a decision without samples has none."""
    found = []
    for completion in decision.completions:
        planned = completion.role is AgentRole.PLANNER
        found.append(
            Candidate(
                kind=CandidateKind.SUBGOAL if planned else CandidateKind.ACTION,
                completion=completion,
                branch=branch,
                subgoal=decision.subgoal,
                action=None if planned else decision.action,
                format_ok=decision.format_ok,
                measured=dict(measured),
            )
        )
    return found


def with_rejected(decision: Decision, rejected: Sequence[Decision], *, performed: bool) -> Decision:
    """The decision with the rejected ones beside it as candidates, from branch 1 on.

    Args:
        decision: the last one.
        rejected: at the same state.
        performed: the decision itself is executed: it is then branch 0. Where a person's action is executed
            there is no branch 0.
    """
    if not rejected:
        return decision
    found = candidates_of(decision, branch=0, measured={}) if performed else []
    for branch, each in enumerate(rejected, start=1):
        found += candidates_of(each, branch=branch, measured={REJECTED: 1.0})
    return replace(decision, candidates=(*decision.candidates, *found))


def _decision(step: Step) -> Decision:
    assert step.requested is not None
    return Decision(
        action=step.requested,
        completions=step.completions,
        thought=step.thought,
        subgoal=step.subgoal,
        format_ok=step.format_ok,
    )


def _words(step: Step) -> str:
    asked = step.executed or step.requested
    if asked is None or isinstance(asked, ParseError):
        return "no action"
    return action_label(asked)
