"""The phone's files, in memory. Nothing of the host can be named from here.

Paths are absolute and normalised; `/sdcard` and its other names are one folder, as on a phone. Errors
are the built-in `OSError`s with the number that a phone would report.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import posixpath
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_LINKS: Final = (
    ("/sdcard", "/storage/emulated/0"),
    ("/mnt/sdcard", "/storage/emulated/0"),
    ("/storage/self/primary", "/storage/emulated/0"),
    ("/etc", "/system/etc"),
    ("/bin", "/system/bin"),
    ("/d", "/sys/kernel/debug"),
)
_FOLDERS: Final = (
    "/system/bin", "/system/etc", "/data/local/tmp", "/data/app", "/data/data", "/data/media",
    "/storage/emulated/0/DCIM", "/storage/emulated/0/Download", "/storage/emulated/0/Pictures",
    "/storage/emulated/0/Documents", "/storage/emulated/0/Movies", "/storage/emulated/0/Music",
    "/storage/emulated/0/Android/data", "/dev", "/proc/sys/kernel/random", "/vendor", "/apex", "/cache",
    "/sys/class", "/mnt", "/product", "/odm", "/root",
)  # fmt: skip
FILE_MODE: Final = stat.S_IFREG | 0o660
FOLDER_MODE: Final = stat.S_IFDIR | 0o771
CAPACITY_BYTES: Final = 512 << 20


@dataclass(slots=True, kw_only=True)
class Node:
    """A file, or a folder (whose `data` stays empty).

    Attributes:
        mode: kind and permissions, as in `stat`.
        modified_s: seconds since 1970 on the phone's clock.
        number: of the node; never used again.
    """

    mode: int
    modified_s: int
    number: int
    data: bytearray

    @property
    def is_folder(self) -> bool:
        """Whether it holds other nodes."""
        return stat.S_ISDIR(self.mode)


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


class FileSystem:
    """Folders and files by path.

    Args:
        now: the phone's clock in seconds since 1970.
        capacity_bytes: what fits on it; beyond that writing fails with ENOSPC.
    """

    def __init__(self, now: Callable[[], float], capacity_bytes: int = CAPACITY_BYTES) -> None:
        """The usual empty folders of a phone."""
        self._now = now
        self._free_bytes = capacity_bytes
        self._last_number = 1
        self._nodes: dict[str, Node] = {"/": self._node(FOLDER_MODE)}
        for folder in _FOLDERS:
            self.make_folders(folder)

    def _node(self, mode: int) -> Node:
        self._last_number += 1
        return Node(mode=mode, modified_s=int(self._now()), number=self._last_number, data=bytearray())

    def resolve(self, path: str, folder: str = "/") -> str:
        """The one name of what a path means.

        Args:
            path: absolute, or relative to `folder`.
            folder: where the shell is.
        """
        absolute = posixpath.normpath(posixpath.join(folder, path))
        absolute = "/" + absolute.lstrip("/")
        for link, target in _LINKS:
            if absolute == link or absolute.startswith(link + "/"):
                return target + absolute[len(link) :]
        return absolute

    def node(self, path: str) -> Node:
        """What is there.

        Raises:
            FileNotFoundError: nothing is.
        """
        found = self._nodes.get(self.resolve(path))
        if found is None:
            raise _error(errno.ENOENT, path)
        return found

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        return self.resolve(path) in self._nodes

    def is_folder(self, path: str) -> bool:
        """Whether a folder is there."""
        found = self._nodes.get(self.resolve(path))
        return found is not None and found.is_folder

    def read(self, path: str) -> bytes:
        """The whole file.

        Raises:
            OSError: there is none, or it is a folder.
        """
        node = self.node(path)
        if node.is_folder:
            raise _error(errno.EISDIR, path)
        return bytes(node.data)

    def write(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        """Make or replace a file.

        Raises:
            OSError: its folder does not exist, it is itself a folder, or the phone is full.
        """
        node = self._opened(path)
        self._free_bytes += len(node.data)
        node.data = bytearray()
        if mode is not None:
            node.mode = stat.S_IFREG | stat.S_IMODE(mode)
        self.append(path, data)

    def append(self, path: str, data: bytes) -> None:
        """Add to a file, making it if needed; errors as for `write`."""
        node = self._opened(path)
        if len(data) > self._free_bytes:
            raise _error(errno.ENOSPC, path)
        self._free_bytes -= len(data)
        node.data += data
        node.modified_s = int(self._now())

    def _opened(self, path: str) -> Node:
        name = self.resolve(path)
        node = self._nodes.get(name)
        if node is None:
            parent = self._nodes.get(posixpath.dirname(name))
            if parent is None:
                raise _error(errno.ENOENT, path)
            if not parent.is_folder:
                raise _error(errno.ENOTDIR, path)
            node = self._nodes[name] = self._node(FILE_MODE)
        if node.is_folder:
            raise _error(errno.EISDIR, path)
        return node

    def make_folder(self, path: str) -> None:
        """Make one folder.

        Raises:
            OSError: something is there already, or its parent is not.
        """
        name = self.resolve(path)
        if name in self._nodes:
            raise _error(errno.EEXIST, path)
        if not self.is_folder(posixpath.dirname(name)):
            raise _error(errno.ENOENT, path)
        self._nodes[name] = self._node(FOLDER_MODE)

    def make_folders(self, path: str) -> None:
        """Make a folder and what is missing above it.

        Raises:
            NotADirectoryError: a file is in the way.
        """
        name = self.resolve(path)
        if name in self._nodes:
            if not self._nodes[name].is_folder:
                raise _error(errno.ENOTDIR, path)
            return
        self.make_folders(posixpath.dirname(name))
        self._nodes[name] = self._node(FOLDER_MODE)

    def names(self, path: str) -> list[str]:
        """What a folder holds, in order.

        Raises:
            OSError: it is no folder.
        """
        name = self.resolve(path)
        if not self.node(path).is_folder:
            raise _error(errno.ENOTDIR, path)
        prefix = name.rstrip("/") + "/"
        inside = (other[len(prefix) :] for other in self._nodes if other.startswith(prefix) and other != name)
        return sorted(one for one in inside if one and "/" not in one)

    def walk(self, path: str) -> list[str]:
        """The path and everything below it, folders before what they hold."""
        name = self.resolve(path)
        self.node(path)
        prefix = name.rstrip("/") + "/"
        return sorted(other for other in self._nodes if other == name or other.startswith(prefix))

    def remove(self, path: str) -> None:
        """Take a file, or a folder with all that is in it, away.

        Raises:
            OSError: nothing is there, or it is the root.
        """
        name = self.resolve(path)
        if name == "/":
            raise _error(errno.EBUSY, path)
        for other in self.walk(path):
            self._free_bytes += len(self._nodes.pop(other).data)

    def move(self, path: str, to_path: str) -> None:
        """Rename a file or a folder, into `to_path` if that is a folder.

        Raises:
            OSError: there is nothing to move, or nowhere to move it to.
        """
        source, target = self.resolve(path), self.inside(path, to_path)
        if not self.is_folder(posixpath.dirname(target)):
            raise _error(errno.ENOENT, to_path)
        moved = {other: self._nodes.pop(other) for other in self.walk(source)}
        self._nodes.update({target + other[len(source) :]: node for other, node in moved.items()})

    def inside(self, path: str, to_path: str) -> str:
        """Where a thing goes that is moved or copied to `to_path`."""
        target = self.resolve(to_path)
        return (
            posixpath.join(target, posixpath.basename(self.resolve(path)))
            if self.is_folder(target)
            else target
        )

    def match(self, pattern: str, folder: str = "/") -> list[str]:
        """Paths that a pattern with `*`, `?` or `[…]` means, written as the pattern is; sorted."""
        absolute = pattern.startswith("/")
        found = [""] if absolute else [folder]
        for part in [part for part in pattern.split("/") if part]:
            found = [
                posixpath.join(one or "/", name)
                for one in found
                if self.is_folder(one or "/")
                for name in self._matching(one or "/", part)
            ]
        if not absolute:
            found = [posixpath.relpath(one, folder) for one in found]
        return sorted(found)

    def _matching(self, folder: str, part: str) -> list[str]:
        if not set(part) & set("*?["):
            return [part] if self.exists(posixpath.join(folder, part)) else []
        names = self.names(folder)
        return [n for n in names if fnmatch.fnmatchcase(n, part) and (part[0] == "." or n[0] != ".")]

    def contents(self, *roots: str) -> dict[str, bytes]:
        """Every file below the roots, by path."""
        below = [name for root in roots if self.exists(root) for name in self.walk(root)]
        return {name: bytes(self._nodes[name].data) for name in below if not self._nodes[name].is_folder}
