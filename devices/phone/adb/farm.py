"""Several virtual phones in this process, their control channel, and an adb server that lists them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devices.android.server import AdbServer
from devices.phone.adb.android import Android
from devices.phone.adb.control import PhoneControl
from devices.phone.adb.control_server import ControlServer
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.own_server import OwnAdbServer, answers, tell
from devices.phone.adb.packages import APP_PACKAGES
from devices.phone.adb.profiles import delay_profile
from devices.phone.adb.served import ServedPhone
from devices.phone.device import PhoneDevice, ScreenCache
from devices.phone.display import QUICKSTART_DISPLAY, PhoneDisplay
from devices.phone.suites import phone_suite
from gui_agent.errors import ConfigError, DeviceError

_CONNECT_DEADLINE_S: Final = 15.0
_LOOK_AGAIN_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmSettings:
    """What phones to serve, and how.

    Attributes:
        num_phones: at least 1.
        display: the screen of each.
        profile: how long things take: "fast", "phone" or "old_phone".
        suite: the phone that is shown before the first task is that of this suite's first task.
        popup_rate: as for `PhoneDevice`.
        adb_server_port: the adb server that shall list the phones; 0 starts one of its own, on a free port.
        emulator_names: register the phones as "emulator-<port>" instead of "127.0.0.1:<port>".
        log_path: where an own adb server writes its log; None throws it away.

    Raises:
        ConfigError: a number is out of range, or the profile or the suite is unknown.
    """

    num_phones: int = 1
    display: PhoneDisplay = QUICKSTART_DISPLAY
    profile: str = "fast"
    suite: str = "quickstart"
    popup_rate: float | None = None
    adb_server_port: int = 0
    emulator_names: bool = False
    log_path: Path | None = None

    def __post_init__(self) -> None:
        if self.num_phones < 1:
            raise ConfigError(f"num_phones is {self.num_phones}; a farm needs at least 1")
        if not 0 <= self.adb_server_port < 65536:
            raise ConfigError(f"adb_server_port is {self.adb_server_port}; expected 0 to 65535")
        delay_profile(self.profile)
        phone_suite(self.suite)


@dataclass(slots=True)
class PhoneFarm:
    """Virtual phones behind an adb server; an async context manager.

        async with PhoneFarm(FarmSettings(num_phones=4)) as farm:
            print(farm.server.port, [phone.serial for phone in farm.phones])

    Attributes:
        settings: what to serve.
        daemon_of: makes the phone's side of adb.
        phones: how each is reached, once the farm runs.
        daemons: the phones themselves by serial.
        server: the adb server.
    """

    settings: FarmSettings = field(default_factory=FarmSettings)
    daemon_of: Callable[[Android], AdbDaemon] = AdbDaemon
    phones: Sequence[ServedPhone] = ()
    daemons: dict[str, AdbDaemon] = field(default_factory=dict)
    server: AdbServer = field(default_factory=AdbServer)
    _own_server: OwnAdbServer | None = None
    _control: ControlServer | None = None
    _screens: ScreenCache = field(default_factory=ScreenCache)

    async def start(self) -> None:
        """Start the phones and connect them.

        Raises:
            DependencyError: there is no adb program.
            DeviceError: the adb server does not take the phones.
        """
        try:
            await self._start()
        except BaseException:  # a start that is cancelled leaves nothing behind either
            await self.close()
            raise

    async def _start(self) -> None:
        self._control = ControlServer(self.daemons)
        await self._control.start()
        if self.settings.adb_server_port:
            self.server = AdbServer(port=self.settings.adb_server_port)
            await asyncio.to_thread(self.server.query, "host:version")
        else:
            self._own_server = OwnAdbServer(log_path=self.settings.log_path)
            await self._own_server.start()
            self.server = self._own_server.server
        for number in range(self.settings.num_phones):
            daemon = self._new_phone(number)
            await daemon.start()
            names_emulators = self.settings.emulator_names
            self.daemons[f"emulator-{daemon.port - 1}" if names_emulators else daemon.address] = daemon
        self.phones = [self._served(serial) for serial in self.daemons]
        for serial in self.daemons:
            await self.connect(serial)

    def _new_phone(self, number: int) -> AdbDaemon:
        settings, suite = self.settings, phone_suite(self.settings.suite)
        phone = PhoneDevice(settings.display, popup_rate=settings.popup_rate, screens=self._screens)
        start = suite.task(suite.templates[0], number).plan.start
        phone.put(replace(start, popup_rate=settings.popup_rate or start.popup_rate))
        android = Android(phone, serial=f"VP{number + 1:04d}", profile=delay_profile(settings.profile))
        return self.daemon_of(android)

    async def stop_phone(self, serial: str) -> None:
        """End one phone as a crash does; the adb server shows it as offline.

        Raises:
            ConfigError: the farm has no phone of that serial.
        """
        self.control(serial)
        await self.daemons[serial].close()

    async def restart_phone(self, serial: str) -> None:
        """Put a new phone in the place of one, under the same serial, and connect it.

        Raises:
            ConfigError: the farm has no phone of that serial.
            DeviceError: the adb server does not take it.
        """
        await self.stop_phone(serial)
        old = self.daemons[serial]
        daemon = self._new_phone(list(self.daemons).index(serial))
        await daemon.start(old.port)
        self.daemons[serial] = daemon
        await self.connect(serial)

    async def reconnect(self) -> None:
        """Start the own adb server again if it has ended, and connect every phone that it does not list.

        Raises:
            DeviceError: the server does not take a phone.
        """
        if self._own_server is not None and not answers(self.server.port):
            await self._own_server.start()
        for serial in self.daemons:
            if await asyncio.to_thread(self.server.state_of, serial) != "device":
                await self.connect(serial)

    async def connect(self, serial: str) -> None:
        """Let the adb server connect to a phone, and wait until it lists it as ready.

        Raises:
            DeviceError: it does not.
        """
        daemon, said = self.daemons[serial], ""
        if self.settings.emulator_names:
            await asyncio.to_thread(tell, self.server.port, f"host:emulator:{daemon.port}")
        else:
            said = await asyncio.to_thread(self.server.connect, daemon.address)
        end_s = time.monotonic() + _CONNECT_DEADLINE_S
        while (state := await asyncio.to_thread(self.server.state_of, serial)) != "device":
            if time.monotonic() > end_s:
                raise DeviceError(
                    f"phone {serial}: the adb server at port {self.server.port} lists it as {state} after "
                    f"{_CONNECT_DEADLINE_S:.0f} s ({said or 'no answer'}); end that server and try again"
                )
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _served(self, serial: str) -> ServedPhone:
        assert self._control is not None, "phones are listed after the start"
        display = self.daemons[serial].android.physical_display
        return ServedPhone(
            serial=serial,
            adb_server_port=self.server.port,
            control_port=self._control.port,
            token=self._control.token,
            pid=os.getpid(),
            width_px=display.width_px,
            height_px=display.height_px,
            status_bar_px=display.px(display.measures.status),
            app_packages={app: package.name for app, package in APP_PACKAGES.items()},
        )

    def control(self, serial: str) -> PhoneControl:
        """The control of one of the phones.

        Raises:
            ConfigError: the farm has no phone of that serial.
        """
        for phone in self.phones:
            if phone.serial == serial:
                return PhoneControl(phone)
        known = ", ".join(phone.serial for phone in self.phones) or "none; it is not started"
        raise ConfigError(f"the farm has no phone {serial!r}; there are {known}")

    async def close(self) -> None:
        """End the phones and an own adb server; calling it twice is fine."""
        if self._own_server is None:
            await asyncio.gather(*map(self._disconnect, self.daemons))
        else:
            await self._own_server.close()
            self._own_server = None
        for daemon in self.daemons.values():
            await daemon.close()
        if self._control is not None:
            await self._control.close()
        self.daemons.clear()
        self.phones = ()

    async def _disconnect(self, serial: str) -> None:
        """Let somebody else's adb server forget a phone, if the server still runs."""
        if not self.settings.emulator_names and answers(self.server.port):
            await asyncio.to_thread(self.server.disconnect, serial)

    async def __aenter__(self) -> Self:
        """The farm, running."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        await self.close()
