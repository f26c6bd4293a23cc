"""Semi-online performance (SOP): how far an agent gets along expert trajectories with its own history.

An episode is a replay without patches: it ends at the first action that does not match. PG is the mean
share of steps matched before that, TSR the share of trajectories matched to the end, and the score is
the mean of both.

Source: UI-S1, arXiv:2509.11543, appendix A.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.intervals import Interval, bootstrap_mean, wilson
from gui_agent.errors import DataError
from trajectories.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class SopTask:
    """How far one trajectory was followed.

    Attributes:
        matched: steps matched before the first mismatch.
        length: steps of the expert, at least 1.
    """

    matched: int
    length: int

    def __post_init__(self) -> None:
        if self.length < 1 or not 0 <= self.matched <= self.length:
            raise DataError(f"SOP: {self.matched} of {self.length} steps matched is impossible")

    @property
    def progress(self) -> float:
        """Share of the expert's steps."""
        return self.matched / self.length

    @property
    def success(self) -> bool:
        """Matched to the end."""
        return self.matched == self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class SopMetrics:
    """Figures of one agent on one set of trajectories; all shares are in [0, 1].

    Attributes:
        pg: progress, the mean share of steps before the first mismatch.
        tsr: task success rate.
        score: the mean of both.
        num_tasks: trajectories.
        matcher: name of the matcher; a SOP figure means nothing without it.
    """

    pg: Interval
    tsr: Interval
    score: Interval
    num_tasks: int
    matcher: str


def sop_metrics(tasks: Sequence[SopTask], *, matcher: str, seed: int = 0) -> SopMetrics:
    """PG and score with bootstrap intervals over tasks, TSR with Wilson's, which is none of width 0.

    Example: 5 of 5, 2 of 4 and 0 of 3 steps: PG 0.5, TSR 0.333, score 0.417.

    Raises:
        DataError: there are no tasks.
    """
    if not tasks:
        raise DataError("SOP needs at least one trajectory; nothing was evaluated")
    progress = [task.progress for task in tasks]
    success = [task.success for task in tasks]
    both = [(part + whole) / 2 for part, whole in zip(progress, success, strict=True)]
    return SopMetrics(
        pg=bootstrap_mean(progress, seed=seed),
        tsr=wilson(sum(success), len(tasks)),
        score=bootstrap_mean(both, seed=seed),
        num_tasks=len(tasks),
        matcher=matcher,
    )


def sop_task(trajectory: Trajectory, length: int) -> SopTask:
    """How far an episode followed its expert, by the matches recorded in it.

    Args:
        trajectory: a replay with patch budget 0.
        length: steps of the expert.

    Raises:
        DataError: the replay was patched or broke off, or is no replay.
    """
    if trajectory.stop.is_fault:
        raise DataError(
            f"trajectory {trajectory.episode_id!r} broke off ({trajectory.fault}); what is not known counts "
            "neither as a step nor as none: replay it again, or leave it out"
        )
    if trajectory.patches:
        raise DataError(
            f"trajectory {trajectory.episode_id!r} was patched {trajectory.patches} times; "
            "SOP is measured by a replay with patch_budget=0"
        )
    matched = 0
    for step in trajectory.steps:
        if step.match is None:
            raise DataError(
                f"trajectory {trajectory.episode_id!r}, step {step.index}: no match is recorded; "
                "SOP is measured on replays of expert trajectories"
            )
        if not step.match.exact_match:
            break
        matched += 1
    return SopTask(matched=matched, length=length)


def sop_from_replays(
    trajectories: Sequence[Trajectory], lengths: Sequence[int], *, matcher: str, seed: int = 0
) -> SopMetrics:
    """SOP of replayed episodes.

    Args:
        trajectories: replays with patch budget 0.
        lengths: number of steps of each one's expert, in the same order.
        matcher: name of the matcher that the replay used.
        seed: of the intervals.

    Raises:
        DataError: there are more or fewer lengths than episodes, or an episode is no such replay.
    """
    if len(trajectories) != len(lengths):
        raise DataError(f"SOP: {len(lengths)} expert lengths for {len(trajectories)} episodes")
    pairs = zip(trajectories, lengths, strict=True)
    tasks = [sop_task(trajectory, length) for trajectory, length in pairs]
    return sop_metrics(tasks, matcher=matcher, seed=seed)


def r_squared(x_N: Sequence[float], y_N: Sequence[float]) -> float:
    """R² of the least-squares line, the squared Pearson correlation; NaN where either is constant.

    Raises:
        DataError: the sequences differ in length or have fewer than two values.
    """
    if len(x_N) != len(y_N) or len(x_N) < 2:
        raise DataError(f"R² needs two sequences of equal length, at least 2; got {len(x_N)} and {len(y_N)}")
    x = np.asarray(x_N, dtype=np.float64) - np.mean(x_N)
    y = np.asarray(y_N, dtype=np.float64) - np.mean(y_N)
    spread = float((x @ x) * (y @ y))
    return float((x @ y) ** 2 / spread) if spread > 0 else float("nan")
