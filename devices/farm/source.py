"""What a farm is made of: units, one device each, and the sources that bring them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from gui_agent.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a device says it is, by whatever name it is reached.

    Attributes:
        device: stays the same when the device starts anew; "" where a name cannot mean two devices.
        boot: of this start of it; "" if unknown. Emulators of one image all give the same serial number and
            differ in this.
    """

    device: str = ""
    boot: str = ""

    def is_same_device(self, other: Identity) -> bool:
        """Whether both are one device reached by two names, now."""
        return bool(self.device) and self == other


class Unit(Protocol):
    """One device that is lent again and again. A farm calls one method at a time."""

    @property
    def name(self) -> str:
        """How it is reached: a serial, or a number within its world."""
        ...

    async def probe(self) -> Identity:
        """Ask the device itself whether it takes commands; `DeviceError` if it does not."""
        ...

    def lease(self) -> AbstractAsyncContextManager[Device]:
        """The device, fresh, until the context ends."""
        ...

    async def reconnect(self) -> None:
        """Take up a lost connection; `DeviceError` if that failed."""
        ...

    async def restart(self) -> bool:
        """Start the device anew, from its snapshot if it has one.

        Returns:
            False if this kind of device is not restarted from here.

        Raises:
            DeviceError: it did not come back.
        """
        ...

    async def close(self) -> None:
        """Give it up; calling it twice is fine."""
        ...


class DeviceSource(Protocol):
    """Brings units and holds what they have in common, such as an adb server or a browser."""

    @property
    def name(self) -> str:
        """For people: "phone", "android:all"."""
        ...

    async def start(self) -> Sequence[Unit]:
        """Start what the units need.

        Raises:
            ConfigError: the source is impossible.
            DependencyError: a program is missing.
            DeviceError: there is no device.
        """
        ...

    async def scan(self) -> Sequence[Unit]:
        """Units that were not handed out before, such as a phone that was plugged in; often none."""
        ...

    async def replace(self, unit: Unit) -> Unit | None:
        """Another device for one that was given up; None where there is none."""
        ...

    async def close(self) -> None:
        """End everything; the units are closed already; calling it twice is fine."""
        ...
