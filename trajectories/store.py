"""An append-only store of trajectories: Parquet shards, and each screenshot once.

    store/
      meta.json                 schema version, code version, provenance
      episodes-00000000.parquet one row per episode: the commit of one append
      steps-00000000.parquet    one row per decision
      completions-00000000.parquet  one row per sampled response
      screenshots/ab/abcd….png  named by SHA-256

One call of `append` is one commit. Everything else is written and flushed before the episodes shard
gets its name, so a process killed at any moment leaves whole commits and, at most, files that nothing
refers to; those are ignored when the store is opened and removed by the next append. Any number of
processes may read while one appends; appends of several processes wait for each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from gui_agent.device import Outcome
from gui_agent.errors import DataError, SchemaVersionError
from gui_agent.observation import Screenshot
from trajectories.damage import Damage, OnDamage
from trajectories.records import SCHEMA_VERSION, EpisodeRecord, Trajectory
from trajectories.rows import (
    COMPLETIONS,
    EPISODES,
    STEPS,
    Row,
    TrajectoryRows,
    rows_to_trajectory,
    trajectory_to_rows,
)
from trajectories.screenshots import ScreenshotFolder, write_file
from trajectories.shards import (
    TABLES,
    ShardListing,
    encode_rows,
    encode_table,
    exclusive,
    flush_folder,
    is_being_written,
    list_shards,
    read_shard,
    shard_name,
)
from trajectories.store_meta import read_meta, too_new, write_meta


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    number: int
    episode_ids: tuple[str, ...]


class TrajectoryStore:
    """Episodes on disk, in the order in which they were appended."""

    def __init__(self, path: Path, meta: dict[str, Any], *, on_damage: OnDamage) -> None:
        """Use `create` or `open`."""
        self.path = path
        self.meta = meta
        self.screenshots = ScreenshotFolder(path / "screenshots")
        self.damage: list[Damage] = []
        self.num_torn_files = 0
        self._has_cleaned = False
        self._on_damage = on_damage
        self._shards: list[_Shard] = []
        self._place: dict[str, int] = {}

    @classmethod
    def create(cls, path: str | Path, *, source: dict[str, Any] | None = None) -> Self:
        """Make an empty store.

        Args:
            path: a folder that does not exist or is empty.
            source: provenance, JSON-ready: who made the data, from what, under which licence.

        Raises:
            DataError: there is something at `path` already.
        """
        path = Path(path)
        if path.exists() and not _is_free(path):
            raise DataError(
                f"{path} exists and is not empty; choose another folder for the new store "
                "(TrajectoryStore.open opens one that is there)"
            )
        path.mkdir(parents=True, exist_ok=True)
        meta = write_meta(path, source or {})
        return cls(path, meta, on_damage=OnDamage.RAISE)

    @classmethod
    def open(cls, path: str | Path, *, on_damage: OnDamage = OnDamage.RAISE) -> Self:
        """Open a store for reading and appending.

        Args:
            path: the folder.
            on_damage: "raise" stops at the first file that cannot be read; "skip" leaves out what it
                holds, and lists it in `damage`.

        Raises:
            DataError: there is no store, or a shard is damaged.
            SchemaVersionError: a newer program wrote it.
        """
        path = Path(path)
        store = cls(path, read_meta(path), on_damage=on_damage)
        store.refresh()
        return store

    @classmethod
    def open_or_create(cls, path: str | Path, *, source: dict[str, Any] | None = None) -> Self:
        """Open the store at `path`, or make an empty one where there is none."""
        if (Path(path) / "meta.json").exists():
            return cls.open(path)
        return cls.create(path, source=source)

    def refresh(self) -> None:
        """See what other processes have appended since."""
        listing = list_shards(self.path)
        self.num_torn_files = len(listing.torn)
        if listing.torn and not is_being_written(self.path):
            warnings.warn(
                f"{self.path}: {len(listing.torn)} files of an append that was never finished are ignored; "
                "the next append removes them",
                stacklevel=3,
            )
        self.damage = [damage for damage in self.damage if damage.row is not None]
        self._shards = []
        for number in listing.committed:
            try:
                self._shards.append(self._shard(number))
            except DataError as error:
                self._damaged(error, shard_name("episodes", number))
        self._place = {name: at for at, shard in enumerate(self._shards) for name in shard.episode_ids}

    def __len__(self) -> int:
        return len(self._place)

    @property
    def episode_ids(self) -> Sequence[str]:
        """Ids of all episodes, in order."""
        return list(self._place)

    def __iter__(self) -> Iterator[Trajectory]:
        """All episodes in order, holding one shard in memory at a time.

        Raises:
            DataError: something is damaged (only with on_damage="raise"); names file, row and remedy.
            SchemaVersionError: an episode was written by a newer program.
        """
        for shard in self._shards:
            yield from self._read_shard(shard, set(shard.episode_ids))

    def records(self) -> Iterator[EpisodeRecord]:
        """All episodes in order with their pictures; `record` would read a whole shard for each.

        Raises:
            DataError: something is damaged, or a picture is missing (only with on_damage="raise").
        """
        for trajectory in self:
            try:
                yield self._with_pictures(trajectory)
            except DataError as error:
                name = trajectory.episode_id
                located = type(error)(f"{self.path}, episode {name!r}: {error}")
                self._damaged(located, str(self.screenshots.path), episode_id=name)

    def episode_rows(self, *columns: str) -> Iterator[Row]:
        """Some columns of the table of episodes, in order; steps and responses stay on disk.

        Raises:
            DataError: a shard is damaged (only with on_damage="raise").
        """
        for shard in self._shards:
            try:
                table = self._table("episodes", shard.number, columns=list(columns))
            except DataError as error:
                self._damaged(error, shard_name("episodes", shard.number))
                continue
            yield from table.to_pylist()

    def trajectory(self, episode_id: str) -> Trajectory:
        """One episode.

        Raises:
            DataError: there is none of that name, or it is damaged.
        """
        at = self._place.get(episode_id)
        if at is not None:
            for trajectory in self._read_shard(self._shards[at], {episode_id}):
                return trajectory
        raise DataError(f"{self.path} has no readable episode {episode_id!r}; it holds {len(self)} episodes")

    def select(self, episode_ids: Collection[str]) -> Iterator[Trajectory]:
        """Some episodes, in the order of the store; ids that are not there are left out.

        Raises:
            DataError: something is damaged (only with on_damage="raise").
        """
        for at in sorted({self._place[name] for name in episode_ids if name in self._place}):
            shard = self._shards[at]
            yield from self._read_shard(shard, set(shard.episode_ids).intersection(episode_ids))

    def screenshot(self, sha256: str) -> Screenshot:
        """One picture.

        Raises:
            DataError: it is missing or damaged.
        """
        try:
            return self.screenshots[sha256]
        except KeyError as error:
            raise DataError(self._missing(sha256)) from error

    def record(self, episode_id: str) -> EpisodeRecord:
        """One episode with its pictures; `DataError` if any of it is missing."""
        return self._with_pictures(self.trajectory(episode_id))

    def append(self, records: EpisodeRecord | Iterable[EpisodeRecord]) -> None:
        """Add episodes in one commit: after a crash all of them are there, or none.

        Raises:
            DataError: an episode id is taken, or an episode refers to a picture that is neither in its
                record nor in the store.
        """
        batch = [records] if isinstance(records, EpisodeRecord) else list(records)
        if not batch:
            return
        with exclusive(self.path):
            listing = list_shards(self.path)
            if [shard.number for shard in self._shards] != listing.committed:
                self.refresh()
            self._remove_torn(listing)
            self._check_new(batch)
            self._write_screenshots(batch)
            self._write_shard(batch, listing.next_number)
        at = len(self._shards)
        ids = tuple(record.trajectory.episode_id for record in batch)
        self._shards.append(_Shard(number=listing.next_number, episode_ids=ids))
        self._place.update(dict.fromkeys(ids, at))

    def judge(self, episode_id: str, outcome: Outcome) -> None:
        """Replace what is known of an episode's outcome, as when a person has looked at it.

        The file that holds it is replaced as a whole: after a crash the old outcome is there, or the new one.

        Raises:
            DataError: there is no such episode, or its file is damaged.
        """
        with exclusive(self.path):
            if episode_id not in self._place:
                self.refresh()
            trajectory = replace(self.trajectory(episode_id), outcome=outcome)
            shard = self._shards[self._place[episode_id]]
            rows = self._table("episodes", shard.number).to_pylist()
            place = next(at for at, row in enumerate(rows) if row["episode_id"] == episode_id)
            rows[place] = trajectory_to_rows(trajectory).episode
            write_file(self.path / shard_name("episodes", shard.number), encode_rows(rows, EPISODES))
            flush_folder(self.path)

    def truncate(self, num_episodes: int) -> int:
        """Forget all episodes after the first `num_episodes` (a checkpoint's high-water mark).

        Newest first, so that a crash on the way leaves a shorter store, never one with a hole. Pictures
        stay: they may be shown again.

        Returns:
            How many episodes were removed.

        Raises:
            DataError: the store holds fewer.
        """
        with exclusive(self.path):
            self.refresh()  # what another process has appended goes, too
            if not 0 <= num_episodes <= len(self):
                raise DataError(
                    f"{self.path} holds {len(self)} episodes and cannot be cut to {num_episodes}; the "
                    "checkpoint belongs to another store, or episodes were lost: resume from an earlier "
                    "checkpoint"
                )
            removed = len(self) - num_episodes
            self._cut(num_episodes)
            flush_folder(self.path)
        self.refresh()
        return removed

    # Writing

    def _check_new(self, batch: Sequence[EpisodeRecord]) -> None:
        seen: set[str] = set()
        for record in batch:
            trajectory = record.trajectory
            if trajectory.episode_id in self._place or trajectory.episode_id in seen:
                raise DataError(
                    f"{self.path} already has an episode {trajectory.episode_id!r}; ids are unique in a "
                    "store: name the new one otherwise, or truncate the store first when resuming"
                )
            seen.add(trajectory.episode_id)
            for sha256 in trajectory.screenshot_sha256s:
                if sha256 not in record.screenshots and sha256 not in self.screenshots:
                    raise DataError(
                        f"episode {trajectory.episode_id!r} refers to screenshot {sha256}, which is neither "
                        "in its record nor in the store; append the picture with the episode"
                    )

    def _write_screenshots(self, batch: Sequence[EpisodeRecord]) -> None:
        for record in batch:
            for sha256 in record.trajectory.screenshot_sha256s:
                if (screenshot := record.screenshots.get(sha256)) is not None:
                    self.screenshots.add(screenshot)

    def _write_shard(self, batch: Sequence[EpisodeRecord], number: int) -> None:
        rows = [trajectory_to_rows(record.trajectory) for record in batch]
        tables = {
            "completions": ([row for item in rows for row in item.completions], COMPLETIONS),
            "steps": ([row for item in rows for row in item.steps], STEPS),
            "episodes": ([item.episode for item in rows], EPISODES),
        }
        encoded = {kind: encode_rows(*tables[kind]) for kind in TABLES}  # fails before anything is written
        for kind in TABLES:
            write_file(self.path / shard_name(kind, number), encoded[kind])
        flush_folder(self.path)

    def _remove_torn(self, listing: ShardListing) -> None:
        for file in listing.torn:
            file.unlink(missing_ok=True)
        if not self._has_cleaned:  # lists every picture, which would make many appends slow
            self.screenshots.remove_torn()
            self._has_cleaned = True
        self.num_torn_files = 0

    def _cut(self, num_episodes: int) -> None:
        end = len(self)
        for shard in reversed(self._shards):
            start = end - len(shard.episode_ids)
            if start >= num_episodes:
                for kind in reversed(TABLES):  # the commit goes first
                    (self.path / shard_name(kind, shard.number)).unlink(missing_ok=True)
            elif end > num_episodes:
                # Steps of the episodes that go stay behind in their shard; nothing refers to them.
                table = self._table("episodes", shard.number).slice(0, num_episodes - start)
                write_file(self.path / shard_name("episodes", shard.number), encode_table(table))
            end = start

    # Reading

    def _shard(self, number: int) -> _Shard:
        table = self._table("episodes", number, columns=["episode_id", "schema_version"])
        newest = pc.max(table["schema_version"]).as_py() or 0
        if newest > SCHEMA_VERSION:
            raise too_new(self.path / shard_name("episodes", number), newest)
        return _Shard(number=number, episode_ids=tuple(table["episode_id"].to_pylist()))

    def _table(self, kind: str, number: int, *, columns: list[str] | None = None) -> Any:
        return read_shard(self.path / shard_name(kind, number), columns)

    def _read_shard(self, shard: _Shard, wanted: set[str]) -> Iterator[Trajectory]:
        only = wanted if len(wanted) < len(shard.episode_ids) else None
        kind = "episodes"
        try:
            episodes = self._table(kind, shard.number).to_pylist()
            kind = "steps"
            steps = _by_episode(self._table(kind, shard.number), only)
            kind = "completions"
            completions = _by_episode(self._table(kind, shard.number), only)
        except DataError as error:
            lost = type(error)(f"{error}; {len(shard.episode_ids)} episodes are lost with it")
            self._damaged(lost, shard_name(kind, shard.number))
            return
        for position, row in enumerate(episodes):
            name = row["episode_id"]
            if name not in wanted:
                continue
            rows = TrajectoryRows(
                episode=row, steps=steps.get(name, ()), completions=completions.get(name, ())
            )
            try:
                trajectory = rows_to_trajectory(rows)
            except DataError as error:
                file = shard_name("episodes", shard.number)
                located = type(error)(f"{self.path / file}, row {position}: {error}")
                self._damaged(located, file, row=position, episode_id=name)
                continue
            yield trajectory

    def _with_pictures(self, trajectory: Trajectory) -> EpisodeRecord:
        screenshots = {sha256: self.screenshot(sha256) for sha256 in trajectory.screenshot_sha256s}
        return EpisodeRecord(trajectory=trajectory, screenshots=screenshots)

    def _missing(self, sha256: str) -> str:
        return (
            f"{self.screenshots.path / sha256[:2] / sha256}.* : the screenshot is missing; restore the file "
            "from a copy, or leave out the episodes that show it (--on-damage skip)"
        )

    def _damaged(
        self, error: DataError, file: str, *, row: int | None = None, episode_id: str | None = None
    ) -> None:
        if self._on_damage is OnDamage.RAISE:
            raise error
        newer = isinstance(error, SchemaVersionError)
        damage = Damage(file=file, message=str(error), row=row, episode_id=episode_id, newer_schema=newer)
        if damage not in self.damage:
            self.damage.append(damage)


def _is_free(path: Path) -> bool:
    """An empty folder, but for what a killed `create` left in it."""
    return path.is_dir() and all(file.name == "meta.json.tmp" for file in path.iterdir())


def _by_episode(table: Any, only: Collection[str] | None) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    if only is not None:  # before they become objects, which is what takes the time
        table = table.filter(pc.is_in(table["episode_id"], value_set=pa.array(sorted(only), pa.string())))
    for row in table.to_pylist():
        rows.setdefault(row["episode_id"], []).append(row)
    return rows
