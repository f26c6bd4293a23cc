"""Two evaluations on the same instances, compared instance by instance.

What one instance is to both models cancels out, so that far fewer episodes tell a gain from luck than two
separate intervals would need.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from eval.intervals import Interval, bootstrap_mean, wilson
from gui_agent.device import Verdict
from gui_agent.errors import DataError
from trajectories.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedEpisodes:
    """The episodes of two models on one list of instances, such as before and after a training."""

    before: Sequence[Trajectory]
    after: Sequence[Trajectory]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedChange:
    """What became of the instances.

    Attributes:
        before, after: success on the instances that both scored, with Wilson's 95 % interval over episodes.
        change: mean of success after minus success before, in [-1, 1], with a bootstrap interval that draws
            whole instances, whatever number of pairs of models met each.
        gained: pairs that failed before and succeeded after.
        lost: pairs that succeeded before and failed after.
        p_value: of McNemar's exact test (two-sided) that gains and losses are equally likely; 1 if there are
            neither. It takes the pairs as independent.
        unpaired: episodes left out, because they or their counterparts were not scored or not there.
    """

    before: Interval
    after: Interval
    change: Interval
    gained: int
    lost: int
    p_value: float
    unpaired: int


def paired_change(pairs: Sequence[PairedEpisodes], *, seed: int = 0) -> PairedChange:
    """Compare models in pairs, one pair for each seed of a training, say.

    Args:
        pairs: at least one, each on its own or on the same instances as the others.
        seed: of the bootstrap.

    Raises:
        DataError: an instance stands twice in one evaluation, or no instance was scored by both.
    """
    changes: dict[str, list[int]] = defaultdict(list)
    before: list[bool] = []
    after: list[bool] = []
    unpaired = 0
    for pair in pairs:
        first, second = _by_task(pair.before), _by_task(pair.after)
        unpaired += len(pair.before) + len(pair.after) - 2 * len(first.keys() & second.keys())
        for task in sorted(first.keys() & second.keys()):
            before.append(first[task])
            after.append(second[task])
            changes[task].append(second[task] - first[task])
    if not before:
        raise DataError("no instance was scored by both; compare evaluations of the same suite and instances")
    every = [change for task in changes.values() for change in task]
    gained, lost = every.count(1), every.count(-1)
    # An instance that met more pairs would count more: all meet as many, unless episodes were unscored.
    over_tasks = bootstrap_mean([fmean(task) for task in changes.values()], seed=seed)
    return PairedChange(
        before=wilson(sum(before), len(before)),
        after=wilson(sum(after), len(after)),
        change=over_tasks,
        gained=gained,
        lost=lost,
        p_value=mcnemar_p(gained, lost),
        unpaired=unpaired,
    )


def mcnemar_p(gained: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test: the sign test over the pairs that differ.

    Source: Q. McNemar, Psychometrika 12, 1947.
    """
    differing = gained + lost
    tail = sum(math.comb(differing, count) for count in range(min(gained, lost) + 1))
    p_value: float = 2 * tail / 2**differing
    return min(1.0, p_value)


def _by_task(episodes: Sequence[Trajectory]) -> dict[str, bool]:
    """Success by instance, of those that were scored."""
    seen = {episode.task_id for episode in episodes}
    if len(seen) != len(episodes):
        raise DataError(
            f"{len(episodes)} episodes on {len(seen)} instances: which of them belong together is not known; "
            "give an evaluation with one episode for each"
        )
    return {
        episode.task_id: episode.succeeded
        for episode in episodes
        if episode.outcome.verdict is not Verdict.UNSCORED
    }
