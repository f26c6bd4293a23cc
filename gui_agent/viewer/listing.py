"""What a list is asked for: filters, order and page, as they stand in an address."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from trajectories.viewer.index import EpisodeEntry

PAGE_SIZE: Final = 50
LONGEST_TEXT: Final = 500
"""Of a value to filter by, in characters."""


class QueryError(ValueError):
    """An address asks for what there cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which episodes, in which order.

    Attributes:
        run: number of the run.
        q: words that goal or id contain, each of them.
        task: id of a task.
        template, verdict, stop, policy, split, kind: exactly this value; "" is any.
        acted: "patched" or "human": somebody else than the agent acted at some step.
        update_from, update_to: updates, both included.
        reward_from, reward_to: sums of rewards; episodes without one are left out.
        sort: a name of `SORTS`, with "-" before it for the largest first.
        page: from 1.
    """

    run: int = 0
    q: str = ""
    task: str = ""
    template: str = ""
    verdict: str = ""
    stop: str = ""
    policy: str = ""
    split: str = ""
    kind: str = ""
    acted: str = ""
    update_from: int | None = None
    update_to: int | None = None
    reward_from: float | None = None
    reward_to: float | None = None
    sort: str = "number"
    page: int = 1

    @classmethod
    def parse(cls, params: Mapping[str, str]) -> ListQuery:
        """Read an address; empty fields of a form mean nothing, unknown ones are left alone.

        Raises:
            QueryError: a number is none, a text is too long, or the order is not known.
        """
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            text = params.get(field.name, "").strip()
            if text:
                values[field.name] = _value(field.name, text)
        query = cls(**values)
        if query.sort.removeprefix("-") not in SORTS:
            raise QueryError(f"sort is {query.sort!r}; expected one of {', '.join(SORTS)}")
        return query

    def address(self, path: str = "/episodes", **changes: Any) -> str:
        """The address of this list with some changes; what is as usual is left out."""
        query = dataclasses.replace(self, **changes)
        given = {
            field.name: getattr(query, field.name)
            for field in dataclasses.fields(query)
            if getattr(query, field.name) != field.default
        }
        return f"{path}?{urlencode(given)}" if given else path

    @property
    def filtered(self) -> bool:
        """Whether anything is left out."""
        plain = ListQuery(run=self.run, sort=self.sort, page=self.page)
        return self != plain

    def choose(self, entries: Sequence[EpisodeEntry], totals: Mapping[str, float]) -> Sequence[EpisodeEntry]:
        """Those that pass, in order.

        Args:
            entries: all episodes.
            totals: sums of rewards by episode id, as far as they are known.
        """
        name = self.sort.removeprefix("-")
        if not self.filtered and self.sort == "number":
            return entries
        chosen = [entry for entry in entries if self._passes(entry, totals)]
        if name == "reward":  # what has none comes last, whichever way
            key = _by_reward(totals, descending=self.sort.startswith("-"))
            return sorted(chosen, key=key)
        return sorted(chosen, key=SORTS[name], reverse=self.sort.startswith("-"))

    def _passes(self, entry: EpisodeEntry, totals: Mapping[str, float]) -> bool:
        for name in ("template", "verdict", "stop", "policy", "split", "kind"):
            wanted = getattr(self, name)
            if wanted and getattr(entry, name) != wanted:
                return False
        if self.task and entry.task_id != self.task:
            return False
        if self.acted and not (entry.human if self.acted == "human" else entry.patches):
            return False
        if not _within(entry.update, self.update_from, self.update_to):
            return False
        if self.reward_from is not None or self.reward_to is not None:
            total = totals.get(entry.episode_id)
            if total is None or not _within(total, self.reward_from, self.reward_to):
                return False
        if self.q:
            text = f"{entry.goal} {entry.episode_id}".lower()
            return all(word in text for word in self.q.lower().split())
        return True


def _by_reward(totals: Mapping[str, float], *, descending: bool) -> Callable[[EpisodeEntry], Any]:
    sign = -1.0 if descending else 1.0

    def key(entry: EpisodeEntry) -> float:
        total = totals.get(entry.episode_id)
        return math.inf if total is None else sign * total

    return key


SORTS: Final[dict[str, Callable[[EpisodeEntry], Any]]] = {
    "number": lambda entry: entry.number,
    "task": lambda entry: (entry.template, entry.task_id),
    "outcome": lambda entry: (entry.verdict, entry.progress or 0.0),
    "stop": lambda entry: entry.stop,
    "steps": lambda entry: entry.num_steps,
    "reward": lambda entry: entry.number,
    "patched": lambda entry: entry.patches,
    "update": lambda entry: entry.update,
    "seconds": lambda entry: entry.wall_s,
}
"""Orders by name; rewards are not in an entry, see `ListQuery.choose`."""

_WHOLE: Final = frozenset({"run", "update_from", "update_to", "page"})
_NUMBERS: Final = frozenset({"reward_from", "reward_to"})


def _value(name: str, text: str) -> str | int | float:
    if len(text) > LONGEST_TEXT:
        raise QueryError(f"{name} has {len(text)} characters; expected {LONGEST_TEXT} at most")
    if name in _WHOLE:
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise QueryError(f"{name} is {text!r}; expected a whole number from 0")
        return max(1, int(text)) if name == "page" else int(text)
    if name in _NUMBERS:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise QueryError(f"{name} is {text!r}; expected a number")
        return number
    return text


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
