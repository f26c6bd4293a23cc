"""Framing of a shell's streams in one: a byte of id, four of length, the data.

Source: AOSP, packages/modules/adb/shell_protocol.h.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, Protocol

from devices.phone.adb.shell.io import Sink, Source

_FRAME: Final = struct.Struct("<BI")
_LARGEST_FRAME_BYTES: Final = (1 << 20) - _FRAME.size  # a frame fills one packet


class FrameId(IntEnum):
    """What a frame carries."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    CLOSE_STDIN = 4
    WINDOW_SIZE = 5


def frame(kind: FrameId, data: bytes | memoryview) -> bytes:
    """One frame."""
    return _FRAME.pack(kind, len(data)) + data


class Stream(Protocol):
    """What frames travel on: a stream of a connection, or a socket."""

    async def read_exactly(self, num_bytes: int) -> bytes | None:
        """So many bytes; None if the stream ends before."""
        ...

    async def write(self, data: bytes | memoryview) -> None:
        """Send the data."""
        ...


class FramedOutput(Sink):
    """Standard output or standard error as frames."""

    def __init__(self, stream: Stream, kind: FrameId) -> None:
        """Write frames of this kind."""
        self._stream = stream
        self._kind = kind

    async def write(self, data: bytes | memoryview) -> None:
        """Send the data, in several frames where it is long."""
        view = memoryview(data)
        for start in range(0, len(view), _LARGEST_FRAME_BYTES):
            await self._stream.write(frame(self._kind, view[start : start + _LARGEST_FRAME_BYTES]))


class FramedInput(Source):
    """Standard input out of frames; other frames are skipped."""

    def __init__(self, stream: Stream) -> None:
        """Read frames from the stream."""
        self._stream = stream
        self._ended = False

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        while not self._ended:
            header = await self._stream.read_exactly(_FRAME.size)
            if header is None:
                break
            kind, num_bytes = _FRAME.unpack(header)
            data = await self._stream.read_exactly(num_bytes)
            if kind == FrameId.CLOSE_STDIN or data is None:
                break
            if kind == FrameId.STDIN and data:
                return data
        self._ended = True
        return b""


async def send_exit(stream: Stream, code: int) -> None:
    """The last frame: the exit code, of which the lowest eight bits arrive."""
    await stream.write(frame(FrameId.EXIT, bytes([code & 0xFF])))
