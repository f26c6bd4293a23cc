"""The files of a store: their names, what is whole and what is torn, and the lock around writing."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from gui_agent.errors import DataError
from trajectories.rows import ADDED_COLUMNS, COMPLETIONS, EPISODES, STEPS, Row

TABLES: Final = ("completions", "steps", "episodes")
"""In the order of writing: the episodes shard is the commit."""
SCHEMAS: Final = {"completions": COMPLETIONS, "steps": STEPS, "episodes": EPISODES}
"""Columns of each table."""


@dataclass(slots=True)
class ShardListing:
    """Numbers of committed shards in order, files without a commit, and the next free number."""

    committed: list[int] = field(default_factory=list)
    torn: list[Path] = field(default_factory=list)
    next_number: int = 0


def shard_name(kind: str, number: int) -> str:
    """The file of a table of one append."""
    return f"{kind}-{number:08d}.parquet"


def list_shards(path: Path) -> ShardListing:
    """What is committed, and what a killed (or working) writer left without a commit."""
    found: dict[str, set[int]] = {kind: set() for kind in TABLES}
    listing = ShardListing()
    for file in path.glob("*-*.parquet*"):
        kind, _, rest = file.name.partition("-")
        if file.suffix == ".tmp":
            listing.torn.append(file)
        elif kind in found and (digits := rest.removesuffix(".parquet")).isdigit():
            found[kind].add(int(digits))
    listing.committed = sorted(found["episodes"])
    for kind in ("steps", "completions"):
        listing.torn += [path / shard_name(kind, number) for number in found[kind] - found["episodes"]]
    listing.next_number = max(listing.committed, default=-1) + 1
    return listing


def read_shard(file: Path, columns: Sequence[str] | None = None) -> Any:
    """A table of a store.

    Raises:
        DataError: the file is missing, truncated or damaged.
    """
    try:
        # Not read_table, which spends several times as long on looking for a data set; no threads for a few
        # columns, and no buffering ahead of a local file: handing over costs more than it saves.
        with pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as shard:
            wanted = None if columns is None else list(columns)
            table = shard.read(columns=wanted, use_threads=wanted is None)
            there = set(shard.schema_arrow.names)
        kind = file.name.partition("-")[0]
        is_older = kind == "completions" and not there & ADDED_COLUMNS
        expected = set(columns or SCHEMAS[kind].names) - (ADDED_COLUMNS if is_older else set())
        if missing := sorted(expected - there):
            raise pa.ArrowInvalid(f"the columns {', '.join(missing)} are missing")
        table.validate(full=True)  # a damaged text would end whatever makes a string of it
        return table
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: the shard is missing, truncated or damaged ({str(error).splitlines()[0]}); restore "
            "it from a copy, or leave out what it holds (--on-damage skip)"
        ) from error


def encode_rows(rows: Sequence[Row], schema: Any) -> bytes:
    """Rows as a Parquet file; `DataError` if a value does not fit its column."""
    try:
        return encode_table(pa.Table.from_pylist(list(rows), schema=schema))
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError) as error:
        raise DataError(f"an episode holds a value that has no place in the tables: {error}") from error


def encode_table(table: Any) -> bytes:
    """A table as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the store's lock; the system lets go of it when a process dies."""
    with FileLock(path / ".lock"):
        yield


def is_being_written(path: Path) -> bool:
    """Whether some process holds the lock of the store."""
    if not (path / ".lock").exists():
        return False
    try:
        with FileLock(path / ".lock", blocking=False):
            return False
    except Timeout:
        return True
    except OSError:  # a store that may only be read is written by nobody we could wait for
        return False


def flush_folder(path: Path) -> None:
    """Make the names of new files survive a loss of power; Windows has no such call for folders."""
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
