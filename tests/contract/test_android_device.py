"""The Android driver on virtual phones behind the real adb server."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from devices.android import (
    AdbConnection,
    AdbServer,
    AndroidDevice,
    AndroidFactory,
    AndroidGoal,
    AndroidSettings,
)
from devices.android.capture import CaptureMode, Frame
from devices.android.preflight import CheckStatus, Preflight
from devices.android.server import find_adb
from devices.phone.adb.android import Android
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.adb.faults import Fault
from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite
from devices.registry import resolve_devices, resolve_suite
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    DoubleClick,
    Drag,
    Finish,
    LongPress,
    OpenApp,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_name,
)
from gui_agent.cli.main import main
from gui_agent.device import StopReason, Verdict
from gui_agent.errors import CaptureError, ConfigError, DeviceError, DeviceTimeoutError
from trajectories.collect import CollectStats, collect_episodes, demonstrator_for, group_jobs

FAST = AndroidSettings(timeout_s=3.0, settle_timeout_s=0.0, prepare=False)
GOAL = AndroidGoal(goal="look around")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A virtual phone on adb, with the phone itself beside it."""

    phone: PhoneDevice
    android: Android
    daemon: AdbDaemon
    connection: AdbConnection

    @property
    def serial(self) -> str:
        return self.daemon.address

    def factory(self, settings: AndroidSettings = FAST) -> AndroidFactory:
        return AndroidFactory([self.serial], server=self.connection.server, settings=settings)


@contextlib.asynccontextmanager
async def served(server: AdbServer, template: str = "create_note") -> AsyncIterator[Served]:
    suite = phone_suite("phone")
    phone = PhoneDevice(suite.display, popup_rate=0.0)
    await phone.reset(suite.task(template, 0))
    daemon = AdbDaemon(Android(phone, serial="TEST0"))
    await daemon.start()
    await asyncio.to_thread(server.connect, daemon.address)
    connection = AdbConnection(daemon.address, server=server, timeout_s=3.0)
    try:
        yield Served(phone=phone, android=daemon.android, daemon=daemon, connection=connection)
    finally:
        await asyncio.to_thread(server.disconnect, daemon.address)
        await daemon.close()


@pytest.fixture
async def virtual(adb_server: AdbServer) -> AsyncIterator[Served]:
    async with served(adb_server) as phone:
        yield phone


@contextlib.asynccontextmanager
async def started(phone: Served, settings: AndroidSettings = FAST) -> AsyncIterator[AndroidDevice]:
    async with phone.factory(settings).lease() as device:
        await device.reset(GOAL)
        yield device


async def tap(device: AndroidDevice, name: str) -> None:
    found = next(element for element in await device.elements() if element.name == name)
    x, y = found.box.center
    assert (await device.execute(Click(x=x, y=y))).error is None


async def test_pictures_of_both_kinds_are_those_of_the_phone_itself(virtual: Served) -> None:
    for mode in CaptureMode:
        settings = AndroidSettings(prepare=False, capture=mode)
        async with started(virtual, settings) as device:
            seen = await device.observe()
            assert seen.screenshot == (await virtual.phone.observe()).screenshot
            assert seen.foreground_app == "com.android.launcher3"
            assert not seen.secure
            again = await device.observe()
            assert (again.state_key, again.screenshot) == (seen.state_key, seen.screenshot)


async def test_the_app_that_is_named_is_the_one_in_the_picture(
    virtual: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an action has started comes to the front while the screen is still moving."""
    async with started(virtual, AndroidSettings(timeout_s=3.0, prepare=False)) as device:
        await device.observe()
        await device.execute(Wait(duration_s=0.0))
        capture, looks = device.capturer.frame, 0

        async def frame() -> Frame:
            nonlocal looks
            looks += 1
            if looks == 2:
                await virtual.phone.execute(OpenApp(name="notes"))
            return await capture()

        monkeypatch.setattr(device.capturer, "frame", frame)
        seen = await device.observe()
        assert seen.screenshot == (await virtual.phone.observe()).screenshot
        assert seen.foreground_app == "com.example.notes"


async def test_every_action_reaches_the_phone(virtual: Served) -> None:
    """After each action the picture over adb is that of the phone in this process."""
    async with started(virtual) as device:
        assert {type(action) for action in ACTIONS} == device.action_space
        for action in ACTIONS:
            result = await device.execute(action)
            assert result.executed == action, action_name(action)
            assert result.error is None
            assert (result.stop is StopReason.FINISHED) == isinstance(action, Finish)
            assert (await device.observe()).screenshot == (await virtual.phone.observe()).screenshot
        assert (await device.check()).verdict is Verdict.UNSCORED
        assert await device.next_expert_action() is None


ACTIONS: list[Action] = [
    Click(x=206, y=860),
    SystemButton(button=Button.HOME),
    OpenApp(name="notes"),
    Click(x=366, y=869),
    Click(x=206, y=122),
    TypeText(text="a b"),
    PressKey(key="backspace"),
    SystemButton(button=Button.ENTER),
    SystemButton(button=Button.BACK),
    DoubleClick(x=5, y=300),
    LongPress(x=5, y=300, duration_s=0.5),
    Drag(x=5, y=600, to_x=6, to_y=400),
    Swipe(x=5, y=400, to_x=6, to_y=600),
    Scroll(direction=Direction.DOWN),
    Wait(duration_s=0.0),
    Answer(text="42"),
    Finish(),
]


async def test_text_in_any_language_arrives_and_the_keyboard_comes_back(virtual: Served) -> None:
    keyboard = virtual.android.keyboard
    async with started(virtual) as device:
        await device.execute(OpenApp(name="notes"))
        nowhere = await device.execute(TypeText(text="nobody listens"))
        assert nowhere.executed is None
        assert "no text field has the focus" in str(nowhere.error)
        await tap(device, "new note")
        await tap(device, "title")
        typed = ""
        for text in (
            "50%s off & 'q' \"x\" $HOME `ls` ; rm -r /",
            "%%ss %",
            "Grüße, 你好, привет, שלום, 🙂",
            "tab\there",
        ):
            assert (await device.execute(TypeText(text=text))).error is None
            typed += text
            assert virtual.phone.state.page.value("title") == typed
            assert virtual.android.keyboard == keyboard
        virtual.android.disabled.add("nothing")  # the phone goes on after all that
        assert (await device.observe()).foreground_app == "com.example.notes"


async def test_the_agents_mistakes_are_data_and_name_what_there_is(virtual: Served) -> None:
    async with started(virtual) as device:
        before = (await device.observe()).screenshot
        for action, said in (
            (Click(x=412, y=5), "outside the screen of 412x915"),
            (Swipe(x=5, y=5, to_x=5, to_y=-1), "outside"),
            (OpenApp(name="org.not.there"), "no app 'org.not.there' is installed"),
            (PressKey(key="no such key"), "no key"),
            (Wait(duration_s=-1.0), "impossible"),
        ):
            result = await device.execute(action)
            assert result.executed is None
            assert said in str(result.error)
        assert (await device.observe()).screenshot == before


async def test_a_turned_phone_and_an_overridden_size_take_taps_where_they_are_seen(virtual: Served) -> None:
    async with started(virtual) as device:
        virtual.android.sensor_rotation = 1
        seen = await device.observe()
        assert (seen.screenshot.width_px, seen.screenshot.height_px) == (915, 412)
        await tap(device, "notes")
        assert (await device.observe()).foreground_app == "com.example.notes"
        virtual.android.sensor_rotation = 0
        await device.execute(SystemButton(button=Button.HOME))
        await virtual.connection.check_shell("wm size 300x700")
        seen = await device.observe()
        assert (seen.screenshot.width_px, seen.screenshot.height_px) == (300, 700)
        await tap(device, "clock")
        assert (await device.observe()).foreground_app == "com.android.deskclock"
        assert "outside" in str((await device.execute(Click(x=301, y=5))).error)


async def test_a_dark_screen_is_woken(virtual: Served) -> None:
    async with started(virtual) as device:
        seen = await device.observe()
        virtual.android.awake = False
        assert (await device.observe()).screenshot == seen.screenshot
        virtual.android.awake = False
        await device.reset(GOAL)
        assert virtual.android.awake


async def test_a_capture_that_lies_black_is_no_picture(virtual: Served) -> None:
    async with started(virtual) as device:
        seen = await device.observe()
        virtual.android.faults.once(Fault.BLACK_FRAME)
        assert (await device.observe()).screenshot == seen.screenshot
        virtual.android.faults.hold(Fault.BLACK_FRAME)
        with pytest.raises(CaptureError, match="a black picture, though the screen is on and shows"):
            await device.observe()


async def test_words_before_a_picture_are_skipped(virtual: Served) -> None:
    virtual.android.faults.hold(Fault.MULTI_DISPLAY)
    for mode in (CaptureMode.RAW, CaptureMode.PNG, CaptureMode.GZIP):
        settings = AndroidSettings(prepare=False, capture=mode)
        async with started(virtual, settings) as device:
            seen = await device.observe()
            assert seen.screenshot == (await virtual.phone.observe()).screenshot


async def test_a_tree_that_was_not_written_is_never_an_old_one(virtual: Served) -> None:
    async with started(virtual) as device:
        assert (await device.ui_tree()).known
        virtual.android.faults.hold(Fault.IDLE_STATE)
        tree = await device.ui_tree()
        assert not tree.known
        assert "idle state" in tree.missing
        assert await device.elements() == ()


async def test_a_hanging_phone_is_given_up_at_the_deadline(virtual: Served) -> None:
    async with started(virtual, AndroidSettings(timeout_s=0.5, prepare=False)) as device:
        virtual.android.faults.hold(Fault.HANG)
        with pytest.raises(DeviceTimeoutError, match=r"no answer within .*waiting for the phone") as error:
            await device.observe()
        assert virtual.serial in str(error.value)
        virtual.android.faults.clear()
        assert (await device.observe()).screenshot.width_px == 412


async def test_a_link_that_drops_in_a_picture_gives_no_half_picture(virtual: Served) -> None:
    async with started(virtual) as device:
        await device.observe()
        virtual.android.faults.hold(Fault.DROP)
        with pytest.raises(DeviceError) as error:
            await device.observe()
        assert virtual.serial in str(error.value)
        virtual.android.faults.clear()
    async with started(virtual) as device:  # the next lease waits until the phone is back
        assert (await device.observe()).screenshot == (await virtual.phone.observe()).screenshot


async def test_refused_taps_name_the_setting(virtual: Served) -> None:
    async with started(virtual) as device:
        virtual.android.faults.hold(Fault.INPUT_DENIED)
        with pytest.raises(DeviceError, match=r"input tap 3 4.*USB debugging \(Security settings\)"):
            await device.execute(Click(x=3, y=4))


async def test_phones_that_are_not_ready_say_what_to_do(virtual: Served) -> None:
    virtual.android.faults.hold(Fault.UNAUTHORIZED)
    await virtual.daemon.faults_changed()
    for _ in range(400):  # the server looks again by itself, in its own time
        if await asyncio.to_thread(virtual.connection.server.state_of, virtual.serial) == "unauthorized":
            break
        await asyncio.sleep(0.05)
    with pytest.raises(DeviceError, match=r"`true`: the phone is unauthorized.*Allow USB debugging") as error:
        await virtual.connection.shell("true")
    assert virtual.serial in str(error.value)
    with pytest.raises(DeviceError, match=r"adb devices.*is unauthorized"):
        async with virtual.factory().lease():
            raise AssertionError("an unauthorised phone was lent")


async def test_devices_by_name(
    virtual: Served, adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server.port))
    suite = resolve_suite("android/Switch Wi-Fi on")
    assert suite.task("goal", 3).goal == "Switch Wi-Fi on"
    factory = await asyncio.to_thread(resolve_devices, f"android:{virtual.serial}", suite)
    async with factory.lease() as device:
        await device.reset(suite.task("goal", 0))
        assert (await device.check()).verdict is Verdict.UNSCORED
        # A task whose check needs another world is done, and never scored, on a phone without a channel.
        await device.reset(phone_suite().task("set_switch", 0))
        assert (await device.check()).verdict is Verdict.UNSCORED
    other = f"localhost:{virtual.daemon.port}"  # the same phone a second time
    await asyncio.to_thread(adb_server.connect, other)
    try:  # in a thread, as this loop must answer for the phone meanwhile
        assert (await asyncio.to_thread(resolve_devices, "android:all", suite)).capacity == 1
        with pytest.raises(ConfigError, match="are the same phone"):
            await asyncio.to_thread(resolve_devices, f"android:{virtual.serial},{other}", suite)
    finally:
        await asyncio.to_thread(adb_server.disconnect, other)
    with pytest.raises(ConfigError, match="named twice"):
        await asyncio.to_thread(resolve_devices, f"android:{virtual.serial},{virtual.serial}", suite)
    with pytest.raises(DeviceError, match=rf"phone nope.*is not connected.*{virtual.serial} \(device\)"):
        resolve_devices("android:nope", suite)
    await asyncio.to_thread(adb_server.disconnect, virtual.serial)
    with pytest.raises(DeviceError, match="lists no phone; plug the phone in"):
        resolve_devices("android:all", suite)
    with pytest.raises(ConfigError, match="write what to do"):
        resolve_suite("android/")


async def test_an_episode_without_its_phone_is_tried_on_another(
    adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.android.factory._RECOVERY_DEADLINE_S", 0.5)
    settings = FarmSettings(num_phones=2, adb_server_port=adb_server.port)
    async with PhoneFarm(settings) as farm:
        serials = [phone.serial for phone in farm.phones]
        factory = AndroidFactory(serials, server=adb_server, channel_of=farm.control)
        jobs = group_jobs([phone_suite().task("set_switch", seed) for seed in range(6)])
        await farm.control(serials[0]).hold(Fault.OFFLINE)
        stats = CollectStats()
        records = [
            record
            async for record in collect_episodes(jobs, factory, demonstrator_for, stats=stats, concurrency=1)
        ]
        # A goal in words runs on a phone with a channel as on any other.
        await farm.control(serials[0]).clear()
        async with AndroidFactory(serials[1:], server=adb_server, channel_of=farm.control).lease() as device:
            await device.reset(GOAL)
            assert (await device.observe()).foreground_app == "com.android.launcher3"
            assert (await device.check()).verdict is Verdict.UNSCORED
            assert await device.next_expert_action() is None
        verdicts = [record.trajectory.outcome.verdict for record in records]
        assert verdicts == [Verdict.SUCCESS] * 6
        assert stats.faults >= 1
        assert stats.lost == 0


async def test_unknown_phones_and_wrong_names(adb_server: AdbServer) -> None:
    with pytest.raises(DeviceError, match=r"phone nothere.*is not connected") as error:
        async with AndroidFactory(["nothere"], server=adb_server).lease():
            raise AssertionError("lent")
    assert "devices list" in str(error.value)
    with pytest.raises(ConfigError, match="twice"):
        AndroidFactory(["a", "a"], server=adb_server)
    with pytest.raises(ConfigError, match="at least one"):
        AndroidFactory([], server=adb_server)


async def test_a_phone_that_vanishes_is_a_fault_of_the_device(adb_server: AdbServer) -> None:
    async with served(adb_server) as phone, started(phone) as device:
        await device.observe()
        await asyncio.to_thread(adb_server.disconnect, phone.serial)
        with pytest.raises(DeviceError, match="is not connected") as error:
            await device.execute(Click(x=3, y=4))
        for words in (phone.serial, "`input tap 3 4`", "not found", "devices list"):
            assert words in str(error.value)


async def test_an_adb_server_that_is_killed_comes_back_with_its_phones() -> None:
    async with PhoneFarm() as farm:
        server = farm.server
        factory = AndroidFactory([farm.phones[0].serial], server=server, channel_of=farm.control)
        task = phone_suite().task("set_switch", 0)
        try:
            async with factory.lease() as device:
                await device.reset(task)
                seen = await device.observe()
                await asyncio.to_thread(kill, server)
                with pytest.raises(DeviceError, match="is not connected"):
                    await device.observe()
            async with factory.lease() as device:
                await device.reset(task)
                assert (await device.observe()).screenshot == seen.screenshot
        finally:
            await asyncio.to_thread(kill, server)


def kill(server: AdbServer) -> None:
    subprocess.run([find_adb(), "-P", str(server.port), "kill-server"], check=True, timeout=10)


async def test_real_phones_are_kept_awake_and_put_back(virtual: Served) -> None:
    tables = virtual.android.settings
    before = {name: dict(table) for name, table in tables.items()}
    async with virtual.factory(AndroidSettings()) as factory, factory.lease() as device:
        await device.reset(GOAL)
        assert tables["global"]["stay_on_while_plugged_in"] == "7"
        assert tables["global"]["window_animation_scale"] == "0"
        await device.observe()
    assert tables == before
    gone = virtual.factory(AndroidSettings())
    async with gone.lease():
        await asyncio.to_thread(virtual.connection.server.disconnect, virtual.serial)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await gone.close()
    assert "could not be put back" in str(caught[0].message)


async def test_preflight_explains_and_undoes(virtual: Served) -> None:
    before = {name: dict(table) for name, table in virtual.android.settings.items()}
    preflight = Preflight(virtual.connection)
    found = {result.name: result async for result in preflight.run()}
    assert found["taps allowed"].status is CheckStatus.OK
    for name in ("stays awake", "animations", "rotation"):
        assert found[name].status is CheckStatus.WARNING
        assert "--fix" in found[name].remedy
    assert not any(result.status is CheckStatus.FAILED for result in found.values())
    assert virtual.android.settings == before, "looking changes nothing"

    fixing = Preflight(virtual.connection, fix=True)
    fixed = {result.name: result async for result in fixing.run()}
    assert {name for name, result in fixed.items() if result.fixed} == {
        "stays awake",
        "animations",
        "rotation",
    }
    assert virtual.android.settings != before
    await fixing.undo()
    assert virtual.android.settings == before

    virtual.android.faults.hold(Fault.INPUT_DENIED, Fault.IDLE_STATE)
    found = {result.name: result async for result in Preflight(virtual.connection).run()}
    assert found["taps allowed"].status is CheckStatus.FAILED
    assert "Security settings" in found["taps allowed"].remedy
    assert found["UI tree"].status is CheckStatus.WARNING
    absent = [
        result async for result in Preflight(AdbConnection("nope", server=virtual.connection.server)).run()
    ]
    assert [result.status for result in absent] == [CheckStatus.FAILED]


async def test_doctor_and_list_on_the_command_line(
    virtual: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(virtual.connection.server.port))

    async def say(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, list(words))
        out, err = capsys.readouterr()
        return code, out + err

    before = {name: dict(table) for name, table in virtual.android.settings.items()}
    code, said = await say("devices", "list")
    assert code == 0
    assert f"{virtual.serial}  device" in said
    code, said = await say("devices", "doctor", virtual.serial, "--fix", "--hold-s", "0")
    assert code == 0, said
    assert "ok       animations: off (changed for now)" in said
    assert virtual.android.settings == before
    code, said = await say("devices", "doctor", "nope")
    assert code == 4
    assert "failed   authorised: the phone is not connected" in said
    for words in (["--keep"], ["--hold-s", "5"], ["--fix", "--keep", "--hold-s", "5"]):
        code, said = await say("devices", "doctor", virtual.serial, *words)
        assert (code, "has no effect" in said) == (2, True)
    code, said = await say("devices", "doctor", virtual.serial, "--fix", "--keep", "--json")
    assert code == 0
    assert virtual.android.settings["global"]["stay_on_while_plugged_in"] == "7"


@pytest.fixture
def no_adb(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server listens, and the adb program is none."""
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/nowhere/adb")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")


@pytest.mark.usefixtures("no_adb")
def test_no_adb_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "list"]) == 5
    assert "adb" in capsys.readouterr().err
