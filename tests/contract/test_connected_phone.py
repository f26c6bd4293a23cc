"""What every phone behind adb promises: on the one named by `--android-serial`, else on a virtual one.

    make test-phone SERIAL=emulator-5554

Opens the settings, goes home, taps and scrolls; settings that are changed are put back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from devices.android import (
    AdbConnection,
    AdbServer,
    AndroidDevice,
    AndroidFactory,
    AndroidSettings,
    android_suite,
)
from devices.android.capture import CaptureMode, Capturer
from devices.android.preflight import CheckStatus, Preflight
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.display import PHONE_DISPLAY
from gui_agent.actions import (
    Answer,
    Button,
    Click,
    Direction,
    Finish,
    OpenApp,
    ParseError,
    PressKey,
    Scroll,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.device import StopReason, Verdict

TASK = android_suite("Look around").task("goal", 0)


@pytest.fixture
def phone_serial(request: pytest.FixtureRequest) -> str:
    """The phone that was named, "" for a virtual one."""
    return str(request.config.getoption("--android-serial"))


@pytest.fixture
def server(request: pytest.FixtureRequest, phone_serial: str) -> AdbServer:
    """The user's adb server for a named phone, one of our own otherwise."""
    return AdbServer.from_environment() if phone_serial else request.getfixturevalue("adb_server")


@pytest.fixture(params=["", pytest.param("debian_adbd", marks=pytest.mark.adbd)])
async def serial(request: pytest.FixtureRequest, phone_serial: str, server: AdbServer) -> AsyncIterator[str]:
    if phone_serial:
        yield phone_serial
        return
    daemon_of = request.getfixturevalue(request.param) if request.param else AdbDaemon
    settings = FarmSettings(display=PHONE_DISPLAY, suite="phone", adb_server_port=server.port)
    async with PhoneFarm(settings, daemon_of=daemon_of) as farm:
        yield farm.phones[0].serial


@pytest.fixture
async def device(serial: str, server: AdbServer) -> AsyncIterator[AndroidDevice]:
    settings = AndroidSettings(settle_timeout_s=2.0)
    async with (
        AndroidFactory([serial], server=server, settings=settings) as factory,
        factory.lease() as phone,
    ):
        await phone.reset(TASK)
        yield phone


async def test_the_doctor_finds_nothing_that_forbids_use(serial: str, server: AdbServer) -> None:
    results = [result async for result in Preflight(AdbConnection(serial, server=server)).run()]
    failed = [result for result in results if result.status is CheckStatus.FAILED]
    assert not failed


async def test_raw_pictures_and_pngs_show_the_same(device: AndroidDevice) -> None:
    await device.observe()
    frames = [
        await Capturer(device.connection, mode=mode).frame() for mode in (CaptureMode.RAW, CaptureMode.PNG)
    ]
    assert np.array_equal(frames[0].below(200), frames[1].below(200))
    assert not frames[0].is_black


async def test_looking_changes_nothing_and_home_looks_like_home(device: AndroidDevice) -> None:
    home = await device.observe()
    assert home.foreground_app
    assert home.state_key
    assert (await device.observe()).foreground_app == home.foreground_app
    await device.execute(OpenApp(name="settings"))
    settings = await device.observe()
    assert settings.foreground_app != home.foreground_app
    assert settings.state_key != home.state_key
    await device.execute(SystemButton(button=Button.HOME))
    assert (await device.observe()).foreground_app == home.foreground_app


async def test_the_agents_mistakes_are_data(device: AndroidDevice) -> None:
    shot = (await device.observe()).screenshot
    for mistake in (
        ParseError(reason="no command", text="tap tap"),
        Click(x=shot.width_px, y=5),
        Click(x=3, y=-1),
        PressKey(key="no such key"),
        OpenApp(name="org.no.such.app"),
        TypeText(text="nobody listens"),
    ):
        result = await device.execute(mistake)
        assert result.executed is None, mistake
        assert result.error
        assert result.stop is None


async def test_widgets_lie_on_the_screen_and_a_tap_on_one_does_something(device: AndroidDevice) -> None:
    await device.execute(OpenApp(name="settings"))
    seen = await device.observe()
    elements = await device.elements()
    assert elements
    for element in elements:
        assert 0 <= element.box.left < element.box.right <= seen.screenshot.width_px
        assert 0 <= element.box.top < element.box.bottom <= seen.screenshot.height_px
    height_px = seen.screenshot.height_px
    row = next(e for e in elements if e.clickable and height_px // 4 < e.box.center[1] < 3 * height_px // 4)
    x, y = row.box.center
    assert (await device.execute(Click(x=x, y=y))).error is None
    assert (await device.observe()).state_key != seen.state_key


async def test_gestures_and_keys_are_taken(device: AndroidDevice) -> None:
    await device.execute(OpenApp(name="settings"))
    for action in (
        Scroll(direction=Direction.DOWN),
        Scroll(direction=Direction.UP),
        PressKey(key="volume_down"),
        PressKey(key="volume_up"),
        SystemButton(button=Button.BACK),
        Wait(duration_s=0.1),
        Answer(text="42"),
    ):
        result = await device.execute(action)
        assert (result.executed, result.error) == (action, None)
    assert (await device.execute(Finish())).stop is StopReason.FINISHED


async def test_nobody_scores_a_goal_in_words(device: AndroidDevice) -> None:
    assert (await device.check()).verdict is Verdict.UNSCORED
    assert await device.next_expert_action() is None
