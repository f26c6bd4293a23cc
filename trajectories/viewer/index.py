"""A list of a store's episodes, read from the few columns that a list shows.

Steps and responses stay on disk: of the steps only who acted is counted, of the responses only whether a
planner spoke. A shard is read once; one that was appended since is added by `refresh`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from gui_agent.device import ActionSource
from gui_agent.errors import DataError
from gui_agent.policy import AgentRole
from trajectories.shards import list_shards, read_shard, shard_name

_OF_EPISODES: Final = (
    "episode_id", "task_id", "template", "suite", "goal", "num_steps", "stop", "verdict", "progress",
    "group_id", "seed", "update", "policy", "split", "device", "wall_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeEntry:
    """A line of the list; names as in `Trajectory`.

    Attributes:
        number: place in the store, from 0.
        patches: steps at which a replayed expert took over.
        human: steps that a person chose.
        planned: a planner spoke.
    """

    number: int
    episode_id: str
    task_id: str
    template: str
    suite: str
    goal: str
    num_steps: int
    stop: str
    verdict: str
    progress: float | None
    group_id: str
    seed: int
    update: int
    policy: str
    split: str
    device: str
    wall_s: float
    patches: int
    human: int
    planned: bool

    @property
    def kind(self) -> str:
        """How the agent is built."""
        return "hierarchical" if self.planned else "flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The episodes of a store at one moment.

    Attributes:
        entries: in the order of the store.
        by_id: the same by name.
        damage: shards that could not be read, and why.
    """

    entries: Sequence[EpisodeEntry]
    by_id: Mapping[str, EpisodeEntry]
    damage: Sequence[str]

    def facet(self, value: Callable[[EpisodeEntry], str]) -> list[tuple[str, int]]:
        """Values and how many episodes have each, by name."""
        return sorted(Counter(map(value, self.entries)).items())

    def of_group(self, group_id: str) -> list[EpisodeEntry]:
        """Siblings, in the order of the store."""
        return [entry for entry in self.entries if entry.group_id == group_id]


class StoreIndex:
    """The list of one store, kept up to date; may be asked by several threads."""

    def __init__(self, path: Path) -> None:
        """Read the lists of all shards of the store at `path`."""
        self.path = path
        self._lock = threading.Lock()
        self._shards: dict[int, tuple[tuple[int, int], list[dict[str, Any]]]] = {}
        self._damage: dict[int, str] = {}
        self._listing = Listing(entries=(), by_id={}, damage=())
        self.refresh()

    def refresh(self) -> Listing:
        """See what was appended or cut off since, and return the list."""
        with self._lock:
            changed = False
            committed = list_shards(self.path).committed
            for gone in self._shards.keys() - set(committed):
                del self._shards[gone]
                changed = True
            for number in committed:
                changed |= self._read(number)
            if changed or len(self._damage) != len(self._listing.damage):
                self._listing = self._listed()
            return self._listing

    def _read(self, number: int) -> bool:
        """Whether the shard was new, or has been cut."""
        file = self.path / shard_name("episodes", number)
        try:
            status = file.stat()
            version = (status.st_size, status.st_mtime_ns)
            if (known := self._shards.get(number)) is not None and known[0] == version:
                return False
            rows = read_shard(file, _OF_EPISODES).to_pylist()
            steps = read_shard(self.path / shard_name("steps", number), ("episode_id", "source"))
            responses = read_shard(self.path / shard_name("completions", number), ("episode_id", "role"))
        except (DataError, FileNotFoundError) as error:
            self._damage[number] = str(error)
            return False
        patches = _count(steps, "source", ActionSource.PATCH.value)
        human = _count(steps, "source", ActionSource.HUMAN.value)
        planned = _count(responses, "role", AgentRole.PLANNER.value)
        for row in rows:
            name = row["episode_id"]
            row["patches"], row["human"] = patches.get(name, 0), human.get(name, 0)
            row["planned"] = name in planned
        self._damage.pop(number, None)
        self._shards[number] = (version, rows)
        return True

    def _listed(self) -> Listing:
        entries: list[EpisodeEntry] = []
        for number in sorted(self._shards):
            for row in self._shards[number][1]:
                entries.append(EpisodeEntry(number=len(entries), **row))
        return Listing(
            entries=entries,
            by_id={entry.episode_id: entry for entry in entries},
            damage=[self._damage[number] for number in sorted(self._damage)],
        )


def _count(table: Any, column: str, value: str) -> dict[str, int]:
    """Rows of a table with this value, by episode."""
    found = table.filter(pc.equal(table[column], value))["episode_id"]
    return {str(item["values"]): item["counts"] for item in pc.value_counts(found).to_pylist()}


assert {*_OF_EPISODES, "number", "patches", "human", "planned"} == {
    field.name for field in fields(EpisodeEntry)
}
