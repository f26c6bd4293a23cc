"""From what `--devices` says to a farm."""

from __future__ import annotations

from pathlib import Path

from devices.farm.in_process import FactorySource
from devices.farm.options import FarmOptions
from devices.farm.pool import DeviceFarm
from devices.farm.source import DeviceSource
from devices.registry import resolve_devices
from gui_agent.device import TaskSource


def farm_for(
    devices: str,
    suite: TaskSource,
    *,
    options: FarmOptions | None = None,
    status_path: Path | None = None,
) -> DeviceFarm:
    """The farm of the devices that a name like "phone:8", "browser:4" or "android:all" stands for.

    Args:
        devices: as for `devices.registry.resolve_devices`.
        suite: what will run on them.
        options: deadlines and back-off.
        status_path: see `DeviceFarm`.

    Raises:
        ConfigError: the world is not known, or the number is none.
        DeviceError: a device that is named is not there.
    """
    return DeviceFarm([source_for(devices, suite)], options=options, status_path=status_path)


def source_for(devices: str, suite: TaskSource) -> DeviceSource:
    """The source of devices of that name; raises as `farm_for` does."""
    world, _, which = devices.partition(":")
    if world == "android":
        return _android(devices, which, suite)
    return FactorySource(world, resolve_devices(devices, suite))


def _android(devices: str, which: str, suite: TaskSource) -> DeviceSource:
    # Imported here: other worlds need no adb.
    from devices.android.factory import android_devices
    from devices.android.server import AdbServer
    from devices.farm.android import AndroidSource
    from devices.phone.adb.control import find_control

    server = AdbServer.from_environment()
    serials = android_devices(which, suite).serials  # refuses what cannot be, with what to do about it
    return AndroidSource(
        serials,
        name=devices,
        server=server,
        channel_of=lambda serial: find_control(serial, adb_server_port=server.port),
        joins=which in ("", "all"),
    )
