"""Units of worlds in this process: virtual phones, and pages of a browser."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from devices.farm.source import Identity, Unit
from gui_agent.device import Closeable, Device, DeviceFactory


@dataclass(frozen=True, slots=True)
class FactoryUnit:
    """One place of a factory that makes a fresh device for each lease, and so needs no other remedy."""

    name: str
    factory: DeviceFactory = field(repr=False)

    async def probe(self) -> Identity:
        """A device that does not exist yet answers; no other name can mean it."""
        return Identity()

    def lease(self) -> AbstractAsyncContextManager[Device]:
        """A fresh device."""
        return self.factory.lease()

    async def reconnect(self) -> None:
        """There is no connection."""

    async def restart(self) -> bool:
        """The next lease is a fresh device anyway."""
        return False

    async def close(self) -> None:
        """The source ends the factory."""


@dataclass(frozen=True, slots=True)
class FactorySource:
    """All places of a factory: `FactorySource("phone", PhoneFactory(num_devices=8))`.

    Args:
        name: for people; its units are called name-1, name-2, ….
        factory: ended with the source.
    """

    name: str
    factory: DeviceFactory

    async def start(self) -> Sequence[Unit]:
        """One unit for each device that can be lent at once."""
        return [
            FactoryUnit(f"{self.name}-{number + 1}", self.factory) for number in range(self.factory.capacity)
        ]

    async def scan(self) -> Sequence[Unit]:
        """A factory does not grow."""
        return ()

    async def replace(self, unit: Unit) -> Unit | None:
        """A fresh device failed as often as the last: another would, too."""
        return None

    async def close(self) -> None:
        """End what the factory holds."""
        if isinstance(self.factory, Closeable):
            await self.factory.close()
