"""One link to an adb server, and the streams that are multiplexed on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final

from devices.phone.adb.protocol import (
    HEADER,
    MAX_DATA_BYTES,
    VERSION,
    VERSION_WITH_SUMS,
    Auth,
    Command,
    Header,
    decode_header,
    encode_header,
)

Serve = Callable[["Stream", str], Awaitable[None]]
"""Serves one stream that the host opened, given the name of the service."""

_FIRST_MAX_DATA_BYTES: Final = 4096
_NUM_TOKEN_BYTES: Final = 20


class LinkLostError(ConnectionError):
    """The link or the stream is gone; whoever works on it stops."""


class Stream:
    """One stream. Writing waits until the host has taken what was written before.

    Attributes:
        drop_after_bytes: break the whole link once this much has been written; None for never.
        bytes_per_s: slow writing down to this; None for no limit.
        opened: set once the other side has accepted it.
        server: the task that serves it, if the host opened it; ends when the host hangs up.
    """

    def __init__(self, connection: Connection, local_id: int, remote_id: int = 0) -> None:
        """A stream that the connection already knows under `local_id`."""
        self.connection = connection
        self.local_id = local_id
        self.remote_id = remote_id
        self.drop_after_bytes: int | None = None
        self.bytes_per_s: float | None = None
        self.opened = asyncio.Event()
        self.server: asyncio.Task[None] | None = None
        self._reader = asyncio.StreamReader(limit=4 * MAX_DATA_BYTES)
        self._may_write = asyncio.Event()
        self._over = False

    @property
    def over(self) -> bool:
        """Whether either side has closed it."""
        return self._over

    def host_is_ready(self) -> None:
        """The host has opened the stream or has taken the data: more may be written."""
        self.opened.set()
        self._may_write.set()

    def host_wrote(self, data: bytes) -> None:
        """Data has come."""
        if not self._over:
            self._reader.feed_data(data)

    def host_closed(self) -> None:
        """The host wants no more, or the link is gone."""
        if not self._over:
            self._over = True
            self._reader.feed_eof()
            self.host_is_ready()
            if self.server is not None:
                self.server.cancel()

    async def read(self) -> bytes:
        """What has come, at least one byte; b"" at the end."""
        return await self._reader.read(MAX_DATA_BYTES)

    async def read_exactly(self, num_bytes: int) -> bytes | None:
        """So many bytes; None if the stream ends before."""
        try:
            return await self._reader.readexactly(num_bytes)
        except asyncio.IncompleteReadError:
            return None

    async def write(self, data: bytes | memoryview) -> None:
        """Send the data and wait until the host has taken it.

        Raises:
            LinkLostError: the host has closed the stream, or the link broke.
        """
        view = memoryview(data)
        largest = self.connection.max_data_bytes
        for start in range(0, len(view), largest):
            await self._write_piece(view[start : start + largest])

    async def _write_piece(self, piece: memoryview) -> None:
        await self._may_write.wait()
        if self._over:
            raise LinkLostError("the host closed the stream")
        if self.bytes_per_s is not None:
            await asyncio.sleep(len(piece) / self.bytes_per_s)
        if self.drop_after_bytes is not None:
            kept = min(self.drop_after_bytes, len(piece))
            self.drop_after_bytes -= kept
            if kept < len(piece):
                await self.connection.send(Command.WRTE, self.local_id, self.remote_id, piece[:kept])
                self.connection.abort()
                raise LinkLostError("the link was dropped on purpose")
        self._may_write.clear()
        await self.connection.send(Command.WRTE, self.local_id, self.remote_id, piece)

    async def close(self) -> None:
        """Say that it is over, after the host has taken everything."""
        await self._may_write.wait()
        if self._over:
            return
        if self.drop_after_bytes is not None:
            self.connection.abort()
            return
        self._over = True
        self.connection.forget(self)
        await self.connection.send(Command.CLSE, self.local_id, self.remote_id)


class Connection:
    """The link to one adb server.

    Args:
        reader: bytes from the server.
        writer: bytes to the server.
        banner: what the phone says about itself.
        serve: called for each stream that the host opens.
        authorized: whether the host is trusted now; asked when it introduces itself.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        banner: bytes,
        serve: Serve,
        authorized: Callable[[], bool],
    ) -> None:
        """Nothing is read before `run`."""
        self.max_data_bytes = _FIRST_MAX_DATA_BYTES
        self._reader = reader
        self._writer = writer
        self._banner = banner
        self._serve = serve
        self._authorized = authorized
        self._waits_for_trust = False
        self._sums = False
        self._streams: dict[int, Stream] = {}
        self._last_id = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answer packets until the link is gone, then end what was served on it.

        Raises:
            ProtocolError: the peer sent something that is no packet.
        """
        try:
            while True:
                header = decode_header(await self._reader.readexactly(HEADER.size))
                data = await self._reader.readexactly(header.num_bytes) if header.num_bytes else b""
                await self._received(header, data)
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the server went away, which is its right
        finally:
            await self._end()

    async def _end(self) -> None:
        self.abort()
        for stream in list(self._streams.values()):
            stream.host_closed()
        self._streams.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def abort(self) -> None:
        """Break the link as a pulled cable does."""
        self._writer.transport.abort()

    async def _received(self, header: Header, data: bytes) -> None:
        match header.command:
            case Command.CNXN:
                self._sums = header.arg0 <= VERSION_WITH_SUMS
                self.max_data_bytes = min(header.arg1, MAX_DATA_BYTES)
                await self._introduce()
            case Command.AUTH if header.arg0 == Auth.PUBLIC_KEY:
                self._waits_for_trust = True  # the host can offer no more; somebody must allow it
            case Command.AUTH:
                await self._introduce()
            case Command.OPEN:
                self._open(header.arg0, data.rstrip(b"\0").decode(errors="surrogateescape"))
            case Command.WRTE:
                await self._write(header, data)
            case Command.OKAY:
                if stream := self._streams.get(header.arg1):
                    stream.remote_id = header.arg0
                    stream.host_is_ready()
            case Command.CLSE:
                if stream := self._streams.pop(header.arg1, None):
                    stream.host_closed()
            case _:
                return  # an extension that we never agreed to

    async def _introduce(self) -> None:
        if self._authorized():
            self._waits_for_trust = False
            await self.send(Command.CNXN, VERSION, MAX_DATA_BYTES, self._banner)
        else:
            await self.send(Command.AUTH, Auth.TOKEN, 0, os.urandom(_NUM_TOKEN_BYTES))

    async def trust_changed(self) -> None:
        """Somebody allowed the host on the phone's screen: let it in if it waits."""
        if self._waits_for_trust:
            await self._introduce()

    def _open(self, remote_id: int, service: str) -> None:
        stream = self._new_stream(remote_id)
        stream.server = task = asyncio.create_task(self._serve_stream(stream, service))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_stream(self, stream: Stream, service: str) -> None:
        try:
            await self._serve(stream, service)
        except ConnectionRefusedError:
            pass  # of a socket on the phone; the host is told below
        except ConnectionError:
            return  # the host hung up; there is nobody to tell
        finally:
            if stream.local_id in self._streams and not self._writer.transport.is_closing():
                await self.refuse(stream)
            self.forget(stream)

    async def _write(self, header: Header, data: bytes) -> None:
        stream = self._streams.get(header.arg1)
        if stream is None:
            await self.send(Command.CLSE, 0, header.arg0)
            return
        stream.host_wrote(data)
        await self.send(Command.OKAY, stream.local_id, stream.remote_id)

    def _new_stream(self, remote_id: int = 0) -> Stream:
        self._last_id += 1
        stream = self._streams[self._last_id] = Stream(self, self._last_id, remote_id)
        return stream

    def forget(self, stream: Stream) -> None:
        """Packets for the stream are no longer expected."""
        self._streams.pop(stream.local_id, None)

    async def accept(self, stream: Stream) -> None:
        """Tell the host that its stream is open."""
        await self.send(Command.OKAY, stream.local_id, stream.remote_id)
        stream.host_is_ready()

    async def refuse(self, stream: Stream) -> None:
        """Tell the host that there is no such service, or that it cannot go on."""
        self.forget(stream)
        await self.send(Command.CLSE, stream.local_id if stream.opened.is_set() else 0, stream.remote_id)

    async def open(self, service: str) -> Stream:
        """Open a stream to a service of the host, as `adb reverse` asks for.

        Raises:
            LinkLostError: the host refused.
        """
        stream = self._new_stream()
        await self.send(Command.OPEN, stream.local_id, 0, service.encode() + b"\0")
        await stream.opened.wait()
        if stream.over:
            raise LinkLostError(f"the host has no service {service!r}")
        return stream

    async def send(self, command: Command, arg0: int, arg1: int, data: bytes | memoryview = b"") -> None:
        """Write one packet.

        Raises:
            LinkLostError: the link is gone.
        """
        if self._writer.transport.is_closing():
            raise LinkLostError("the link to the adb server is gone")
        header = encode_header(command, arg0, arg1, data, sums=self._sums)
        if len(data) <= _FIRST_MAX_DATA_BYTES:
            self._writer.write(header + data)
        else:
            self._writer.write(header)
            self._writer.write(data)
        await self._writer.drain()
