"""In which order the tasks of a training come: shuffled anew in every epoch, without those left out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any


class TaskOrder:
    """Walks through tasks by name, epoch after epoch.

    The order is a function of seed and epoch, so that a position is a few numbers and the names that the
    present epoch leaves out.
    """

    def __init__(self, names: Sequence[str], *, seed: int) -> None:
        """Walk through `names`: at least one, all distinct."""
        self._names = list(names)
        self._seed = seed
        self._drawn = 0
        self._begin(epoch=0, at=0, leave_out=())

    @property
    def epochs(self) -> float:
        """Epochs walked so far."""
        return self._epoch + (self._drawn - self._epoch_start) / len(self._order)

    def next(self, leave_out: Collection[str] = ()) -> int:
        """The index of the next task; moves on.

        Args:
            leave_out: names that an epoch which begins with this task does without. An epoch that would
                be empty leaves out none.
        """
        if self._drawn - self._epoch_start == len(self._order):
            self._begin(epoch=self._epoch + 1, at=self._drawn, leave_out=leave_out)
        self._drawn += 1
        return self._order[self._drawn - self._epoch_start - 1]

    @property
    def drawn(self) -> int:
        """Tasks drawn since the beginning."""
        return self._drawn

    @property
    def position(self) -> dict[str, Any]:
        """Where it stands, JSON-ready; one number as long as no epoch left anything out."""
        position: dict[str, Any] = {"drawn": self._drawn}
        if self._left_out or self._epoch_start != self._epoch * len(self._names):
            position |= {
                "epoch": self._epoch,
                "epoch_start": self._epoch_start,
                "left_out": sorted(self._left_out),
            }
        return position

    def restore(self, position: dict[str, Any]) -> None:
        """Go on from a position."""
        drawn = int(position["drawn"])
        # An epoch begins with its first task, not with the last one of the epoch before.
        epoch = int(position.get("epoch", max(0, drawn - 1) // len(self._names)))
        start = int(position.get("epoch_start", epoch * len(self._names)))
        self._begin(epoch=epoch, at=start, leave_out=position.get("left_out", ()))
        self._drawn = drawn

    def _begin(self, *, epoch: int, at: int, leave_out: Collection[str]) -> None:
        self._epoch = epoch
        self._epoch_start = at
        order = list(range(len(self._names)))
        random.Random(f"{self._seed}/{epoch}").shuffle(order)
        kept = [index for index in order if self._names[index] not in leave_out]
        self._order = kept or order
        self._left_out = frozenset(leave_out).intersection(self._names) if kept else frozenset()


def distinct_names(task_ids: Sequence[str]) -> list[str]:
    """The ids, numbered where several tasks share one, as recordings of one task do."""
    seen: Counter[str] = Counter()
    names = []
    for task_id in task_ids:
        seen[task_id] += 1
        names.append(task_id if seen[task_id] == 1 else f"{task_id}#{seen[task_id]}")
    return names
