"""Step metrics with the expert's history, as AndroidControl and GUI Odyssey are reported.

TM is the share of steps with the right type of action, GR the share of right steps among those at which
the expert points (click, double click, long press), SR the share of steps that are right as a whole.

Source: UI-S1, arXiv:2509.11543, section 4 (TM, GR, SR).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.intervals import Interval, bootstrap_ratio
from gui_agent.actions import Click, DoubleClick, LongPress, action_name
from gui_agent.errors import DataError
from trajectories.records import Step, Trajectory

_GROUNDED = (Click, DoubleClick, LongPress)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """Figures over steps; the intervals draw whole trajectories.

    Attributes:
        type_match: TM.
        grounding: GR; None if no step points.
        success: SR.
        num_steps: steps judged.
        num_grounded: steps whose expert action points.
        by_action: (right steps, steps) for each type of expert action.
        matcher: name of the matcher.
    """

    type_match: Interval
    grounding: Interval | None
    success: Interval
    num_steps: int
    num_grounded: int
    by_action: dict[str, tuple[int, int]]
    matcher: str


def step_metrics(trajectories: Iterable[Trajectory], *, matcher: str, seed: int = 0) -> StepMetrics:
    """TM, GR and SR of steps that were compared with an expert.

    Args:
        trajectories: replayed episodes, or single-step episodes; those of one task (equal task id up to
            "/step-") are drawn together.
        matcher: name of the matcher that the replay used.
        seed: of the intervals.

    Raises:
        DataError: a step was not compared, or there are no steps.
    """
    counts: dict[str, list[int]] = {}
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for trajectory in trajectories:
        task = trajectory.task_id.partition("/step-")[0]
        row = counts.setdefault(task, [0, 0, 0, 0, 0])
        for step in trajectory.steps:
            judged = _judge(trajectory, step)
            row[:] = [total + part for total, part in zip(row, judged.counts, strict=True)]
            seen[judged.name] += 1
            right[judged.name] += judged.exact
    steps, types, exacts, grounded, points = zip(*counts.values(), strict=True) if counts else [()] * 5
    if not sum(steps):
        raise DataError("step metrics need at least one step; nothing was evaluated")
    return StepMetrics(
        type_match=bootstrap_ratio(types, steps, seed=seed),
        grounding=bootstrap_ratio(points, grounded, seed=seed) if sum(grounded) else None,
        success=bootstrap_ratio(exacts, steps, seed=seed),
        num_steps=sum(steps),
        num_grounded=sum(grounded),
        by_action={name: (right[name], seen[name]) for name in sorted(seen)},
        matcher=matcher,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    name: str
    type: bool
    exact: bool
    grounded: bool

    @property
    def counts(self) -> Sequence[int]:
        """Steps, right types, right steps, grounded steps, right points."""
        return [1, self.type, self.exact, self.grounded, self.grounded and self.exact]


def _judge(trajectory: Trajectory, step: Step) -> _Judged:
    if step.match is None or step.expected is None:
        raise DataError(
            f"trajectory {trajectory.episode_id!r}, step {step.index}: it was not compared with an expert; "
            "step metrics are measured on replays"
        )
    return _Judged(
        name=action_name(step.expected.action),
        type=step.match.type_match,
        exact=step.match.exact_match,
        grounded=isinstance(step.expected.action, _GROUNDED),
    )
