"""The phone's side of adb: a server on the loopback address that the adb server connects to."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from devices.phone.adb.android import Android
from devices.phone.adb.connection import Connection, Stream
from devices.phone.adb.faults import Fault
from devices.phone.adb.protocol import MAX_DATA_BYTES, ProtocolError, banner
from devices.phone.adb.services import SERVICES, Request
from gui_agent.errors import ConfigError

HOST: Final = "127.0.0.1"
_SEND_BUFFER_BYTES: Final = 2 << 20


class AdbDaemon:
    """Lets one adb server, or several, talk to one phone.

    Args:
        android: the phone.

    Attributes:
        port: where it listens; 0 before `start`.
    """

    def __init__(self, android: Android) -> None:
        """Nothing listens before `start`."""
        self.android = android
        self.port = 0
        android.on_reboot = lambda: self._begin_outage(Fault.OFFLINE)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._outage: Fault | None = None
        self._end_of_outage: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """What `adb connect` takes, and the serial number under which adb then lists the phone."""
        return f"{HOST}:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen on a port of the loopback address; 0 takes a free one.

        Raises:
            ConfigError: the port is taken.
        """
        try:
            self._server = await asyncio.start_server(self._connected, HOST, port, limit=2 * MAX_DATA_BYTES)
        except OSError as error:
            raise ConfigError(
                f"a phone cannot listen on {HOST}:{port} ({error.strerror}); take another port"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up and stop listening."""
        if self._end_of_outage is not None:
            self._end_of_outage.cancel()
        if self._server is not None:
            self._server.close()
            self.hang_up()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def hang_up(self) -> None:
        """Break all links; an adb server will try to connect again."""
        for connection in self._connections:
            connection.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        properties = self.android.properties
        connection = Connection(
            reader,
            writer,
            banner=banner(
                product=properties["ro.product.name"],
                model=properties["ro.product.model"],
                device=properties["ro.product.device"],
            ),
            serve=self._serve,
            authorized=lambda: not self._has(Fault.UNAUTHORIZED),
        )
        if self._has(Fault.OFFLINE):
            connection.abort()
            return
        self._connections.add(connection)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await connection.run()
        except ProtocolError:
            pass  # whoever it was has been cut off; the phone goes on
        finally:
            self._connections.discard(connection)
            self._tasks.discard(task)

    def _has(self, fault: Fault) -> bool:
        return self._outage is fault or self.android.faults.is_held(fault)

    # Faults

    async def faults_changed(self) -> None:
        """Faults were held or cleared: hang up for those that break the link, let trusted hosts in."""
        if self._has(Fault.OFFLINE) or self._has(Fault.UNAUTHORIZED):
            self.hang_up()
            return
        for connection in list(self._connections):
            await connection.trust_changed()

    def _begin_outage(self, fault: Fault) -> None:
        if self._end_of_outage is not None:
            self._end_of_outage.cancel()
        self._outage = fault
        loop = asyncio.get_running_loop()
        self._end_of_outage = loop.call_later(self.android.faults.outage_s, self._outage_is_over)
        self.hang_up()

    def _outage_is_over(self) -> None:
        task = asyncio.get_running_loop().create_task(self.end_outage())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end_outage(self) -> None:
        """A drawn outage is over, if there is one: hosts are let in again."""
        if self._end_of_outage is not None:
            self._end_of_outage.cancel()
        self._outage = None
        await self.faults_changed()

    def _link_fails(self) -> bool:
        """Whether a fault drawn for this call breaks the link before it is answered."""
        for fault in (Fault.OFFLINE, Fault.UNAUTHORIZED):
            if self.android.faults.take(fault):
                self._begin_outage(fault)
                return True
        return False

    # Services

    async def _serve(self, stream: Stream, service: str) -> None:
        faults = self.android.faults
        faults.draw()
        if self._link_fails():
            return
        self.android.suffer()
        if faults.take(Fault.HANG):
            await asyncio.sleep(faults.hang_s)  # adb does not tell when its client gave up waiting
            return
        stream.bytes_per_s = self.android.profile.bytes_per_s
        if faults.take(Fault.SLOW_LINK):
            stream.bytes_per_s = faults.slow_bytes_per_s
        if faults.take(Fault.DROP):
            stream.drop_after_bytes = faults.drop_after_bytes
        name, _, argument = service.partition(":")
        name, *options = name.split(",")
        found = SERVICES.get(name)
        if found is None:
            await stream.connection.refuse(stream)
            return
        await stream.connection.accept(stream)
        request = Request(
            name=name,
            android=self.android,
            stream=stream,
            options=frozenset(options),
            argument=argument,
        )
        await found(request)
        await stream.close()
