"""Phones behind adb, lent one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from devices.android.capture import Capturer
from devices.android.connection import AdbConnection
from devices.android.device import AndroidDevice
from devices.android.identity import same_phones
from devices.android.preparation import TemporarySettings
from devices.android.restorable import RestorableAndroidDevice
from devices.android.server import READY, AdbServer, DeviceEntry, remedy_of
from devices.android.settings import AndroidSettings
from devices.android.tasks import TaskChannel
from gui_agent.device import Restorable, TaskSource
from gui_agent.errors import ConfigError, DeviceError, DeviceTimeoutError

_RECOVERY_DEADLINE_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.25
_FIRST_REST_S: Final = 5.0
_LONGEST_REST_S: Final = 120.0

ChannelOf = Callable[[str], TaskChannel | None]
"""From a serial to the channel of a phone that can be set and judged around adb, or None."""


class AndroidFactory:
    """Lends phones (implements `gui_agent.device.DeviceFactory`).

    A phone is checked when it is lent: it must be listed as ready and answer an echo in time. One that is
    not is reconnected for some seconds; if it does not come back, the lease fails with `DeviceError`, and
    the phone is left alone for a while, longer each time, as long as there are others.

    The first lease of a real phone keeps its screen on and switches its animations off; `close` puts that
    back. Close the factory, or use it as an async context manager.

    Args:
        serials: the phones, at least one.
        server: the adb server that they hang on.
        settings: how each is driven.
        channel_of: finds the channel of a phone of ours; None where all are real.

    Raises:
        ConfigError: no phone, or one twice.
    """

    def __init__(
        self,
        serials: Sequence[str],
        *,
        server: AdbServer | None = None,
        settings: AndroidSettings | None = None,
        channel_of: ChannelOf | None = None,
    ) -> None:
        """Nothing is sent before the first lease."""
        if not serials:
            raise ConfigError(
                "a factory of phones needs at least one serial; `gui-agent devices list` shows them"
            )
        if len(set(serials)) != len(serials):
            raise ConfigError(f"a phone is named twice in {', '.join(serials)}; name each once")
        self.serials = tuple(serials)
        self._server = server or AdbServer.from_environment()
        self._settings = settings or AndroidSettings()
        self._channel_of = channel_of
        self._idle = deque(self.serials)
        self._free = asyncio.Semaphore(len(self.serials))
        self._num_failures: dict[str, int] = {}
        self._rests_until_s: dict[str, float] = {}
        self._capturers: dict[str, Capturer] = {}
        self._prepared: dict[str, TemporarySettings] = {}

    @property
    def capacity(self) -> int:
        """How many phones can be leased at once."""
        return len(self.serials)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[AndroidDevice]:
        """A phone of one's own until the context ends; waits while all are lent.

        Raises:
            DeviceError: the phone whose turn it is does not answer.
        """
        async with self._free:
            serial = self._next_idle()
            try:
                try:
                    device = await self._device(serial)
                except DeviceError:
                    self._rest(serial)
                    raise
                self._num_failures.pop(serial, None)
                try:
                    yield device
                finally:
                    await device.close()
            finally:
                self._idle.append(serial)

    def _next_idle(self) -> str:
        """The phone that waits longest, those that failed a moment ago last."""
        now_s = time.monotonic()
        serial = min(self._idle, key=lambda one: max(0.0, self._rests_until_s.get(one, 0.0) - now_s))
        self._idle.remove(serial)
        return serial

    def _rest(self, serial: str) -> None:
        self._num_failures[serial] = self._num_failures.get(serial, 0) + 1
        rest_s = min(_LONGEST_REST_S, _FIRST_REST_S * 2 ** (self._num_failures[serial] - 1))
        self._rests_until_s[serial] = time.monotonic() + rest_s

    async def close(self) -> None:
        """Put the settings of the phones back; calling it twice is fine."""
        prepared, self._prepared = self._prepared, {}
        undone = await asyncio.gather(*(one.undo() for one in prepared.values()), return_exceptions=True)
        for result in undone:
            if isinstance(result, DeviceError):  # a phone that is gone must not fail a run that is over
                warnings.warn(str(result), stacklevel=2)
            elif isinstance(result, BaseException):
                raise result

    async def __aenter__(self) -> Self:
        """The factory itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the settings back."""
        await self.close()

    async def _device(self, serial: str) -> AndroidDevice:
        connection = AdbConnection(serial, server=self._server, timeout_s=self._settings.timeout_s)
        await make_ready(connection, was_seen=serial in self._capturers)
        settings = self._settings
        channel = None if self._channel_of is None else self._channel_of(serial)
        if channel is not None:
            settings = replace(settings, apps={**channel.app_packages, **settings.apps})
        elif settings.prepare and serial not in self._prepared:
            self._prepared[serial] = TemporarySettings(connection)
            await self._prepared[serial].stay_awake()
            await self._prepared[serial].stop_animations()
            await self._prepared[serial].hide_error_dialogs()
        if serial not in self._capturers:
            self._capturers[serial] = Capturer(
                connection,
                mode=settings.capture,
                display_id=settings.display_id,
                timeout_s=settings.timeout_s,
            )
        kind = RestorableAndroidDevice if isinstance(channel, Restorable) else AndroidDevice
        return kind(connection, settings=settings, channel=channel, capturer=self._capturers[serial])


async def make_ready(
    connection: AdbConnection, *, was_seen: bool = False, timeout_s: float | None = None
) -> None:
    """Wait until a phone has booted and takes commands; one on the network is connected again if it was lost.

    Args:
        connection: the phone.
        was_seen: it was there before, so that it may come back by itself: after a restart of the adb server
            the phones on USB take some seconds.
        timeout_s: how long it may take to come back, some seconds by default; a phone that wants an
            authorisation is not waited for.

    Raises:
        DeviceError: it did not come back, with its state and what to do.
    """
    server, serial = connection.server, connection.serial
    end_s = time.monotonic() + (_RECOVERY_DEADLINE_S if timeout_s is None else timeout_s)
    while True:
        state = await asyncio.to_thread(server.state_of, serial)
        if state == READY:
            await connection.echo()
            booted = (await connection.shell("getprop sys.boot_completed")).text.strip()
            if booted == "1":
                return
            state = "still booting"
        if state.startswith(("unauthorized", "no permissions")) or time.monotonic() > end_s:
            break
        if state == "absent" and not (was_seen or _is_address(serial)):
            break
        if state in ("absent", "offline") and _is_address(serial):
            left_s = max(_LOOK_AGAIN_S, end_s - time.monotonic())
            await asyncio.to_thread(_reconnect, server, serial, state, left_s)
        await asyncio.sleep(_LOOK_AGAIN_S)
    shown = "is not connected" if state == "absent" else f"is {state}"
    raise DeviceError(connection.message("adb devices", f"the phone {shown}", remedy_of(state)))


def _reconnect(server: AdbServer, serial: str, state: str, timeout_s: float) -> None:
    """Ask for a new connection; the next look at the phone's state says whether there is one."""
    if state == "offline":
        server.disconnect(serial)
    with contextlib.suppress(DeviceTimeoutError):
        server.connect(serial, timeout_s=timeout_s)


def _is_address(serial: str) -> bool:
    host, colon, port = serial.rpartition(":")
    return bool(host and colon and port.isdecimal())


def android_devices(which: str, suite: TaskSource) -> AndroidFactory:
    """The phones that "all" or "SERIAL,SERIAL" names.

    Args:
        which: "all" (also ""): every phone that is ready now, each once; else serials with commas between.
        suite: what will run on them; any suite may.

    Raises:
        ConfigError: a phone is named twice.
        DeviceError: there is no phone, or one that is named is not connected or not ready.
    """
    server = AdbServer.from_environment()
    entries = server.devices()
    if which in ("", "all"):
        serials = [entry.serial for entry in entries if entry.ready]
        if not serials:
            raise DeviceError(_nothing_ready(server, entries))
        twice = same_phones(serials, server)
        serials = [serial for serial in serials if serial not in twice]
    else:
        serials = [serial.strip() for serial in which.split(",") if serial.strip()]
        for serial in serials:
            _check_named(serial, server, entries)
        ready = {entry.serial for entry in entries if entry.ready}
        for serial, other in same_phones([one for one in serials if one in ready], server).items():
            raise ConfigError(f"{serial} and {other} are the same phone; name one of them")
    # Imported here: a run on real phones needs no virtual one.
    from devices.phone.adb.control import find_control

    return AndroidFactory(
        serials, server=server, channel_of=lambda serial: find_control(serial, adb_server_port=server.port)
    )


def _check_named(serial: str, server: AdbServer, entries: Sequence[DeviceEntry]) -> None:
    state = next((entry.state for entry in entries if entry.serial == serial), "absent")
    if state == READY or (_is_address(serial) and state in ("absent", "offline")):
        return  # an address is connected when it is lent
    shown = "is not connected" if state == "absent" else f"is {state}"
    listed = ", ".join(f"{entry.serial} ({entry.state})" for entry in entries) or "no phone"
    raise DeviceError(
        f"phone {serial}: `adb devices`: the phone {shown}; the adb server at {server.host}:{server.port} "
        f"lists {listed}; {remedy_of(state)}"
    )


def _nothing_ready(server: AdbServer, entries: Sequence[DeviceEntry]) -> str:
    place = f"the adb server at {server.host}:{server.port}"
    if not entries:
        return f"devices 'android:all': `adb devices`: {place} lists no phone; {remedy_of('absent')}"
    states = "; ".join(f"{entry.serial} is {entry.state}: {remedy_of(entry.state)}" for entry in entries)
    return f"devices 'android:all': `adb devices`: {place} lists no phone that takes commands: {states}"
