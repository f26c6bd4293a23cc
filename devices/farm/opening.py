"""From what `--devices` says to a farm.

phone:8             eight virtual phones in this process
browser:4           four pages of one browser
android:all         every phone that adb lists as ready, and those that are plugged in later
android:A,B         these
adb-phone:4         four virtual phones behind an adb server of their own
avd:Pixel_6:4       four emulators of one AVD, each from its snapshot
ray+phone:8         any of these on every computer of a Ray cluster
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from devices.farm.in_process import FactorySource
from devices.farm.options import FarmOptions
from devices.farm.pool import DeviceFarm
from devices.farm.source import DeviceSource
from devices.registry import FACTORIES, resolve_devices
from gui_agent.device import TaskSource
from gui_agent.errors import ConfigError
from gui_agent.named_options import suggestion


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
    """
    return DeviceFarm([source_for(devices, suite)], options=options, status_path=status_path)


def source_for(devices: str, suite: TaskSource) -> DeviceSource:
    """The source of devices of that name; raises as `farm_for` does."""
    if devices.startswith(RAY_PREFIX):
        return _on_cluster(devices.removeprefix(RAY_PREFIX), suite)
    world, _, which = devices.partition(":")
    behind_adb = _BEHIND_ADB.get(world)
    if behind_adb is not None:
        return behind_adb(devices, which, suite)
    if world not in FACTORIES:
        known = (*FACTORIES, *_BEHIND_ADB)
        raise ConfigError(
            f"devices {devices!r}: there is no world {world!r}; {suggestion(world, known)}, each with "
            f"{RAY_PREFIX} in front for a Ray cluster"
        )
    return FactorySource(world, resolve_devices(devices, suite))


def share_of(devices: str, *, rank: int, num_processes: int) -> str:
    """What one of several processes opens, so that no phone is used by two of them.

    Virtual phones and browsers are opened by each; phones that are named are dealt out in turn.

    Args:
        devices: as for `farm_for`.
        rank: of the process, from 0.
        num_processes: that share the devices; with 1 the name stays as it is.

    Raises:
        ConfigError: nobody can say which of the devices are whose, or there are fewer than processes.
    """
    world, _, which = devices.removeprefix(RAY_PREFIX).partition(":")
    if num_processes == 1 or world not in _USED_BY_ONE:
        return devices
    serials = [serial.strip() for serial in which.split(",") if serial.strip()]
    one_process = "or start one process, whose episodes use all devices side by side"
    if devices.startswith(RAY_PREFIX) or world != "android" or serials in ([], ["all"]):
        raise ConfigError(
            f"devices {devices!r}: {num_processes} processes would open the same ones; name phones, at least "
            f"one for each process (android:SERIAL,SERIAL), {one_process}"
        )
    if len(serials) < num_processes:
        raise ConfigError(
            f"devices {devices!r}: {num_processes} processes would share {len(serials)} phones, and each "
            f"needs one of its own; name at least {num_processes}, {one_process}"
        )
    return f"{world}:{','.join(serials[rank::num_processes])}"


def is_used_by_one(devices: str) -> bool:
    """Whether devices of that name are there once, however many processes open them."""
    return devices.removeprefix(RAY_PREFIX).partition(":")[0] in _USED_BY_ONE


# What is imported inside: other worlds need neither adb nor Ray.


def _on_cluster(devices: str, suite: TaskSource) -> DeviceSource:
    from devices.farm.ray_source import RaySource

    world = devices.partition(":")[0]
    if world not in (*_BEHIND_ADB, *FACTORIES):
        known = ", ".join(f"{RAY_PREFIX}{one}" for one in (*_BEHIND_ADB, *FACTORIES))
        raise ConfigError(f"devices '{RAY_PREFIX}{devices}': there is no world {world!r}; there are {known}")
    return RaySource(devices, suite.suite)


def _android(devices: str, which: str, suite: TaskSource) -> DeviceSource:
    from devices.android.factory import android_devices
    from devices.android.server import AdbServer
    from devices.farm.android import AndroidSource
    from devices.phone.adb.control import find_control

    server = AdbServer.from_environment()
    return AndroidSource(
        lambda: android_devices(which, suite).serials,  # refuses what cannot be, with what to do about it
        name=devices,
        server=server,
        channel_of=lambda serial: find_control(serial, adb_server_port=server.port),
        joins=which in ("", "all"),
    )


def _adb_phones(devices: str, which: str, suite: TaskSource) -> DeviceSource:
    from devices.farm.phones import AdbPhoneSource
    from devices.phone.display import PHONE_DISPLAY
    from devices.phone.factory import phone_devices

    number = _number(devices, which)
    if suite.suite.partition("/")[0] in _FOR_ANY_PHONE:
        return AdbPhoneSource(number, display=PHONE_DISPLAY, suite="phone")
    return AdbPhoneSource(number, display=phone_devices(number, suite).display)


def _avds(devices: str, which: str, suite: TaskSource) -> DeviceSource:
    from devices.farm.avd import AvdSettings, AvdSource

    name, _, count = which.partition(":")
    return AvdSource(AvdSettings(avd=name, num_emulators=_number(devices, count)))


def _number(devices: str, which: str) -> int:
    if which and not (which.isdecimal() and int(which) >= 1):
        raise ConfigError(
            f"devices {devices!r}: {which!r} is no number of devices; write a number from 1 on at the end"
        )
    return int(which or 1)


_FOR_ANY_PHONE: Final = ("android", "android_world")
"""Worlds of tasks that find a phone with whatever is on it."""

_BEHIND_ADB: Final[dict[str, Callable[[str, str, TaskSource], DeviceSource]]] = {
    "android": _android,
    "adb-phone": _adb_phones,
    "avd": _avds,
}

_USED_BY_ONE: Final = ("android", "avd")
"""Phones that exist once, and emulators on ports that are taken once."""

RAY_PREFIX: Final = "ray+"
"""In front of devices that are on the computers of a Ray cluster."""


def answer_when_they_will(devices: str) -> bool:
    """Whether devices of that name are behind adb or on other computers, each with a time of its own."""
    return devices.startswith(RAY_PREFIX) or devices.partition(":")[0] in _BEHIND_ADB
