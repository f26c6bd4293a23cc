from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable

import pytest

from devices.phone.device import PhoneDevice, PhoneFactory, ScreenCache
from devices.phone.display import FULL_HD_DISPLAY, PHONE_DISPLAY, PhoneDisplay, Theme
from devices.phone.suites import phone_suite, phone_task
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    Finish,
    OpenApp,
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.device import Demonstrator, Device, Restorable, StopReason, Verdict
from gui_agent.errors import ConfigError, DataError, DeviceError
from gui_agent.observation import Observation


async def started(template: str = "call_contact", seed: int = 0, suite: str = "quickstart") -> PhoneDevice:
    source = phone_suite(suite)
    device = PhoneDevice(source.display, popup_rate=0.0)
    await device.reset(source.task(template, seed))
    return device


async def tap(device: PhoneDevice, name: str) -> Observation:
    found = next(e for e in (await device.observe()).elements or () if e.name == name)
    x, y = found.box.center
    result = await device.execute(Click(x=x, y=y))
    assert result.executed is not None
    return await device.observe()


async def test_device_keeps_the_protocols() -> None:
    device: Device = await started()
    assert isinstance(device, Restorable)
    assert isinstance(device, Demonstrator)


@pytest.mark.parametrize(
    "action",
    [
        ParseError(reason="no action found", text="hello"),
        Click(x=112, y=10),
        Click(x=-1, y=10),
        Swipe(x=10, y=10, to_x=10, to_y=224),
        TypeText(text="nobody listens"),
        PressKey(key="volume_up"),
        SystemButton(button=Button.MENU),
        OpenApp(name="browser"),
    ],
)
async def test_mistakes_are_recorded_and_change_nothing(action: Action | ParseError) -> None:
    device = await started()
    before = await device.observe()
    result = await device.execute(action)
    assert result.executed is None
    assert result.error
    assert result.stop is None
    assert await device.observe() == before


async def test_taps_beside_everything_are_performed_and_change_no_state() -> None:
    device = await started()
    before = await device.observe()
    result = await device.execute(Click(x=56, y=20))
    assert result.executed == Click(x=56, y=20)
    assert (await device.observe()).state_key == before.state_key


async def test_observing_changes_nothing_and_same_task_shows_same_pixels() -> None:
    first, second = await started(seed=3), await started(seed=3)
    assert await first.observe() == await first.observe() == await second.observe()
    other = await started(seed=4)
    assert (await other.observe()).state_key != (await first.observe()).state_key


async def test_snapshot_restores_pixels_task_and_verdict_on_another_phone() -> None:
    device = await started(seed=1)
    expert = await device.next_expert_action()
    assert expert is not None
    await device.execute(expert.action)
    snapshot = pickle.loads(pickle.dumps(await device.snapshot()))
    seen, outcome = await device.observe(), await device.check()
    await device.execute(SystemButton(button=Button.HOME))
    await device.execute(Finish())
    fresh = PhoneDevice(device.display, screens=ScreenCache(0))
    for one in (device, fresh):
        await one.restore(snapshot)
        assert await one.observe() == seen
        assert await one.check() == outcome
        assert await one.next_expert_action() is not None


async def test_state_key_ignores_the_clock_but_not_the_world() -> None:
    device = await started("set_switch", 0)
    start = await device.observe()
    for _ in range(8):
        await device.execute(Wait())
    later = await device.observe()
    assert later.state_key == start.state_key
    assert later.screenshot.sha256 != start.screenshot.sha256
    settings = await tap(device, "settings")
    assert settings.state_key != start.state_key
    assert settings.foreground_app == "settings"
    assert (await tap(device, "wifi")).state_key != settings.state_key


async def test_finish_stops_and_check_is_unscored_without_task() -> None:
    device = await started()
    snapshot = await device.snapshot()
    result = await device.execute(Finish())
    assert result.stop is StopReason.FINISHED
    assert result.executed == Finish()
    without_task = PhoneDevice(device.display)
    await without_task.restore(type(snapshot)(state=snapshot.state, task_id="", finished=False))
    assert (await without_task.check()).verdict is Verdict.UNSCORED
    assert await without_task.next_expert_action() is None


async def test_use_before_reset_and_after_close_is_a_fault() -> None:
    device = PhoneDevice()
    with pytest.raises(DeviceError, match="reset"):
        await device.observe()
    device = await started()
    await device.close()
    await device.close()
    with pytest.raises(DeviceError, match="reset"):
        await device.execute(Wait())


@pytest.mark.parametrize(
    "damage", [lambda s: s[:-9], lambda s: s.replace('"stack"', '"heap"'), lambda s: "[]"]
)
async def test_damaged_snapshots_are_refused(damage: Callable[[str], str]) -> None:
    device = await started()
    snapshot = await device.snapshot()
    with pytest.raises(DataError):
        await device.restore(type(snapshot)(state=damage(snapshot.state), task_id="", finished=False))


async def test_typing_goes_where_the_focus_is_and_keys_write_letters() -> None:
    device = await started("create_note", 0, "phone")
    await tap(device, "notes")
    await tap(device, "new note")
    await tap(device, "title")
    await device.execute(TypeText(text="ab"))
    await tap(device, "c")
    await tap(device, "delete key")
    await tap(device, "d")
    assert device.state.page.value("title") == "abd"
    await device.execute(SystemButton(button=Button.BACK))
    assert device.state.page.name == "new"
    assert not device.state.page.focus
    assert (await device.execute(TypeText(text="x"))).error


async def test_lists_scroll_by_swipe_and_by_scroll_and_stop_at_their_ends() -> None:
    device = await started("add_alarm", 0, "phone")
    await tap(device, "clock")
    top = await tap(device, "new alarm")
    assert (await device.execute(Scroll(direction=Direction.UP))).executed
    assert (await device.observe()).state_key == top.state_key
    await device.execute(Swipe(x=200, y=700, to_x=200, to_y=500))
    assert device.state.page.scroll_dp == 200
    for _ in range(9):
        await device.execute(Scroll(direction=Direction.DOWN))
    names = [e.name for e in (await device.observe()).elements or ()]
    assert "23:00" in names
    assert "0:00" not in names


async def test_answers_are_judged() -> None:
    device = await started("tell_number", 0, "phone")
    await device.execute(Answer(text="no idea"))
    assert (await device.check()).verdict is Verdict.FAILURE
    while (expert := await device.next_expert_action()) is not None:
        await device.execute(expert.action)
    assert device.state.answer.isdecimal()
    assert (await device.check()).verdict is Verdict.SUCCESS


async def test_popups_come_at_their_rate_and_the_expert_gets_past_them() -> None:
    suite = phone_suite("quickstart")
    device = PhoneDevice(suite.display, popup_rate=0.5)
    num_popups = 0
    for seed in range(10):
        await device.reset(suite.task("delete_note", seed))
        for _ in range(40):
            names = [e.name for e in (await device.observe()).elements or ()]
            num_popups += "notice" in names
            expert = await device.next_expert_action()
            assert expert is not None
            if (await device.execute(expert.action)).stop:
                break
        assert (await device.check()).verdict is Verdict.SUCCESS
    assert num_popups > 10


@pytest.mark.parametrize("display", [PHONE_DISPLAY, FULL_HD_DISPLAY, PhoneDisplay(buttons=True)])
async def test_other_displays_show_the_same_tasks(display: PhoneDisplay) -> None:
    suite = phone_suite("quickstart")
    device = PhoneDevice(display)
    for template in ("reply", "delete_note", "set_alarm"):
        await device.reset(suite.task(template, 0))
        shot = (await device.observe()).screenshot
        assert shot.image().size == (display.width_px, display.height_px)
        while (expert := await device.next_expert_action()) is not None:
            await device.execute(expert.action)
        assert (await device.check()).verdict is Verdict.SUCCESS


async def test_themes_and_navigation_buttons() -> None:
    task = phone_suite("quickstart").task("go_home", 0)
    brightness = {}
    for theme in (Theme.LIGHT, Theme.DARK):
        device = PhoneDevice(PhoneDisplay(theme=theme, buttons=True))
        await device.reset(task)
        picture = (await device.observe()).screenshot.image().convert("L")
        brightness[theme] = sum(picture.tobytes()) / (picture.width * picture.height)
        await tap(device, "home")
        assert (await device.check()).verdict is Verdict.SUCCESS
    assert brightness[Theme.LIGHT] > 150 > 100 > brightness[Theme.DARK]


async def test_factory_lends_no_more_than_it_has_and_takes_phones_back() -> None:
    factory = PhoneFactory(num_devices=2)
    assert factory.capacity == 2
    async with factory.lease() as first, factory.lease() as second:
        assert first is not second
    with contextlib.suppress(RuntimeError):
        async with factory.lease():
            raise RuntimeError("the borrower failed")
    async with factory.lease() as first, factory.lease():
        with pytest.raises(DeviceError):
            await first.observe()
    with pytest.raises(ConfigError, match="num_devices"):
        PhoneFactory(num_devices=0)


def test_tasks_travel_by_their_id() -> None:
    task = phone_suite("phone").task("note_price", 7)
    copy = pickle.loads(pickle.dumps(task))
    assert (copy.task_id, copy.goal, copy.plan.start) == (task.task_id, task.goal, task.plan.start)
    assert phone_task(task.task_id).plan.start == task.plan.start
    assert task.task_id == "phone/phone/note_price/7"


def test_impossible_displays_are_refused() -> None:
    for width_px, height_px, density in (
        (50, 100, 1.0),
        (2000, 3000, 1.0),
        (400, 400, 1.0),
        (400, 5000, 1.0),
    ):
        with pytest.raises(ConfigError, match="display"):
            PhoneDisplay(width_px=width_px, height_px=height_px, density=density)
