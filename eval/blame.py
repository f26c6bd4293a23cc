"""Whose error was it: the planner's, or the actor's?

A wrong step of a hierarchical agent is the planner's if it wrote no usable subgoal, or one that does not
lead to what the expert did even when it is taken at its word (`gui_agent.literal`). If it does lead there,
or is the expert's own, and the step is wrong all the same, the error is the actor's. Where a subgoal cannot
be taken at its word, because the reader does not understand it or nothing on the screen has a name, nobody
is blamed.

Where the same steps were replayed with the expert's subgoals (`eval.oracles`), the second split needs no
reader: a wrong step that is right with the expert's subgoal is the planner's error, one that stays wrong
is the actor's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from eval.horizon import JudgedSteps
from eval.intervals import Interval, bootstrap_ratio
from eval.oracles import expert_subgoal, frame_labels
from gui_agent.errors import DataError
from gui_agent.literal import read_instruction
from gui_agent.policy import AgentRole
from trajectories.records import Step, Trajectory
from trajectories.replay import Matcher
from trajectories.replay_task import ReplayFrame, ReplayTask


class Blame(StrEnum):
    """What became of a step."""

    RIGHT = "right"
    PLANNER = "planner"
    """Wrong, and so was the subgoal, or there was none."""
    ACTOR = "actor"
    """Wrong, although the subgoal was right."""
    UNREAD = "unread"
    """Wrong, and nobody can tell what the subgoal meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedStep:
    """One step of a hierarchical agent.

    Attributes:
        right: it is what the expert did.
        plan_right: so is the subgoal, taken at its word; None where nobody can tell.
    """

    right: bool
    plan_right: bool | None

    @property
    def blame(self) -> Blame:
        """Whose error it is."""
        if self.right:
            return Blame.RIGHT
        if self.plan_right is None:
            return Blame.UNREAD
        return Blame.ACTOR if self.plan_right else Blame.PLANNER


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPlan:
    """The steps of one recording that were replayed, in time order."""

    trajectory_id: str
    steps: tuple[JudgedStep, ...]

    @property
    def first_error(self) -> Blame:
        """Who made the first wrong step; RIGHT if nobody did."""
        return next((step.blame for step in self.steps if not step.right), Blame.RIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSplit:
    """Errors of a hierarchical agent by role; shares in [0, 1], intervals draw whole trajectories.

    Attributes:
        right, planner, actor, unread: shares of all steps; they add up to 1.
        plan_accuracy: share of right subgoals among those that can be judged; None if there are none.
        action_accuracy: share of right steps among those with a right subgoal; None if there are none.
        rescued: share of all steps that are right although the subgoal, at its word, is not.
        first_errors: trajectories by who made the first wrong step, "right" where nobody did.
        num_steps, num_trajectories: what was judged.
        matcher: name of the matcher that judged actions and subgoals.
    """

    right: Interval
    planner: Interval
    actor: Interval
    unread: Interval
    plan_accuracy: Interval | None
    action_accuracy: Interval | None
    rescued: Interval
    first_errors: dict[str, int]
    num_steps: int
    num_trajectories: int
    matcher: str


def has_planner(trajectories: Sequence[Trajectory]) -> bool:
    """Whether any step was planned."""
    return any(
        item.role is AgentRole.PLANNER
        for trajectory in trajectories
        for step in trajectory.steps
        for item in step.completions
    )


def judge_plans(
    tasks: Sequence[ReplayTask], trajectories: Sequence[Trajectory], *, matcher: Matcher
) -> list[JudgedPlan]:
    """Judge every step and its subgoal, by recording.

    Args:
        tasks: what was replayed, recordings as a whole or each step by itself.
        trajectories: the episodes of a hierarchical agent, in the same order.
        matcher: judges what a subgoal at its word would do, as the replay judged the steps.

    Raises:
        DataError: the lengths differ, or a step was not compared with its expert.
    """
    if len(tasks) != len(trajectories):
        raise DataError(f"{len(tasks)} replay tasks for {len(trajectories)} episodes")
    steps: dict[str, list[JudgedStep]] = {}
    for task, trajectory in zip(tasks, trajectories, strict=True):
        known = steps.setdefault(task.trajectory_id, [])
        for step in trajectory.steps:
            if step.match is None:
                raise DataError(
                    f"trajectory {trajectory.episode_id!r}, step {step.index}: it was not compared with an "
                    "expert; errors are split on replays"
                )
            plan_right = _plan_right(step, task.frames[step.index], matcher)
            known.append(JudgedStep(right=step.match.exact_match, plan_right=plan_right))
    return [JudgedPlan(trajectory_id=name, steps=tuple(known)) for name, known in steps.items()]


def _plan_right(step: Step, frame: ReplayFrame, matcher: Matcher) -> bool | None:
    if step.subgoal is None:
        return False
    labels = frame_labels(frame)
    if _words(step.subgoal) == _words(expert_subgoal(frame.expert, labels) or ""):
        return True  # also where a reader would need more: two widgets of one name, prose, the end of a drag
    size = {"width_px": frame.width_px, "height_px": frame.height_px}
    reading = read_instruction(step.subgoal, labels or (), **size)
    if reading.action is None:
        return False if reading.understood and labels is not None else None
    return matcher.match(reading.action, frame.expert, frame.width_px, frame.height_px).exact_match


def _words(subgoal: str) -> str:
    return " ".join(subgoal.split()).casefold()


def error_split(plans: Sequence[JudgedPlan], *, matcher: str, seed: int = 0) -> ErrorSplit:
    """Count errors by role, with bootstrap intervals over trajectories.

    Raises:
        DataError: there are no steps.
    """
    plans = [plan for plan in plans if plan.steps]
    if not plans:
        raise DataError("an error split needs at least one step; nothing was evaluated")

    def share(part: _Test, whole: _Test = lambda step: True) -> Interval | None:
        parts = [sum(whole(step) and part(step) for step in plan.steps) for plan in plans]
        wholes = [sum(map(whole, plan.steps)) for plan in plans]
        return bootstrap_ratio(parts, wholes, seed=seed) if any(wholes) else None

    def of_all(part: _Test) -> Interval:
        found = share(part)
        assert found is not None, "every plan has a step"
        return found

    first = Counter(plan.first_error for plan in plans)
    return ErrorSplit(
        right=of_all(lambda step: step.blame is Blame.RIGHT),
        planner=of_all(lambda step: step.blame is Blame.PLANNER),
        actor=of_all(lambda step: step.blame is Blame.ACTOR),
        unread=of_all(lambda step: step.blame is Blame.UNREAD),
        plan_accuracy=share(lambda step: step.plan_right is True, lambda step: step.plan_right is not None),
        action_accuracy=share(lambda step: step.right, lambda step: step.plan_right is True),
        rescued=of_all(lambda step: step.right and step.plan_right is False),
        first_errors={blame.value: first[blame] for blame in Blame},
        num_steps=sum(len(plan.steps) for plan in plans),
        num_trajectories=len(plans),
        matcher=matcher,
    )


_Test = Callable[[JudgedStep], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgoalEffect:
    """What the expert's subgoals change, step by step; shares of all steps, intervals over trajectories.

    Attributes:
        right: right with the agent's own subgoals and with the expert's.
        planner: wrong, but right with the expert's subgoal.
        actor: wrong with both.
        lost: right, but wrong with the expert's subgoal.
        num_steps, num_trajectories: what was judged.
    """

    right: Interval
    planner: Interval
    actor: Interval
    lost: Interval
    num_steps: int
    num_trajectories: int


def subgoal_effect(
    own: Sequence[JudgedSteps], given: Sequence[JudgedSteps], *, seed: int = 0
) -> SubgoalEffect:
    """Split errors by what the actor does when it is given the expert's subgoals.

    Args:
        own: steps of the agent as it is, each replayed with the expert's history.
        given: the same with an oracle planner; recordings that it knows nothing about are left out.
        seed: of the intervals.

    Raises:
        DataError: no recording was replayed in both ways, or one has other steps.
    """
    before = {one.trajectory_id: one.right for one in own}
    pairs = [(before[one.trajectory_id], one.right) for one in given if one.trajectory_id in before]
    if not pairs or any(len(first) != len(second) for first, second in pairs):
        raise DataError("a comparison needs the same recordings with own and with the expert's subgoals")

    def share(was: bool, becomes: bool) -> Interval:
        parts = [
            sum((one, other) == (was, becomes) for one, other in zip(*pair, strict=True)) for pair in pairs
        ]
        return bootstrap_ratio(parts, [len(pair[0]) for pair in pairs], seed=seed)

    return SubgoalEffect(
        right=share(True, True),
        planner=share(False, True),
        actor=share(False, False),
        lost=share(True, False),
        num_steps=sum(len(pair[0]) for pair in pairs),
        num_trajectories=len(pairs),
    )
