"""Sockets that are open on the phone: what `adb forward` reaches and `adb reverse` adds.

Nobody is put through to a port of the host here: a name that is not in the table is refused.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from devices.phone.adb.connection import Connection

ECHO: Final = ("tcp:7", "localabstract:echo")
"""Open on every phone; they say back what they are told, so that forwarding can be tried."""


class Channel(Protocol):
    """One end of a connection."""

    async def read(self) -> bytes:
        """What has come; b"" at the end."""
        ...

    async def write(self, data: bytes | memoryview) -> None:
        """Send the data."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


class Echo(Channel):
    """Says back what it is told."""

    def __init__(self) -> None:
        """Nothing said yet."""
        self._said: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        """What was written."""
        return await self._said.get()

    async def write(self, data: bytes | memoryview) -> None:
        """Keep it for reading."""
        if data:
            self._said.put_nowait(bytes(data))

    async def close(self) -> None:
        """Let the reader come to the end."""
        self._said.put_nowait(b"")


Connect = Callable[[], Awaitable[Channel]]


class Ports:
    """What listens on the phone, by name: "tcp:7", "localabstract:echo"."""

    def __init__(self) -> None:
        """The echo service alone."""
        self._listeners: dict[str, Connect] = dict.fromkeys(ECHO, _echo)
        self.reversed: dict[str, str] = {}
        """What `adb reverse` opened: the phone's socket to the host's."""
        self._last_free_port = 40000

    async def connect(self, name: str) -> Channel:
        """Connect to a socket of the phone.

        Raises:
            ConnectionRefusedError: nothing listens there.
        """
        listener = self._listeners.get(name)
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED), name)
        return await listener()

    def listen(self, name: str, connect: Connect) -> None:
        """Open a socket on the phone."""
        self._listeners[name] = connect

    def reverse(self, name: str, host_name: str, connection: Connection) -> str:
        """Open a socket on the phone that leads to one of the host; returns its name.

        `tcp:0` takes a free port.
        """
        if name == "tcp:0":
            self._last_free_port += 1
            name = f"tcp:{self._last_free_port}"
        self.reversed[name] = host_name
        self._listeners[name] = lambda: connection.open(host_name)
        return name

    def remove_reverse(self, name: str) -> bool:
        """Close what `reverse` opened; False if there is no such socket."""
        self._listeners.pop(name, None)
        return self.reversed.pop(name, None) is not None


async def _echo() -> Channel:
    return Echo()


async def splice(one: Channel, other: Channel) -> None:
    """Carry data both ways until both sides have ended."""

    async def carry(source: Channel, target: Channel) -> None:
        while data := await source.read():
            await target.write(data)
        await target.close()

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carry(one, other))
            tasks.create_task(carry(other, one))
    except* ConnectionError:
        await other.close()  # one side hung up
