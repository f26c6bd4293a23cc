"""AndroidWorld's own tasks, from an unmodified checkout, on virtual phones behind the real adb server.

`make test-androidworld CHECKOUT=...` runs these. The solutions are what an agent does: taps on the phone's
Settings app, found on the screen.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from devices.android import AndroidDevice, AndroidFactory, AndroidSettings
from devices.androidworld import worker
from devices.androidworld.catalogue import Catalogue
from devices.androidworld.installation import find_installation
from devices.androidworld.suite import AndroidWorldSuite, android_world_suite
from devices.farm.guard import Labels
from devices.farm.opening import farm_for
from devices.phone.adb.control import PhoneControl
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.adb.faults import Fault
from devices.phone.adb.packages import Package
from devices.phone.display import PHONE_DISPLAY
from devices.registry import resolve_suite
from gui_agent.actions import Click, Finish
from gui_agent.agent import Decision, EpisodeContext
from gui_agent.device import ActionResult, Verdict
from gui_agent.errors import ConfigError, DeviceTimeoutError
from gui_agent.observation import Observation
from trajectories.collect import collect_episodes, group_jobs

pytestmark = pytest.mark.androidworld

SETTINGS: Final = AndroidSettings(timeout_s=5.0, settle_timeout_s=0.0, prepare=False)
NETWORK: Final = ("settings", "network")
DISPLAY: Final = ("settings", "display")
SOLUTIONS: Final = {
    "SystemWifiTurnOn": (*NETWORK, "wifi"),
    "SystemWifiTurnOff": (*NETWORK, "wifi"),
    "SystemBluetoothTurnOn": (*NETWORK, "bluetooth"),
    "SystemBluetoothTurnOff": (*NETWORK, "bluetooth"),
    "SystemBrightnessMax": (*DISPLAY, "brightness, low", "high"),
    "SystemBrightnessMin": (*DISPLAY, "brightness, high", "low"),
    "TurnOffWifiAndTurnOnBluetooth": (*NETWORK, "wifi", "bluetooth"),
    "TurnOnWifiAndOpenApp": (*NETWORK, "wifi"),  # Settings is the app to open
}
"""Names of what is tapped, in order, from the home screen on."""
MISTAKES: Final = {
    "SystemWifiTurnOn": (*NETWORK, "bluetooth"),
    "SystemWifiTurnOff": (*NETWORK, "wifi", "wifi"),
    "SystemBrightnessMax": (*DISPLAY, "brightness, low", "medium"),
}


@pytest.fixture(scope="module")
def suite() -> Iterator[AndroidWorldSuite]:
    found = android_world_suite("")
    yield found
    found.catalogue.close()
    found.sessions.close()


@pytest.fixture
async def farm() -> AsyncIterator[PhoneFarm]:
    async with PhoneFarm(FarmSettings(num_phones=2, suite="phone", display=PHONE_DISPLAY)) as phones:
        yield phones


@pytest.fixture
async def factory(farm: PhoneFarm) -> AsyncIterator[AndroidFactory]:
    serials = [phone.serial for phone in farm.phones]
    async with AndroidFactory(
        serials, server=farm.server, settings=SETTINGS, channel_of=farm.control
    ) as phones:
        yield phones


def control_of(farm: PhoneFarm, device: AndroidDevice) -> PhoneControl:
    return farm.control(device.serial)


class ScriptedAgent:
    """Taps what a script names, and closes notices that come up in between."""

    def __init__(self, device: Labels, scripts: Mapping[str, tuple[str, ...]]) -> None:
        self._device = device
        self._scripts = scripts
        self._left: deque[str] = deque()

    def start(self, context: EpisodeContext) -> None:
        self._left = deque(self._scripts[context.goal])

    async def decide(self, observation: Observation | None = None) -> Decision:
        if not self._left:
            return Decision(action=Finish())
        elements = {element.name: element for element in await self._device.elements()}
        name = "close" if "notice" in elements else self._left.popleft()
        assert name in elements, f"{name!r} is not on the screen, but {list(elements)}"
        x, y = elements[name].box.center
        return Decision(action=Click(x=x, y=y))

    async def record(self, result: ActionResult) -> None:
        assert result.error is None


async def tap(device: AndroidDevice, names: tuple[str, ...]) -> None:
    agent = ScriptedAgent(device, {"": names})
    agent.start(EpisodeContext(goal="", episode_id=""))
    result = None
    while result is None or result.stop is None:
        await device.observe()
        result = await device.execute((await agent.decide()).action)
        await agent.record(result)


# Which tasks there are


def test_the_whole_of_androidworld_is_listed(suite: AndroidWorldSuite) -> None:
    assert len(suite.templates) == 116
    assert len(resolve_suite("android_world/information_retrieval").templates) == 25
    assert set(resolve_suite("android_world/clock").templates) == {
        "ClockStopWatchPausedVerify",
        "ClockStopWatchRunning",
        "ClockTimerEntry",
        "OpenAppTaskEval",
    }
    assert all(suite.catalogue.entries[name].first.goal for name in suite.templates)
    calendar = suite.task("SimpleCalendarAddOneEvent", 1_000_000)
    assert calendar.max_steps == 34
    assert [app.package for app in calendar.apps] == ["com.simplemobiletools.calendar.pro"]
    with pytest.raises(ConfigError, match="did you mean 'SystemWifiTurnOn'"):
        resolve_suite("android_world/SystemWifiOn")


def test_every_task_is_drawn_alike_in_another_process(suite: AndroidWorldSuite) -> None:
    other = Catalogue(find_installation())
    goals = {}
    for name in suite.templates:
        for seed in (3, 1_000_000):
            goals[name, seed] = suite.task(name, seed).goal
            assert other.describe(name, seed).goal == goals[name, seed]
    other.close()
    assert "folder_20231015_" in goals["MarkorCreateFolder", 3]  # named by a clock, which is the phone's
    drawn = [(goals[name, 3], goals[name, 1_000_000]) for name in suite.templates]
    assert sum(one != two for one, two in drawn) > 70  # those that have anything to draw


def test_the_checkout_stays_as_it_is() -> None:
    checkout = find_installation().checkout
    assert checkout is not None
    if (checkout / ".git").exists():
        status = ["git", "-C", str(checkout), "status", "--porcelain", "--ignored"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
        assert changed == ""
    assert not list(checkout.rglob("*_pb2.py"))


DUMP: Final = """<?xml version='1.0' encoding='UTF-8'?><hierarchy rotation="0">
<node class="android.widget.FrameLayout" package="com.android.settings" bounds="[0,0][100,200]">
<node class="android.widget.EditText" text="Jane" focused="true" enabled="true" bounds="[5,6][70,80]"
 resource-id="com.android.settings:id/name" content-desc="" package="com.android.settings"/>
<node class="android.widget.Switch" content-desc="Wi-Fi" checkable="true" checked="true" bounds="none"/>
</node></hierarchy>"""
ELEMENTS: Final = """
import json, sys
import worker
from android_world.env import representation_utils
for one in representation_utils.forest_to_ui_elements(worker.forest_of(sys.argv[1])):
    box = one.bbox_pixels
    print(json.dumps([one.text, one.content_description, one.resource_name, one.is_checked, one.is_editable,
                      one.is_focused, [box.x_min, box.y_min, box.x_max, box.y_max]]))
"""


def test_androidworld_reads_the_forest_of_a_dump() -> None:
    """The layout around the two widgets has no name, so AndroidWorld leaves it out."""
    installation = find_installation()
    folders = os.pathsep.join([str(Path(worker.__file__).parent), str(installation.checkout or "")])
    environment = {**os.environ, "PYTHONPATH": folders, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(installation.python), "-c", ELEMENTS, DUMP]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        ["Jane", None, "com.android.settings:id/name", False, True, True, [5, 6, 70, 80]],
        [None, "Wi-Fi", None, True, False, False, [0, 0, 0, 0]],
    ]


# On phones


@pytest.mark.parametrize("name", SOLUTIONS)
async def test_a_solution_passes_and_an_untouched_phone_fails(
    name: str, suite: AndroidWorldSuite, factory: AndroidFactory
) -> None:
    async with factory.lease() as device:
        await device.reset(suite.task(name, 1_000_000))
        assert (await device.observe()).foreground_app == "com.android.launcher3"
        outcome = await device.check()
        assert (outcome.verdict, outcome.progress) == (Verdict.FAILURE, 0.0)
        await tap(device, SOLUTIONS[name])
        outcome = await device.check()
        assert (outcome.verdict, outcome.progress) == (Verdict.SUCCESS, 1.0)


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_fails(name: str, suite: AndroidWorldSuite, factory: AndroidFactory) -> None:
    async with factory.lease() as device:
        await device.reset(suite.task(name, 1_000_000))
        await tap(device, MISTAKES[name])
        assert (await device.check()).verdict is Verdict.FAILURE


async def test_half_of_two_tasks_is_half(suite: AndroidWorldSuite, factory: AndroidFactory) -> None:
    async with factory.lease() as device:
        await device.reset(suite.task("TurnOffWifiAndTurnOnBluetooth", 1_000_000))
        await tap(device, (*NETWORK, "wifi"))
        outcome = await device.check()
        assert (outcome.verdict, outcome.progress) == (Verdict.FAILURE, 0.5)


async def test_a_phone_is_set_to_androidworlds_day(suite: AndroidWorldSuite, factory: AndroidFactory) -> None:
    async with factory.lease() as device:
        await device.reset(suite.task("SystemWifiTurnOn", 0))
        assert (await device.connection.check_shell("date +%Y-%m-%dT%H")).strip() == "2023-10-15T15"
        assert (await device.connection.check_shell("settings get global auto_time")).strip() == "0"
        assert (await device.connection.check_shell("settings get global wifi_on")).strip() == "0"


async def test_tasks_of_apps_that_are_not_there_are_refused(
    suite: AndroidWorldSuite, factory: AndroidFactory
) -> None:
    async with factory.lease() as device:
        with pytest.raises(ConfigError, match=r"'clipper' \(ca.zgrs.clipper\).*downloads clipper.apk"):
            await device.reset(suite.task("SystemCopyToClipboard", 0))
        with pytest.raises(ConfigError, match=r"'clock' \(com.google.android.deskclock\).*Google APIs"):
            await device.reset(suite.task("ClockTimerEntry", 0))


async def test_checks_that_read_the_screen_get_a_forest_and_a_picture(
    suite: AndroidWorldSuite, farm: PhoneFarm, factory: AndroidFactory
) -> None:
    """The stand-ins for two apps are empty: their checks must come to a judgement, which is no."""
    async with factory.lease() as device:
        for name in ("com.google.android.deskclock", "com.google.android.contacts"):
            farm.daemons[device.serial].android.added[name] = Package(name=name, activity=f"{name}.Main")
        for task in ("ClockTimerEntry", "ClockStopWatchRunning", "ContactsNewContactDraft"):
            await device.reset(suite.task(task, 0))
            outcome = await device.check()
            assert (outcome.verdict, outcome.progress) == (Verdict.FAILURE, 0.0), outcome.detail


async def test_a_fault_during_a_check_is_no_verdict(
    suite: AndroidWorldSuite, farm: PhoneFarm, factory: AndroidFactory
) -> None:
    async with factory.lease() as device:
        await device.reset(suite.task("SystemWifiTurnOn", 0))
        device.settings = replace(device.settings, timeout_s=0.3)
        await control_of(farm, device).once(Fault.HANG)
        with pytest.raises(DeviceTimeoutError, match="settings get global wifi_on"):
            await device.check()


async def test_episodes_of_a_farm_are_scored_by_androidworld() -> None:
    """Two phones at once, each with a process of AndroidWorld's; half of the episodes do nothing."""
    names = ("SystemWifiTurnOn", "SystemWifiTurnOff", "SystemBluetoothTurnOn", "SystemBrightnessMin")
    suite = resolve_suite(f"android_world/{','.join(names)}")
    tasks = [suite.task(name, 1_000_000) for name in names]
    solutions = {task.goal: SOLUTIONS[task.template] for task in tasks}
    idle = dict.fromkeys(solutions, ())
    verdicts = []
    async with farm_for("adb-phone:2", suite) as farm:
        for script in (solutions, idle):
            jobs = group_jobs(tasks, num_generations=2)
            async for record in collect_episodes(
                jobs,
                farm,
                lambda device, script=script: ScriptedAgent(device, script),  # type: ignore[misc]
                concurrency=2,
            ):
                verdicts.append(record.trajectory.outcome.verdict)
    assert verdicts == [Verdict.SUCCESS] * 8 + [Verdict.FAILURE] * 8
