"""A fingerprint of the weights in a folder, by which adapters know the base that they were trained on.

A base that was trained again in its place has files of the same names, sizes and tensors, so that the
values themselves are hashed. That takes a second or so per gigabyte: when a fingerprint is taken, and
again only for a file whose time of change is another than then. A file of the same size and time is taken
for the same; copies and downloads, which get a time of their own, are hashed and found to be equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """One file of weights, as it was when the fingerprint was taken.

    Attributes:
        name: within the folder.
        size_bytes: its length.
        modified_ns: time of its last change, in nanoseconds since 1970.
        sha256: of its bytes.
    """

    name: str
    size_bytes: int
    modified_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The file at `path`, read from beginning to end."""
        size_bytes, modified_ns = _stat(path)
        sha256 = _sha256(path.resolve(), size_bytes, modified_ns)
        return cls(name=path.name, size_bytes=size_bytes, modified_ns=modified_ns, sha256=sha256)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` made of one.

        Raises:
            KeyError: a field is missing.
            TypeError, ValueError: a field is of another kind.
        """
        return cls(
            name=str(data["name"]),
            size_bytes=int(data["size_bytes"]),
            modified_ns=int(data["modified_ns"]),
            sha256=str(data["sha256"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Its fields by name."""
        return asdict(self)

    def is_same(self, path: Path) -> bool:
        """Whether the file at `path` has the same bytes; read only if its time of change differs."""
        size_bytes, modified_ns = _stat(path)
        if size_bytes != self.size_bytes:
            return False
        return modified_ns == self.modified_ns or self.of(path).sha256 == self.sha256


def weight_files(folder: Path) -> tuple[WeightFile, ...]:
    """The fingerprint of a checkpoint: all of its safetensors files, by name."""
    return tuple(map(WeightFile.of, _paths(folder)))


def what_changed(folder: Path, files: Sequence[WeightFile]) -> str:
    """In words, how the weights in a folder differ from a fingerprint; empty if they do not."""
    paths = {path.name: path for path in _paths(folder)}
    known = {file.name: file for file in files}
    if different := sorted(paths.keys() ^ known.keys()):
        return f"{different[0]} {'is new' if different[0] in paths else 'is gone'}"
    for name, file in known.items():
        if not file.is_same(paths[name]):
            return f"{name} has changed"
    return ""


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _stat(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache
def _sha256(path: Path, size_bytes: int, modified_ns: int) -> str:
    """Once per process for each state of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
