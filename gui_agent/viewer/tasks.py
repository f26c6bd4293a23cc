"""Tasks and how often each run solves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trajectories.viewer.index import EpisodeEntry, Listing


@dataclass(slots=True)
class Tally:
    """Episodes of one task in one run; unscored ones are in no rate."""

    episodes: int = 0
    scored: int = 0
    solved: int = 0

    @property
    def rate(self) -> float | None:
        """Share of scored episodes that succeed."""
        return self.solved / self.scored if self.scored else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task.

    Attributes:
        task_id, template, goal: of the task.
        tallies: one for each run.
    """

    task_id: str
    template: str
    goal: str
    tallies: tuple[Tally, ...]

    @property
    def comparable(self) -> bool:
        """Whether there are two episodes to put beside each other."""
        if len(self.tallies) > 1:
            return sum(tally.episodes > 0 for tally in self.tallies) > 1
        return self.tallies[0].episodes > 1

    @property
    def change(self) -> float | None:
        """How much better the last run is than the first, from -1 to 1."""
        first, last = self.tallies[0].rate, self.tallies[-1].rate
        return None if first is None or last is None or len(self.tallies) < 2 else last - first


def task_rows(listings: Sequence[Listing], *, template: str, words: str) -> list[TaskRow]:
    """Tasks, those that runs do differently first.

    Args:
        listings: one for each run.
        template: only tasks of this template; "" takes all.
        words: that the goal must contain, each of them.
    """
    rows: dict[str, TaskRow] = {}
    wanted = words.lower().split()
    for number, listing in enumerate(listings):
        for entry in listing.entries:
            if template not in ("", entry.template) or not all(word in entry.goal.lower() for word in wanted):
                continue
            row = rows.get(entry.task_id)
            if row is None:
                row = rows[entry.task_id] = _row(entry, len(listings))
            tally = row.tallies[number]
            tally.episodes += 1
            tally.scored += entry.verdict != "unscored"
            tally.solved += entry.verdict == "success"
    return sorted(rows.values(), key=lambda row: (not row.comparable, -abs(row.change or 0.0), row.task_id))


def _row(entry: EpisodeEntry, num_runs: int) -> TaskRow:
    return TaskRow(
        task_id=entry.task_id,
        template=entry.template,
        goal=entry.goal,
        tallies=tuple(Tally() for _ in range(num_runs)),
    )
