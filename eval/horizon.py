"""How long an agent stays right: accuracy by depth, and the length of task that follows from it.

Depth counts the steps of a recording from 1. *Step accuracy* at a depth is the share of right steps
among the trajectories that have this depth. *Prefix accuracy* is the share of all trajectories without
a wrong step up to it; a trajectory that is shorter counts with its last step, so that the figure never
rises and ends at the share of trajectories that are right as a whole.

The *horizon* at a rate of success s is the number of steps that an agent of constant step accuracy p
gets through with probability s: p ** n = s, so n = ln s / ln p.

Source: The Illusion of Diminishing Returns, arXiv:2509.09677 (step and prefix accuracy, horizon length).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from eval.intervals import Interval, bootstrap_ratio, wilson
from gui_agent.errors import DataError
from trajectories.records import Trajectory
from trajectories.replay_task import ReplayTask

SUCCESS_RATES: Final = (0.5, 0.8, 0.95)
"""Rates of success for which reports give a horizon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSteps:
    """Which steps of one recording were right, from its first to its last; at least one.

    (True, False, True): the second of three steps was wrong.
    """

    trajectory_id: str
    right: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not self.right:
            raise DataError(f"trajectory {self.trajectory_id!r}: no step was judged")

    @property
    def marks(self) -> str:
        """One sign for each step, as reports keep them: "101"."""
        return "".join(str(int(right)) for right in self.right)

    @classmethod
    def from_marks(cls, trajectory_id: str, marks: str) -> JudgedSteps:
        """What `marks` were written of."""
        return cls(trajectory_id=trajectory_id, right=tuple(mark == "1" for mark in marks))

    def prefix_right(self, depth: int) -> bool:
        """Whether no step up to this depth (from 1) is wrong."""
        return all(self.right[:depth])


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """Steps that are passed with probability `success`; `math.inf` where no step was wrong."""

    success: float
    steps: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthAccuracy:
    """Figures at one depth; shares in [0, 1], intervals over trajectories.

    Attributes:
        depth: from 1.
        step: step accuracy, among the trajectories that are so long.
        prefix: prefix accuracy, of all trajectories.
        if_constant: the prefix accuracy there would be if every step of every trajectory were right
            independently with the mean step accuracy.
        horizon: for the first of the rates of success, with the step accuracy at this depth alone.
    """

    depth: int
    step: Interval
    prefix: Interval
    if_constant: float
    horizon: Horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonMetrics:
    """Long-horizon figures of one agent on one set of recordings.

    Attributes:
        step_accuracy: share of right steps; the interval draws whole trajectories.
        depths: by depth, from 1 to the longest trajectory.
        horizons: for several rates of success, with the interval of `step_accuracy`.
        num_trajectories, num_steps: what was judged.
        matcher: name of the matcher that judged; the figures mean nothing without it.
    """

    step_accuracy: Interval
    depths: tuple[DepthAccuracy, ...]
    horizons: tuple[Horizon, ...]
    num_trajectories: int
    num_steps: int
    matcher: str

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; a horizon without bound is None, as JSON has no infinity."""
        data = asdict(self)
        for horizon in (*data["horizons"], *(depth["horizon"] for depth in data["depths"])):
            for name in ("steps", "low", "high"):
                if math.isinf(horizon[name]):
                    horizon[name] = None
        return data


def horizon_length(accuracy: float, success: float = 0.5) -> float:
    """How many steps in a row are all right with probability `success`: ln s / ln p.

    Args:
        accuracy: of every single step, in [0, 1].
        success: strictly between 0 and 1.

    Returns:
        0 for an accuracy of 0 (no step is passed), infinity for one of 1. Half a chance of 90 % steps
        lasts for 6.6 of them.

    Raises:
        ValueError: an argument is out of range.

    Source: arXiv:2509.09677, horizon length under constant step accuracy.
    """
    if not 0 <= accuracy <= 1 or not 0 < success < 1:
        raise ValueError(
            f"accuracy={accuracy}, success={success}: expected an accuracy in [0, 1] and a success strictly "
            "between 0 and 1"
        )
    if accuracy in (0, 1):
        return math.inf if accuracy else 0.0
    return math.log(success) / math.log(accuracy)


def judged_steps(tasks: Sequence[ReplayTask], trajectories: Sequence[Trajectory]) -> list[JudgedSteps]:
    """Which steps of each recording were right, from its replays.

    Args:
        tasks: what was replayed: recordings as a whole, or each step by itself.
        trajectories: the episodes, in the same order. Those of a whole recording must go to its end: replay
            with patch_budget None.

    Returns:
        One entry for every recording, in order of appearance.

    Raises:
        DataError: the lengths differ, a step was not compared with its expert, or steps are missing.
    """
    if len(tasks) != len(trajectories):
        raise DataError(f"{len(tasks)} replay tasks for {len(trajectories)} episodes")
    right: dict[str, dict[int, bool]] = {}
    lengths: dict[str, int] = {}
    for task, trajectory in zip(tasks, trajectories, strict=True):
        known = right.setdefault(task.trajectory_id, {})
        first = len(task.earlier)
        lengths[task.trajectory_id] = max(lengths.get(task.trajectory_id, 0), first + len(task.frames))
        for step in trajectory.steps:
            if step.match is None:
                raise DataError(
                    f"trajectory {trajectory.episode_id!r}, step {step.index}: it was not compared with an "
                    "expert; long-horizon figures are measured on replays"
                )
            known[first + step.index] = step.match.exact_match
    for name, known in right.items():
        if sorted(known) != list(range(lengths[name])):
            raise DataError(
                f"recording {name!r}: {len(known)} of its {lengths[name]} steps were judged; replay it with "
                "patch_budget=None, or each of its steps by itself"
            )
    return [
        JudgedSteps(trajectory_id=name, right=tuple(known[depth] for depth in range(lengths[name])))
        for name, known in right.items()
    ]


def horizon_metrics(
    judged: Sequence[JudgedSteps],
    *,
    matcher: str,
    seed: int = 0,
    success_rates: Sequence[float] = SUCCESS_RATES,
) -> HorizonMetrics:
    """Step accuracy, prefix accuracy and horizons with intervals over trajectories.

    Example: right steps (1, 1, 0) and (1,): step accuracy 3/4; by depth 1, 1, 0; prefix accuracy 1, 1, 1/2.

    Args:
        judged: of every trajectory.
        matcher: name of the matcher that judged.
        seed: of the intervals.
        success_rates: each strictly between 0 and 1, at least one; that of the horizon by depth comes first.

    Raises:
        DataError: there are no trajectories.
    """
    if not judged:
        raise DataError("long-horizon figures need at least one trajectory; nothing was evaluated")
    accuracy = bootstrap_ratio(
        [sum(one.right) for one in judged], [len(one.right) for one in judged], seed=seed
    )
    longest = max(len(one.right) for one in judged)
    return HorizonMetrics(
        step_accuracy=accuracy,
        depths=tuple(
            _at_depth(judged, depth, accuracy.value, success_rates[0]) for depth in range(1, longest + 1)
        ),
        horizons=tuple(_horizon(accuracy, success) for success in success_rates),
        num_trajectories=len(judged),
        num_steps=sum(len(one.right) for one in judged),
        matcher=matcher,
    )


def _at_depth(judged: Sequence[JudgedSteps], depth: int, accuracy: float, success: float) -> DepthAccuracy:
    # One step of each trajectory, right or wrong: Wilson's interval, which is none of width 0.
    right = [one.right[depth - 1] for one in judged if len(one.right) >= depth]
    step = wilson(sum(right), len(right))
    lengths = [min(depth, len(one.right)) for one in judged]
    return DepthAccuracy(
        depth=depth,
        step=step,
        prefix=wilson(sum(one.prefix_right(depth) for one in judged), len(judged)),
        if_constant=sum(accuracy**length for length in lengths) / len(lengths),
        horizon=_horizon(step, success),
    )


def _horizon(accuracy: Interval, success: float) -> Horizon:
    """The horizon rises with the accuracy, so the bounds of one are the bounds of the other."""
    steps, low, high = (
        horizon_length(share, success) for share in (accuracy.value, accuracy.low, accuracy.high)
    )
    return Horizon(success=success, steps=steps, low=low, high=high)
