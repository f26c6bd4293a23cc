"""Self-conditioning: does an agent err more because its history says that it has erred?

Each step of a recording is replayed by itself. What is shown is right, but of the earlier steps that the
agent remembers each is replaced with a chosen probability by a wrong one: another widget of that step's
screen, or where there is none another action of the same data. A given step is wrong or right in the
history of all later ones alike, and one that is wrong at some rate is wrong, in the same way, at every
higher rate.

Source: The Illusion of Diminishing Returns, arXiv:2509.09677 (self-conditioning on errors in the context).
What a wrong step of a device is, is this project's definition.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from eval.horizon import JudgedSteps
from eval.intervals import Interval, bootstrap_ratio
from gui_agent.actions import Click, Finish
from gui_agent.device import ExpertAction
from gui_agent.errors import ConfigError, DataError
from gui_agent.instructions import instruction_for
from trajectories.replay import Matcher
from trajectories.replay_task import ReplayFrame, ReplayTask

_DRAWS: Final = 32
"""Actions of the data that are tried as wrong ones before a step is left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptedHistories:
    """Tasks whose agent will remember steps that were not taken.

    Attributes:
        tasks: as given, in the same order, but for the expert actions of earlier frames.
        remembered: earlier steps of all tasks together.
        wrong: of these, replaced by a wrong one.
        without_alternative: of these, chosen to be wrong, but there was nothing else to put there.
    """

    tasks: tuple[ReplayTask, ...]
    remembered: int
    wrong: int
    without_alternative: int


def corrupt_histories(
    tasks: Sequence[ReplayTask], rate: float, *, matcher: Matcher, seed: int = 0
) -> CorruptedHistories:
    """Make each remembered step wrong with probability `rate`.

    Args:
        tasks: single steps with the expert's earlier steps (`ReplayTask.single_steps`).
        rate: in [0, 1]; at 0 the tasks stay as they are.
        matcher: says which actions are not what the expert did.
        seed: of the choice; equal seeds give equal histories.

    Raises:
        ConfigError: the rate is no probability.
    """
    if not 0 <= rate <= 1:
        raise ConfigError(f"a history error rate is a probability from 0 to 1, not {rate}")
    writer = _Writer(rate=rate, matcher=matcher, seed=seed, pool=_pool(tasks), written={})
    changed = tuple(writer.task(task) for task in tasks)
    return CorruptedHistories(
        tasks=changed,
        remembered=sum(len(task.earlier) for task in tasks),
        wrong=sum(
            before is not after
            for task, new in zip(tasks, changed, strict=True)
            for before, after in zip(task.earlier, new.earlier, strict=True)
        ),
        without_alternative=sum(
            writer.stuck(task, index) for task in tasks for index in range(len(task.earlier))
        ),
    )


_Pool = Mapping[tuple[int, int], Sequence[ExpertAction]]
"""Actions of the data by the size of the screen they were made on."""


def _pool(tasks: Sequence[ReplayTask]) -> _Pool:
    pool: dict[tuple[int, int], dict[ExpertAction, None]] = {}
    for task in tasks:
        for frame in task.frames:
            if not isinstance(frame.expert.action, Finish):  # nobody goes on after that
                pool.setdefault((frame.width_px, frame.height_px), {})[frame.expert] = None
    return {size: list(actions) for size, actions in pool.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """Rewrites histories; a step of a recording is written once."""

    rate: float
    matcher: Matcher
    seed: int
    pool: _Pool
    written: dict[tuple[str, int], ReplayFrame | None]

    def task(self, task: ReplayTask) -> ReplayTask:
        earlier = tuple(self._frame(task, index) or frame for index, frame in enumerate(task.earlier))
        return replace(task, earlier=earlier)

    def stuck(self, task: ReplayTask, index: int) -> bool:
        """Whether the step was to be wrong and is not."""
        return self._chosen(task, index) and self._frame(task, index) is None

    def _frame(self, task: ReplayTask, index: int) -> ReplayFrame | None:
        """The wrong step, or None where it stays right."""
        name = (task.trajectory_id, index)
        if name not in self.written:
            self.written[name] = self._wrong(task, index) if self._chosen(task, index) else None
        return self.written[name]

    def _chosen(self, task: ReplayTask, index: int) -> bool:
        # The same number at every rate: what is wrong at a low one is wrong at a higher one too.
        return random.Random(f"chosen/{self.seed}/{task.trajectory_id}/{index}").random() < self.rate

    def _wrong(self, task: ReplayTask, index: int) -> ReplayFrame | None:
        frame = task.earlier[index]
        rng = random.Random(f"wrong/{self.seed}/{task.trajectory_id}/{index}")
        for candidate in (*_other_widgets(frame, rng), *self._other_actions(frame, rng)):
            match = self.matcher.match(candidate.action, frame.expert, frame.width_px, frame.height_px)
            if not match.exact_match:
                return replace(frame, expert=candidate)
        return None

    def _other_actions(self, frame: ReplayFrame, rng: random.Random) -> Sequence[ExpertAction]:
        pool = self.pool.get((frame.width_px, frame.height_px), ())
        return rng.sample(pool, min(_DRAWS, len(pool)))


def _other_widgets(frame: ReplayFrame, rng: random.Random) -> list[ExpertAction]:
    """Taps on the widgets of the screen in random order, in words such as the expert's."""
    widgets = [element for element in frame.elements or () if element.clickable]
    rng.shuffle(widgets)
    found = []
    for widget in widgets:
        x, y = widget.box.center
        action = Click(x=x, y=y)
        found.append(
            ExpertAction(
                action=action,
                thought=None if frame.expert.thought is None else widget.name,
                subgoal=None if frame.expert.subgoal is None else instruction_for(action, widget.name),
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryErrorPoint:
    """Step accuracy at one rate of errors in the history; intervals draw whole trajectories.

    Attributes:
        rate: with which remembered steps were made wrong.
        wrong_share: share of remembered steps that are wrong.
        without_alternative: remembered steps that should be wrong, but nothing else could be put there.
        accuracy: share of right steps among those that have a history.
        change: accuracy minus that of the same steps with a right history.
        num_steps: steps that have a history.
    """

    rate: float
    wrong_share: float
    without_alternative: int
    accuracy: Interval
    change: Interval
    num_steps: int


def history_error_point(
    histories: CorruptedHistories,
    judged: Sequence[JudgedSteps],
    baseline: Sequence[JudgedSteps],
    *,
    rate: float,
    seed: int = 0,
) -> HistoryErrorPoint:
    """Step accuracy with wrong histories, beside that with right ones.

    Args:
        histories: what was replayed.
        judged: which steps were right.
        baseline: the same steps with right histories, in the same order.
        rate: of errors, as asked for.
        seed: of the intervals.

    Raises:
        DataError: the steps are others than those of the baseline, or none has a history.
    """
    names = [(one.trajectory_id, len(one.right)) for one in judged]
    if names != [(one.trajectory_id, len(one.right)) for one in baseline]:
        raise DataError("self-conditioning compares the same steps with right and with wrong histories")
    later = [len(one.right) - 1 for one in judged]
    if not any(later):
        raise DataError(
            "self-conditioning needs steps that have a history; every trajectory given has a single step"
        )
    right = [sum(one.right[1:]) for one in judged]
    gained = [now - sum(before.right[1:]) for now, before in zip(right, baseline, strict=True)]
    return HistoryErrorPoint(
        rate=rate,
        wrong_share=histories.wrong / histories.remembered,
        without_alternative=histories.without_alternative,
        accuracy=bootstrap_ratio(right, later, seed=seed),
        change=bootstrap_ratio(gained, later, seed=seed),
        num_steps=sum(later),
    )
