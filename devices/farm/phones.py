"""Virtual phones over adb: the whole way of a real phone, in one process, with an adb server of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from devices.android.settings import AndroidSettings
from devices.farm.android import AndroidUnit
from devices.farm.source import Unit
from devices.phone.adb.control import PhoneControl
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.display import QUICKSTART_DISPLAY, PhoneDisplay
from gui_agent.errors import ConfigError, DeviceError


class AdbPhoneSource:
    """Virtual phones in this process behind a real adb server.

    A restart puts a phone from a fresh image in a phone's place. The adb server is a child process on a port
    of its own; if it is killed, whoever asks it next starts another one there, and the phones are connected
    to that. None is left at the end.

    Args:
        num_phones: how many.
        display: the screen of each.
        suite: what is on them before their first task, as in `FarmSettings`.
        settings: how they are driven.
        profile: how long things take on them, see `devices.phone.adb.profiles`.
        popup_rate: as for `PhoneDevice`.
        probe_timeout_s: for the echo of a phone.

    Attributes:
        phones: the phones, once started.
    """

    name = "adb-phone"

    def __init__(
        self,
        num_phones: int,
        *,
        display: PhoneDisplay = QUICKSTART_DISPLAY,
        suite: str = "quickstart",
        settings: AndroidSettings | None = None,
        profile: str = "fast",
        popup_rate: float | None = None,
        probe_timeout_s: float = 3.0,
    ) -> None:
        """Nothing is started yet.

        Raises:
            ConfigError: there is not one phone, or the profile is unknown.
        """
        settings_of_phones = FarmSettings(
            num_phones=num_phones,
            display=display,
            suite=suite,
            profile=profile,
            popup_rate=popup_rate,
        )
        self.phones = PhoneFarm(settings_of_phones)
        self._settings = settings
        self._probe_timeout_s = probe_timeout_s

    def control(self, serial: str) -> PhoneControl:
        """The channel by which a phone's tasks and faults are set."""
        return self.phones.control(serial)

    async def start(self) -> Sequence[Unit]:
        """Start the phones and their adb server.

        Raises:
            DependencyError: there is no adb program.
            DeviceError: the adb server does not start, or does not take the phones.
        """
        await self.phones.start()
        return [self._unit(phone.serial) for phone in self.phones.phones]

    def _unit(self, serial: str) -> Unit:
        return AndroidUnit(
            serial,
            self.phones.server,
            settings=self._settings,
            channel_of=self.control,
            restart=partial(self._restart, serial),
            probe_timeout_s=self._probe_timeout_s,
        )

    async def _restart(self, serial: str) -> bool:
        faults = self.phones.daemons[serial].android.faults
        try:
            await self.phones.restart_phone(serial)
        except ConfigError as error:
            raise DeviceError(f"phone {serial} cannot be started again: {error}") from error
        # What is to go wrong was asked of the place, not of the phone that stood there.
        self.phones.daemons[serial].android.faults = faults
        return True

    async def scan(self) -> Sequence[Unit]:
        """No phone comes by itself."""
        return ()

    async def replace(self, unit: Unit) -> Unit | None:
        """The same place with a phone from a fresh image: what was given up may have been its link."""
        await self._restart(unit.name)
        return self._unit(unit.name)

    async def close(self) -> None:
        """End the phones and the adb server."""
        await self.phones.close()
