"""The promises of a `Device`, kept by a real browser on small pages written here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from devices.browser import BrowserDevice, BrowserFactory, BrowserSettings, SiteTask
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
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.device import Device, StopReason, Verdict
from gui_agent.errors import ConfigError, DeviceError, DeviceTimeoutError

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# Every event that reaches the page is written into `log`, which only the tests read.
RECORDER = """<!doctype html><body style="margin:0">
<input id=field style="position:absolute;left:10px;top:10px;width:100px;height:20px">
<button style="position:absolute;left:10px;top:50px;width:60px;height:30px">Save</button>
<a href="other.html" style="position:absolute;left:10px;top:100px">more</a>
<div id=pane style="position:absolute;left:100px;top:60px;width:90px;height:90px;overflow:auto">
<div style="height:900px;width:900px">long</div></div>
<script>
const log = [];
for (const kind of ['click', 'dblclick', 'mousedown', 'mouseup'])
  addEventListener(kind, event => log.push([kind, event.clientX, event.clientY, event.timeStamp]));
let moves = 0;
addEventListener('mousemove', event => { if (event.buttons) moves++; });
addEventListener('keydown', event => log.push(['key', (event.ctrlKey ? 'ctrl+' : '') + event.key]));
</script>"""
SETTINGS = BrowserSettings(width_px=200, height_px=160, timeout_s=8.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def factory(chromium: Path) -> AsyncIterator[BrowserFactory]:
    async with BrowserFactory(2, settings=SETTINGS) as pages:
        yield pages


@pytest_asyncio.fixture(loop_scope="module")
async def device(factory: BrowserFactory) -> AsyncIterator[BrowserDevice]:
    async with factory.lease() as leased:
        yield leased


@pytest.fixture
def site(tmp_path: Path) -> SiteTask:
    (tmp_path / "index.html").write_text(RECORDER)
    (tmp_path / "other.html").write_text("<!doctype html><title>other</title><h1>Another page")
    return SiteTask(url=(tmp_path / "index.html").as_uri())


async def events(device: BrowserDevice) -> list[list[object]]:
    found: list[list[object]] = await device.page.evaluate("() => log.splice(0)")
    return found


async def test_it_is_a_device_and_looking_changes_nothing(device: BrowserDevice, site: SiteTask) -> None:
    as_device: Device = device
    await as_device.reset(site)
    await as_device.execute(Click(x=50, y=20))  # a caret that blinks would make two looks differ
    first, second = await as_device.observe(), await as_device.observe()
    assert first == second
    assert first.state_key is not None
    assert (first.screenshot.width_px, first.screenshot.height_px) == (200, 160)
    assert (await as_device.check()).verdict is Verdict.UNSCORED


async def test_the_pointer_does_what_the_action_says(device: BrowserDevice, site: SiteTask) -> None:
    await device.reset(site)
    assert (await device.execute(Click(x=31, y=62))).executed == Click(x=31, y=62)
    assert [event[:3] for event in await events(device)] == [
        ["mousedown", 31, 62],
        ["mouseup", 31, 62],
        ["click", 31, 62],
    ]
    await device.execute(DoubleClick(x=31, y=62))
    assert [event[0] for event in await events(device)].count("dblclick") == 1
    await device.execute(LongPress(x=31, y=62, duration_s=0.2))
    down, up = [event for event in await events(device) if event[0] in ("mousedown", "mouseup")]
    assert float(str(up[3])) - float(str(down[3])) >= 190
    await device.execute(Drag(x=20, y=140, to_x=80, to_y=150))
    dragged = await events(device)
    assert ["mousedown", 20, 140] in [event[:3] for event in dragged]
    assert ["mouseup", 80, 150] in [event[:3] for event in dragged]
    assert await device.page.evaluate("() => moves") >= 2


async def test_keys_and_text_go_where_the_focus_is(device: BrowserDevice, site: SiteTask) -> None:
    await device.reset(site)
    value = "() => document.getElementById('field').value"
    await device.execute(Click(x=50, y=20))
    await device.execute(TypeText(text="héllo 2"))
    assert await device.page.evaluate(value) == "héllo 2"
    await device.execute(PressKey(key="ctrl+a"))
    await device.execute(TypeText(text="x"))
    assert await device.page.evaluate(value) == "x"
    await events(device)
    await device.execute(SystemButton(button=Button.ENTER))
    await device.execute(PressKey(key="tab"))
    assert await events(device) == [["key", "Enter"], ["key", "Tab"]]


async def test_scrolling_shows_what_lies_in_the_direction(device: BrowserDevice, site: SiteTask) -> None:
    await device.reset(site)
    offset = "() => [document.getElementById('pane').scrollLeft, document.getElementById('pane').scrollTop]"
    await device.execute(Scroll(direction=Direction.DOWN, x=140, y=100))
    assert await device.page.evaluate(offset) == [0, 64]  # 0.4 of 160 pixels
    await device.execute(Scroll(direction=Direction.RIGHT, x=140, y=100))
    assert await device.page.evaluate(offset) == [80, 64]
    await device.execute(Swipe(x=140, y=80, to_x=140, to_y=110))  # the finger pulls the content down
    assert await device.page.evaluate(offset) == [80, 34]


async def test_a_mistake_of_the_agent_is_data(device: BrowserDevice, site: SiteTask) -> None:
    mistakes: list[Action | ParseError] = [
        Click(x=200, y=10),
        Click(x=5, y=-1),
        Drag(x=5, y=5, to_x=5, to_y=160),
        OpenApp(name="Clock"),
        PressKey(key="volume_up"),
        SystemButton(button=Button.HOME),
        SystemButton(button=Button.BACK),
        Wait(duration_s=-1.0),
        ParseError(reason="no JSON", text="click there"),
    ]
    await device.reset(site)
    before = await device.observe()
    for mistake in mistakes:
        result = await device.execute(mistake)
        assert result.executed is None, mistake
        assert result.error, mistake
        assert result.stop is None, mistake
    assert await events(device) == []
    assert (await device.observe()).state_key == before.state_key


async def test_back_returns_to_the_page_before(device: BrowserDevice, site: SiteTask) -> None:
    await device.reset(site)
    start = await device.observe()
    await device.execute(Click(x=20, y=108))
    assert device.page.url.endswith("other.html")
    result = await device.execute(SystemButton(button=Button.BACK))
    assert result.executed == SystemButton(button=Button.BACK)
    assert (await device.observe()).foreground_app == start.foreground_app


async def test_a_link_to_another_window_opens_where_the_agent_looks(
    device: BrowserDevice, site: SiteTask
) -> None:
    await device.reset(site)
    await device.page.evaluate("() => { document.querySelector('a').target = '_blank' }")
    await device.execute(Click(x=20, y=108))
    assert device.page.url.endswith("other.html")


async def test_finishing_stops_and_answering_does_not(device: BrowserDevice, site: SiteTask) -> None:
    await device.reset(site)
    assert (await device.execute(Answer(text="42"))).stop is None
    assert (await device.execute(Finish())).stop is StopReason.FINISHED


async def test_every_episode_has_a_profile_of_its_own(factory: BrowserFactory, site: SiteTask) -> None:
    async with factory.lease() as one, factory.lease() as two:
        await one.reset(site)
        await two.reset(site)
        await one.page.evaluate("() => localStorage.setItem('seen', 'yes')")
        seen = "() => localStorage.getItem('seen')"
        assert await one.page.evaluate(seen) == "yes"
        assert await two.page.evaluate(seen) is None
        await one.reset(site)
        assert await one.page.evaluate(seen) is None


async def test_widgets_have_names_and_boxes_that_a_click_reaches(
    device: BrowserDevice, site: SiteTask
) -> None:
    await device.reset(site)
    found = {element.name: element for element in await device.elements()}
    assert found["Save"].role == "button"
    assert found["text field"].role == "text_field"
    assert found["more"].role == "link"
    await events(device)
    x, y = found["Save"].box.center
    await device.execute(Click(x=x, y=y))
    reached = await device.page.evaluate("([x, y]) => document.elementFromPoint(x, y).textContent", [x, y])
    assert reached == "Save"


async def test_a_page_that_hangs_meets_the_deadline_and_is_replaced(chromium: Path, site: SiteTask) -> None:
    # The page never answers again, however long the deadline; opening it must not meet it on a busy machine.
    settings = BrowserSettings(width_px=200, height_px=160, timeout_s=2.0)
    async with BrowserFactory(1, settings=settings) as pages, pages.lease() as device:
        await device.reset(site)
        await device.page.evaluate("() => { addEventListener('click', () => { for (;;) ; }) }")
        with pytest.raises(DeviceTimeoutError, match=r"within 2 s"):
            await device.execute(Click(x=50, y=130))
        with pytest.raises(DeviceError, match="reset the device"):
            await device.observe()
        await device.reset(site)
        assert (await device.observe()).screenshot.width_px == 200


async def test_a_crash_is_a_fault_and_the_next_reset_mends_it(
    factory: BrowserFactory, site: SiteTask
) -> None:
    async with factory.lease() as device:
        await device.reset(site)
        crash = asyncio.ensure_future(device.page.goto("chrome://crash"))
        with pytest.raises(DeviceError):
            await crash
        with pytest.raises(DeviceError):
            await device.observe()
    async with factory.lease() as device:
        await device.reset(site)
        assert (await device.observe()).screenshot.height_px == 160


async def test_a_browser_that_died_is_started_again_and_none_is_left(chromium: Path, site: SiteTask) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    pages = BrowserFactory(1, settings=SETTINGS)
    async with pages.lease() as device:
        await device.reset(site)
        for process in [process for process in _running(before) if _is_browser(process)]:
            process.kill()  # the program, and the shell script that some systems start it with
            process.wait(timeout=5)
        with pytest.raises(DeviceError):
            await device.observe()
        await device.reset(site)
        assert pages.num_browser_starts == 2
        await device.observe()
    await pages.close()
    await pages.close()
    psutil.wait_procs(_running(before), timeout=5)
    assert _running(before) == []


def _running(before: set[int]) -> list[psutil.Process]:
    """Processes below this one that were started since, those that ended but were not reaped left out."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.pid not in before and child.status() != psutil.STATUS_ZOMBIE]


def _is_browser(process: psutil.Process) -> bool:
    command = process.cmdline()
    return "--remote-debugging-pipe" in command and not any(part.startswith("--type=") for part in command)


async def test_a_closed_device_says_so(factory: BrowserFactory, site: SiteTask) -> None:
    async with factory.lease() as device:
        await device.close()
        await device.close()
        with pytest.raises(DeviceError, match="closed"):
            await device.reset(site)


async def test_a_task_of_another_world_is_refused(device: BrowserDevice) -> None:
    class Errand:
        task_id = "kitchen/tea"
        template = "tea"
        seed = 0
        goal = "Make tea."
        max_steps = 3

    with pytest.raises(ConfigError, match="kitchen/tea"):
        await device.reset(Errand())
