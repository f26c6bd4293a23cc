"""Devices for the time of a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from devices.farm.opening import answer_when_they_will, farm_for, source_for
from devices.farm.options import FarmOptions
from gui_agent.device import Device, DeviceFactory, TaskSource

_DEFAULT_DEVICES: Final = {
    "phone": "phone:64",
    "miniwob": "browser:2",
    "android": "android:all",
    "android_world": "android:all",
}


def default_devices(suite: str) -> str:
    """The devices that a suite runs on unless others are asked for."""
    world = suite.partition("/")[0]
    return _DEFAULT_DEVICES.get(world, f"{world}:1")


def answer_at_once(devices: str, suite: str) -> bool:
    """Whether all devices answer in about the same time, so that episodes may wait for each other.

    Phones behind adb and devices on other computers answer when they will: in lock-step, one that hangs would
    hold up all episodes, and no run on them comes out the same twice anyway.

    Args:
        devices: as for `open_devices`.
        suite: name of what runs on them; "" if nothing does.
    """
    return not suite or not answer_when_they_will(devices or default_devices(suite))


def check_devices(devices: str, suite: TaskSource) -> None:
    """Refuse a name that stands for no devices, without looking whether they are there.

    Args:
        devices: as for `open_devices`.
        suite: what will run on them.

    Raises:
        ConfigError: there is no such world, or the suite does not run there.
        DependencyError: what drives them is not installed.
    """
    source_for(devices or default_devices(suite.suite), suite)


@asynccontextmanager
async def open_devices(
    devices: str, suite: TaskSource, *, status_path: Path | None = None, is_patient: bool = True
) -> AsyncIterator[DeviceFactory]:
    """A farm of the devices of that name, ended at the end.

    Args:
        devices: such as phone:4, browser:2, android:SERIAL or adb-phone:4, with ray+ in front those of a Ray
            cluster; empty takes the default of the suite's world.
        suite: what will run on them.
        status_path: where the farm writes how it is doing, for `gui-agent farm status`; None writes nothing.
        is_patient: devices that fail are brought back for minutes; else they are given up after one try, for
            somebody who watches.

    Raises:
        ConfigError: there is no such world, or the suite does not run there.
        DeviceError: a device that is named is not there.
    """
    name = devices or default_devices(suite.suite)
    options = FarmOptions() if is_patient else FarmOptions(max_failures=1)
    async with farm_for(name, suite, options=options, status_path=status_path) as farm:
        yield farm


@asynccontextmanager
async def one_device(devices: str, suite: TaskSource) -> AsyncIterator[Device]:
    """One device of a farm of that name, for somebody who watches; errors as of `open_devices`."""
    async with open_devices(devices, suite, is_patient=False) as factory, factory.lease() as device:
        yield device
