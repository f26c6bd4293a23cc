"""What every world promises, whatever it is made of.

The virtual phone in this process, the same behind a real adb server, a recording, a web page.
"""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from devices.android import AdbServer, AndroidFactory
from devices.browser.chromium import find_chromium
from devices.farm import DeviceFarm
from devices.farm.opening import farm_for
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.suites import phone_suite
from devices.registry import resolve_devices, resolve_suite
from gui_agent.actions import Action, Click, Finish, ParseError
from gui_agent.device import (
    Closeable,
    Demonstrator,
    Device,
    DeviceFactory,
    Restorable,
    StopReason,
    Task,
    TaskSource,
    Verdict,
)
from gui_agent.errors import DependencyError
from gui_agent.matching import get_matcher
from trajectories.collect import collect_episodes, demonstrator_for, group_jobs
from trajectories.replay import ReplayFactory, ReplaySource


async def recording() -> ReplaySource:
    """Two demonstrations on the virtual phone."""
    suite = resolve_suite("phone/quickstart")
    tasks = [suite.task(template, 3) for template in ("set_switch", "delete_note")]
    factory = resolve_devices("phone:2", suite)
    jobs = group_jobs(tasks)
    records = [record async for record in collect_episodes(jobs, factory, demonstrator_for, ordered=True)]
    screenshots = {sha: shot for record in records for sha, shot in record.screenshots.items()}
    return ReplaySource([record.trajectory for record in records], screenshots)


World = Callable[[str], AbstractAsyncContextManager[tuple[TaskSource, DeviceFactory]]]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """Opens worlds by name; those behind adb on the adb server of these tests."""

    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[tuple[TaskSource, DeviceFactory]]:
        if name.endswith(" node"):
            make = request.getfixturevalue("loopback")
            suite_name = name.removesuffix(" node")
            async with DeviceFarm([make("phone:2", suite_name).source]) as farm:
                yield resolve_suite(suite_name), farm
            return
        if name.endswith(" ray"):
            request.getfixturevalue("ray_cluster")
            source = resolve_suite(name.removesuffix(" ray"))
            async with farm_for("ray+phone:1", source) as farm:  # on each of two nodes
                yield source, farm
            return
        if not name.endswith((" adb", " adbd")):
            async with in_process_world(name) as found:
                yield found
            return
        server: AdbServer = request.getfixturevalue("adb_server")
        suite_name, _, daemon = name.removeprefix("phone/").partition(" ")
        suite = phone_suite(suite_name)
        daemon_of = AdbDaemon if daemon == "adb" else request.getfixturevalue("debian_adbd")
        settings = FarmSettings(
            num_phones=2, suite=suite.name, display=suite.display, adb_server_port=server.port
        )
        async with PhoneFarm(settings, daemon_of=daemon_of) as farm:
            serials = [phone.serial for phone in farm.phones]
            async with AndroidFactory(serials, server=server, channel_of=farm.control) as factory:
                yield suite, factory

    return opened


@asynccontextmanager
async def in_process_world(name: str) -> AsyncIterator[tuple[TaskSource, DeviceFactory]]:
    source: TaskSource
    factory: DeviceFactory
    if name == "replay":
        source, factory = await recording(), ReplayFactory(matcher=get_matcher("ui_s1"), patch_budget=0)
    else:
        suite, devices = name.split(" ")
        source = resolve_suite(suite)
        factory = resolve_devices(devices, source)
    try:
        yield source, factory
    finally:
        if isinstance(factory, Closeable):
            await factory.close()


def needs_browser() -> list[pytest.MarkDecorator]:
    try:
        find_chromium()
        missing = importlib.util.find_spec("miniwob") is None
    except DependencyError:
        missing = True
    return [pytest.mark.browser, pytest.mark.skipif(missing, reason="no Chromium or no MiniWoB++ pages")]


PHONES = ["phone/quickstart phone:2", "phone/phone phone:2"]
BROWSER = pytest.param("miniwob/quickstart browser:1", marks=needs_browser())
OVER_ADB = [
    "phone/quickstart adb",
    "phone/phone adb",
    pytest.param("phone/quickstart adbd", marks=pytest.mark.adbd),
]
ELSEWHERE = ["phone/quickstart node", pytest.param("phone/quickstart ray", marks=pytest.mark.ray)]
WORLDS = [*PHONES, *OVER_ADB, *ELSEWHERE, "replay", BROWSER]
RESTORABLE = [*PHONES, *OVER_ADB, *ELSEWHERE, "replay"]
LIMITED = [*PHONES, OVER_ADB[0], OVER_ADB[2], *ELSEWHERE, BROWSER]


def first_task(source: TaskSource) -> Task:
    return source.task(source.templates[0], 0)


async def shown(device: Device) -> tuple[str, int, int]:
    screenshot = (await device.observe()).screenshot
    return screenshot.sha256, screenshot.width_px, screenshot.height_px


@pytest.mark.parametrize("name", WORLDS)
async def test_equal_tasks_begin_in_equal_states(name: str, world: World) -> None:
    async with world(name) as (source, factory), factory.lease() as device:
        await device.reset(first_task(source))
        before = await shown(device)
        assert await shown(device) == before, "looking changes nothing"
        await device.execute(Click(x=before[1] // 2, y=before[2] // 2))
        await device.reset(first_task(source))
        assert await shown(device) == before


@pytest.mark.parametrize("name", WORLDS)
async def test_the_agents_mistakes_are_data(name: str, world: World) -> None:
    async with world(name) as (source, factory), factory.lease() as device:
        task = first_task(source)
        await device.reset(task)
        _, width_px, height_px = await shown(device)
        mistakes: list[Action | ParseError] = [
            ParseError(reason="no command", text="tap tap tap"),
            Click(x=width_px + 50, y=5),
            Click(x=3, y=-1),
            Click(x=10, y=height_px),
        ]
        for mistake in mistakes:
            await device.reset(task)
            before = await shown(device)
            result = await device.execute(mistake)
            assert result.executed is None, f"{mistake} was executed"
            assert result.error or (result.match is not None and not result.match.exact_match)
            if result.stop is None:
                assert await shown(device) == before


@pytest.mark.parametrize("name", WORLDS)
async def test_doing_nothing_is_no_success_and_checking_changes_nothing(name: str, world: World) -> None:
    async with world(name) as (source, factory), factory.lease() as device:
        await device.reset(first_task(source))
        before = await shown(device)
        for _ in range(2):
            outcome = await device.check()
            assert outcome.verdict is Verdict.FAILURE
            assert outcome.progress is None or 0 <= outcome.progress < 1
        assert await shown(device) == before
        result = await device.execute(Finish())
        assert result.stop is not None
        assert (await device.check()).verdict is Verdict.FAILURE


@pytest.mark.parametrize("name", WORLDS)
async def test_the_expert_succeeds_within_the_limit(name: str, world: World) -> None:
    async with world(name) as (source, factory), factory.lease() as device:
        assert isinstance(device, Demonstrator)
        task = first_task(source)
        await device.reset(task)
        for _ in range(task.max_steps):
            expert = await device.next_expert_action()
            assert expert is not None
            assert type(expert.action) in device.action_space
            for box in expert.boxes[:1]:
                assert isinstance(expert.action, Click)
                assert box.contains(expert.action.x, expert.action.y)
            result = await device.execute(expert.action)
            assert result.error is None
            if result.stop is not None:
                break
        assert result.stop in (StopReason.FINISHED, StopReason.TASK_ENDED, StopReason.EXPERT_END)
        outcome = await device.check()
        assert outcome.verdict is Verdict.SUCCESS
        assert outcome.progress in (None, 1.0)


@pytest.mark.parametrize("name", RESTORABLE)
async def test_a_restored_state_shows_the_same_pixels(name: str, world: World) -> None:
    async with world(name) as (source, factory), factory.lease() as device:
        assert isinstance(device, Restorable)
        await device.reset(first_task(source))
        saved, before = await device.snapshot(), await shown(device)
        assert isinstance(device, Demonstrator)
        expert = await device.next_expert_action()
        assert expert is not None
        await device.execute(expert.action)
        assert await shown(device) != before
        await device.restore(saved)
        assert await shown(device) == before


@pytest.mark.parametrize("name", LIMITED)
async def test_a_factory_lends_no_more_than_it_has_and_closing_twice_is_fine(name: str, world: World) -> None:
    async with world(name) as (source, factory):
        leases = [factory.lease() for _ in range(factory.capacity)]
        devices = [await lease.__aenter__() for lease in leases]
        waiting = asyncio.ensure_future(factory.lease().__aenter__())
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done, "one device too many was lent"
        await leases[0].__aexit__(None, None, None)
        device = await waiting
        await device.reset(first_task(source))
        for each in (*devices, device):
            await each.close()
            await each.close()
