"""What `--devices` says: which worlds wait for each other, and what becomes of a name."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest

from devices.farm.android import AndroidSource
from devices.farm.in_process import FactorySource
from devices.farm.opening import share_of, source_for
from devices.farm.phones import AdbPhoneSource
from devices.phone.suites import phone_suite
from gui_agent.cli.devices import answer_at_once
from gui_agent.errors import ConfigError, DeviceTimeoutError


@pytest.mark.parametrize(
    ("devices", "suite", "expected"),
    [
        ("", "phone/quickstart", True),
        ("phone:8", "phone/quickstart", True),
        ("browser:4", "miniwob/quickstart", True),
        ("", "miniwob/quickstart", True),
        ("android:all", "phone/quickstart", False),
        ("adb-phone:4", "phone/quickstart", False),
        ("avd:Pixel:2", "android/Look around", False),
        ("ray+phone:8", "phone/quickstart", False),
        ("", "android/Look around", False),
        ("android:all", "", True),  # nothing runs on them: recordings are replayed in lock-step
    ],
)
def test_only_phones_behind_adb_do_not_wait_for_each_other(devices: str, suite: str, expected: bool) -> None:
    assert answer_at_once(devices, suite) is expected


async def test_a_name_becomes_a_source_with_the_screens_of_its_suite() -> None:
    suite = phone_suite("phone")
    phones = source_for("phone:3", suite)
    assert isinstance(phones, FactorySource)
    assert [unit.name for unit in await phones.start()] == ["phone-1", "phone-2", "phone-3"]
    over_adb = source_for("adb-phone:2", suite)
    assert isinstance(over_adb, AdbPhoneSource)
    assert over_adb.phones.settings.display == suite.display
    assert over_adb.phones.settings.num_phones == 2


@pytest.mark.parametrize(
    ("devices", "shares"),
    [
        ("phone:8", ["phone:8", "phone:8"]),
        ("browser:2", ["browser:2", "browser:2"]),
        ("ray+phone:8", ["ray+phone:8", "ray+phone:8"]),
        ("adb-phone:4", ["adb-phone:4", "adb-phone:4"]),
        ("android:A,B", ["android:A", "android:B"]),
        (
            "android:192.168.0.2:5555, emulator-5554,C",
            ["android:192.168.0.2:5555,C", "android:emulator-5554"],
        ),
    ],
)
def test_no_phone_belongs_to_two_processes(devices: str, shares: list[str]) -> None:
    assert [share_of(devices, rank=rank, num_processes=2) for rank in (0, 1)] == shares
    assert share_of(devices, rank=0, num_processes=1) == devices


@pytest.mark.parametrize(
    "devices", ["android", "android:all", "avd:Pixel_6:4", "ray+android:A,B", "android:A"]
)
def test_devices_that_cannot_be_dealt_out_are_refused_and_one_process_may_have_them(devices: str) -> None:
    for rank in (0, 1):  # alike, so that no process goes on and waits for the other
        with pytest.raises(ConfigError, match=r"2 processes .* start one process"):
            share_of(devices, rank=rank, num_processes=2)
    assert share_of(devices, rank=0, num_processes=1) == devices


@pytest.mark.parametrize("devices", ["phone:0", "adb-phone:0", "adb-phone:two", "tablet:2", "ray+tablet:2"])
def test_names_that_mean_nothing_are_refused(devices: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(devices.partition(":")[0])):
        source_for(devices, phone_suite("quickstart"))


async def test_the_adb_server_is_asked_beside_what_else_runs_and_not_for_ever() -> None:
    asked = threading.Event()

    def find() -> list[str]:
        assert asked.wait(30), "the event loop stood still meanwhile"
        return ["R58M", "emulator-5554"]

    starting = asyncio.ensure_future(AndroidSource(find).start())
    await asyncio.sleep(0)
    asked.set()
    assert [unit.name for unit in await starting] == ["R58M", "emulator-5554"]
    asked.clear()
    with pytest.raises(DeviceTimeoutError, match=r"'android:all': asking the adb server at .*kill-server"):
        await AndroidSource(find, name="android:all", find_timeout_s=0.01).start()
    asked.set()
