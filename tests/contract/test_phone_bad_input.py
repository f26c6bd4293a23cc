"""Phones that cannot be used: messages name the phone, the command, what came back and what to do.

    no adb                          test_android_device.py: test_no_adb_says_how_to_get_one
    no phone; no such serial;       here
    unauthorised; offline
    no answer                       test_android_device.py: test_a_hanging_phone_is_given_up_at_the_deadline
    a phone that vanishes           here; test_android_device.py: test_an_episode_without_its_phone_is_tried…
    taps that the phone refuses     test_android_device.py: test_refused_taps_name_the_setting

The agent's mistakes are data, in the words of the driver; they name what was wrong and what there is:

    text that cannot be typed       here; test_android_driver.py: test_text_that_no_phone_can_type…
    a point outside the screen      here; test_device_contract.py; test_connected_phone.py
    an app that is not installed    here; test_android_driver.py: test_apps_that_are_none
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from devices.android import AdbServer, AndroidFactory
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.adb.faults import Fault
from devices.phone.suites import phone_suite
from gui_agent.actions import Action, Click, OpenApp, TypeText
from gui_agent.cli.main import main
from gui_agent.errors import DeviceError

Collect = Callable[[str], "asyncio.Future[int]"]


@pytest.fixture
async def phones(adb_server: AdbServer) -> AsyncIterator[PhoneFarm]:
    async with PhoneFarm(FarmSettings(adb_server_port=adb_server.port)) as farm:
        yield farm


@pytest.fixture
def collect(adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Collect:
    """Runs `gui-agent collect` in a thread, as the phones answer in this one."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server.port))

    def run(devices: str) -> asyncio.Future[int]:
        words = ["collect", "--suite", "phone/quickstart", "--episodes", "1", "--devices", devices]
        return asyncio.ensure_future(asyncio.to_thread(main, [*words, "--output", str(tmp_path / "store")]))

    return run


async def until_listed_as(state: str, serial: str, server: AdbServer) -> None:
    async with asyncio.timeout(60):
        while await asyncio.to_thread(server.state_of, serial) != state:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.05)


async def test_no_phone(collect: Collect, adb_server: AdbServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert await collect("android:all") != 0
    said = capsys.readouterr().err
    for words in (
        "'android:all'",
        "`adb devices`",
        f":{adb_server.port}",
        "lists no phone",
        "plug the phone in",
    ):
        assert words in said


async def test_a_serial_that_is_none(
    collect: Collect, phones: PhoneFarm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await collect("android:R58M123ABC") != 0
    said = capsys.readouterr().err
    listed = f"{phones.phones[0].serial} (device)"
    for words in ("phone R58M123ABC", "`adb devices`", "is not connected", listed, "plug the phone in"):
        assert words in said


@pytest.mark.parametrize(
    ("fault", "state", "remedy"),
    [
        (Fault.UNAUTHORIZED, "unauthorized", "accept 'Allow USB debugging'"),
        (Fault.OFFLINE, "offline", "`adb disconnect` and `adb connect`"),
    ],
)
async def test_a_phone_that_is_not_ready(
    fault: Fault,
    state: str,
    remedy: str,
    collect: Collect,
    phones: PhoneFarm,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serial = phones.phones[0].serial
    await phones.control(serial).hold(fault)
    await until_listed_as(state, serial, phones.server)
    # An address that is offline is connected anew for some time when it is named.
    for devices in ("android:all", *([f"android:{serial}"] if state == "unauthorized" else [])):
        assert await collect(devices) != 0
        said = capsys.readouterr().err
        for words in (serial, "`adb devices`", f"is {state}", remedy):
            assert words in said, said


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (Click(x=5000, y=5), "outside the screen"),
        (OpenApp(name="org.no.such.app"), "no app 'org.no.such.app' is installed"),
        (TypeText(text="nobody listens"), "no text field"),
    ],
)
async def test_the_agents_mistakes_say_what_was_wrong(mistake: Action, words: str, phones: PhoneFarm) -> None:
    factory = AndroidFactory([phones.phones[0].serial], server=phones.server, channel_of=phones.control)
    async with factory.lease() as device:
        await device.reset(phone_suite().task("set_switch", 0))
        result = await device.execute(mistake)
        assert result.executed is None
        assert words in str(result.error)


async def test_a_phone_that_vanishes_in_an_episode(phones: PhoneFarm) -> None:
    serial = phones.phones[0].serial
    factory = AndroidFactory([serial], server=phones.server, channel_of=phones.control)
    async with factory.lease() as device:
        await device.reset(phone_suite().task("set_switch", 0))
        await device.observe()
        await phones.stop_phone(serial)
        with pytest.raises(DeviceError) as error:
            await device.execute(Click(x=3, y=4))
        for words in (serial, "`input tap 3 4`", "the phone is", "adb connect"):
            assert words in str(error.value), error.value
