"""Where commands read and write: the streams of a connection, pipes, files."""

from __future__ import annotations

from typing import Protocol

from devices.phone.adb.filesystem import FileSystem


class Sink(Protocol):
    """Something to write to."""

    async def write(self, data: bytes | memoryview) -> None:
        """Take the data."""
        ...


class Source(Protocol):
    """Something to read from."""

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        ...


class Buffer(Sink):
    """Keeps what was written: the left end of a pipe, or the words of a `$(…)`."""

    def __init__(self) -> None:
        """Empty."""
        self.data = bytearray()

    async def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self.data += data


class Nothing(Sink):
    """/dev/null."""

    async def write(self, data: bytes | memoryview) -> None:
        """Forget."""


class FileSink(Sink):
    """A file of the phone; every write is appended."""

    def __init__(self, files: FileSystem, path: str) -> None:
        """The file must exist by now, so that an impossible path fails before the command runs."""
        self._files = files
        self._path = path

    async def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self._files.append(self._path, bytes(data))


class Bytes(Source):
    """A given text: the right end of a pipe, a file behind `<`, or nothing."""

    def __init__(self, data: bytes = b"") -> None:
        """To be read once."""
        self._data = data

    async def read(self) -> bytes:
        """All of it, then b""."""
        data, self._data = self._data, b""
        return data


async def read_all(source: Source) -> bytes:
    """Everything up to the end."""
    data = bytearray()
    while piece := await source.read():
        data += piece
    return bytes(data)
