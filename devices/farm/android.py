"""Units of phones and emulators that an adb server lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from devices.android.connection import AdbConnection
from devices.android.factory import AndroidFactory, ChannelOf, make_ready
from devices.android.server import AdbServer
from devices.android.settings import AndroidSettings
from devices.farm.deadline import within
from devices.farm.source import Identity, Unit
from gui_agent.device import Device
from gui_agent.errors import DeviceError

_WHO_ARE_YOU: Final = "echo ready; getprop ro.serialno; cat /proc/sys/kernel/random/boot_id"

Restart = Callable[[], Awaitable[bool]]


async def who_answers(connection: AdbConnection, *, timeout_s: float) -> Identity:
    """Ask a phone for an echo and its own id, in one command.

    Raises:
        DeviceError: it does not answer.
    """
    result = await connection.shell(_WHO_ARE_YOU, timeout_s=timeout_s)
    ready, serial, boot = [*result.text.splitlines(), "", "", ""][:3]
    if ready.strip() != "ready":
        raise DeviceError(connection.message("echo ready", f"answered {result.text[:80]!r}"))
    return Identity(device=serial.strip() or connection.serial, boot=boot.strip())


class AndroidUnit:
    """One phone behind adb.

    Args:
        serial: as the server lists it.
        server: the adb server.
        settings: how it is driven.
        channel_of: finds the channel of a phone of ours.
        restart: starts the phone anew and waits for it; None leaves phones alone, which is right for those
            that somebody owns.
        probe_timeout_s: for the echo.
        ready_timeout_s: how long it may take to come back after a reconnect or a restart.
    """

    def __init__(
        self,
        serial: str,
        server: AdbServer,
        *,
        settings: AndroidSettings | None = None,
        channel_of: ChannelOf | None = None,
        restart: Restart | None = None,
        probe_timeout_s: float = 3.0,
        ready_timeout_s: float = 15.0,
    ) -> None:
        """Nothing is sent before the first call."""
        self.name = serial
        self._server = server
        self._settings = settings or AndroidSettings()
        self._factory = AndroidFactory(
            [serial], server=server, settings=self._settings, channel_of=channel_of
        )
        self._restart = restart
        self._probe_timeout_s = probe_timeout_s
        self._ready_timeout_s = ready_timeout_s
        self._connection = self._new_connection()

    def _new_connection(self) -> AdbConnection:
        return AdbConnection(self.name, server=self._server, timeout_s=self._settings.timeout_s)

    async def probe(self) -> Identity:
        """An echo with the phone's serial number and the id of its boot."""
        return await who_answers(self._connection, timeout_s=self._probe_timeout_s)

    def lease(self) -> AbstractAsyncContextManager[Device]:
        """The phone."""
        return self._factory.lease()

    async def reconnect(self) -> None:
        """Let the adb server take up the link anew, and wait until the phone takes commands."""
        self._connection = self._new_connection()  # what it can do is asked anew, too
        host, colon, port = self.name.rpartition(":")
        if host and colon and port.isdecimal():
            # A link may look alive on the server's side only; so it is dropped first.
            await asyncio.to_thread(self._server.disconnect, self.name)
            await asyncio.to_thread(self._server.connect, self.name)
        else:
            await asyncio.to_thread(self._server.query, "host:reconnect-offline")
        await make_ready(self._connection, was_seen=True, timeout_s=self._ready_timeout_s)

    async def restart(self) -> bool:
        """Start the phone anew, if it is one of those that may be."""
        if self._restart is None or not await self._restart():
            return False
        self._connection = self._new_connection()
        await make_ready(self._connection, was_seen=True, timeout_s=self._ready_timeout_s)
        return True

    async def close(self) -> None:
        """Put the phone's settings back."""
        await self._factory.close()


class AndroidSource:
    """Phones of an adb server.

    Args:
        name: for people: "android:all".
        serials: the phones to begin with, or a function that asks the adb server for them, which is called in
            a thread at the start.
        server: the adb server.
        settings: how they are driven.
        channel_of: finds the channel of a phone of ours.
        joins: phones that are plugged in later become part of the farm.
        probe_timeout_s: for the echo of a phone.
        find_timeout_s: for the function that finds the phones; starting an adb server takes seconds.
    """

    def __init__(
        self,
        serials: Sequence[str] | Callable[[], Sequence[str]],
        *,
        name: str = "android",
        server: AdbServer | None = None,
        settings: AndroidSettings | None = None,
        channel_of: ChannelOf | None = None,
        joins: bool = False,
        probe_timeout_s: float = 3.0,
        find_timeout_s: float = 60.0,
    ) -> None:
        """Nothing is sent before the start."""
        self.name = name
        self._serials = serials
        self._find_timeout_s = find_timeout_s
        self._server = server or AdbServer.from_environment()
        self._settings = settings
        self._channel_of = channel_of
        self._joins = joins
        self._probe_timeout_s = probe_timeout_s
        self._used: set[str] = set()
        self._given_up: dict[str, bool] = {}  # serial to whether it was away since

    async def start(self) -> Sequence[Unit]:
        """One unit for each serial.

        Raises:
            ConfigError: a phone is named twice.
            DeviceError: there is no phone, or one that is named is not connected or not ready.
            DeviceTimeoutError: the adb server does not say which phones there are.
        """
        serials = self._serials
        if callable(serials):
            server = self._server
            what = (
                f"devices {self.name!r}: asking the adb server at {server.host}:{server.port} for its phones "
                f"(`adb -P {server.port} kill-server` ends one that hangs)"
            )
            serials = await within(self._find_timeout_s, asyncio.to_thread(serials), what)
        return [self._unit(serial) for serial in serials]

    async def scan(self) -> Sequence[Unit]:
        """Phones that were plugged in, and those that were given up, went away and came back.

        One that was listed as ready all the time, but answers nothing, is not tried for ever.
        """
        if not self._joins and not self._given_up:
            return ()
        entries = await asyncio.to_thread(self._server.devices)
        ready = {entry.serial for entry in entries if entry.ready}
        back = {serial for serial, was_away in self._given_up.items() if was_away and serial in ready}
        self._given_up |= {serial: True for serial in self._given_up if serial not in ready}
        fresh = ready - self._used if self._joins else set()
        return [self._unit(serial) for serial in sorted(fresh | back)]

    async def replace(self, unit: Unit) -> Unit | None:
        """There is no other phone, but this one may be repaired."""
        self._given_up[unit.name] = False
        return None

    async def close(self) -> None:
        """The adb server is not ours; it stays."""

    def _unit(self, serial: str) -> AndroidUnit:
        self._used.add(serial)
        self._given_up.pop(serial, None)
        return AndroidUnit(
            serial,
            self._server,
            settings=self._settings,
            channel_of=self._channel_of,
            probe_timeout_s=self._probe_timeout_s,
        )
