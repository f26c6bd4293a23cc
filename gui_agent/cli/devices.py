"""Devices for the time of a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from devices.registry import resolve_devices
from gui_agent.device import Closeable, DeviceFactory, TaskSource

_DEFAULT_DEVICES: Final = {"phone": "phone:64", "miniwob": "browser:2", "android": "android:all"}


def default_devices(suite: str) -> str:
    """The devices that a suite runs on unless others are asked for."""
    world = suite.partition("/")[0]
    return _DEFAULT_DEVICES.get(world, f"{world}:1")


@asynccontextmanager
async def open_devices(devices: str, suite: TaskSource) -> AsyncIterator[DeviceFactory]:
    """The factory of that name, ended at the end.

    Args:
        devices: such as phone:4, browser:2 or android:SERIAL; empty takes the default of the suite's world.
        suite: what will run on them.

    Raises:
        ConfigError: there is no such world, or the suite does not run there.
    """
    factory = resolve_devices(devices or default_devices(suite.suite), suite)
    try:
        yield factory
    finally:
        if isinstance(factory, Closeable):
            await factory.close()
