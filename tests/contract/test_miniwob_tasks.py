"""The MiniWoB++ pages as tasks: experts solve them, idleness does not, seeds repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from devices.browser import BrowserDevice, BrowserFactory, BrowserSettings, labelled_screens
from devices.browser.miniwob import MiniwobTask, miniwob_suite
from gui_agent.actions import Click, Finish, PressKey, TypeText
from gui_agent.device import Demonstrator, Outcome, StopReason, Verdict
from gui_agent.errors import DeviceError

pytest.importorskip("miniwob")
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

EXPERTS = miniwob_suite("miniwob/experts")
QUICKSTART = miniwob_suite("miniwob/quickstart")
MULTI_STEP = miniwob_suite("miniwob/multi_step")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def factory(chromium: Path) -> AsyncIterator[BrowserFactory]:
    async with BrowserFactory(4) as pages:
        yield pages


@pytest_asyncio.fixture(loop_scope="module")
async def device(factory: BrowserFactory) -> AsyncIterator[BrowserDevice]:
    async with factory.lease() as leased:
        yield leased


async def let_the_expert_act(
    device: BrowserDevice, task: MiniwobTask, actions: list[str] | None = None
) -> Outcome:
    for _ in range(task.max_steps):
        step = await device.next_expert_action()
        assert step is not None, f"{task.task_id}: the expert is at a loss"
        if isinstance(step.action, Click):
            assert any(box.contains(step.action.x, step.action.y) for box in step.boxes), task.task_id
        if actions is not None:
            actions.append(task.task_id)
        if (await device.execute(step.action)).stop is StopReason.TASK_ENDED:
            break
    return await device.check()


async def test_experts_solve_their_pages(factory: BrowserFactory) -> None:
    failures: list[str] = []

    async def play(page: str, seed: int) -> None:
        async with factory.lease() as device:
            assert isinstance(device, Demonstrator)
            task = EXPERTS.task(page, seed)
            await device.reset(task)
            assert task.goal
            outcome = await let_the_expert_act(device, task)
            if outcome.verdict is not Verdict.SUCCESS or outcome.progress != 1.0:
                failures.append(f"{task.task_id}: {outcome}")

    seeds = {page: (3, 4) if page in QUICKSTART.templates else (5,) for page in EXPERTS.templates}
    await asyncio.gather(*(play(page, seed) for page, chosen in seeds.items() for seed in chosen))
    assert failures == []


async def test_doing_nothing_fails(device: BrowserDevice) -> None:
    for page in QUICKSTART.templates:
        await device.reset(QUICKSTART.task(page, 1))
        assert (await device.execute(Finish())).stop is StopReason.FINISHED
        outcome = await device.check()
        assert (outcome.verdict, outcome.progress) == (Verdict.FAILURE, 0.0)


async def test_multi_step_pages_take_several_actions_and_doing_nothing_fails(device: BrowserDevice) -> None:
    for page in MULTI_STEP.templates:
        actions: list[str] = []
        for seed in (1, 2, 3):
            task = MULTI_STEP.task(page, seed)
            await device.reset(task)
            outcome = await let_the_expert_act(device, task, actions)
            assert outcome.verdict is Verdict.SUCCESS, task.task_id
            await device.reset(MULTI_STEP.task(page, seed))
            assert (await device.execute(Finish())).stop is StopReason.FINISHED
            assert (await device.check()).verdict is Verdict.FAILURE, task.task_id
        assert len(actions) >= 6, f"{page}: three instances took {len(actions)} actions"


async def test_a_wrong_click_ends_the_task_and_fails(device: BrowserDevice) -> None:
    task = QUICKSTART.task("click-test-2", 5)
    await device.reset(task)
    wrong = next(element for element in await device.elements() if element.name == "TWO")
    x, y = wrong.box.center
    result = await device.execute(Click(x=x, y=y))
    assert result.executed == Click(x=x, y=y)
    assert result.stop is StopReason.TASK_ENDED
    assert (await device.check()).verdict is Verdict.FAILURE
    assert await device.next_expert_action() is None
    after = await device.execute(Click(x=x, y=y))
    assert (after.executed, after.stop) == (None, StopReason.TASK_ENDED)
    await device.observe()  # the last screen can still be seen


async def test_a_seed_shows_the_same_page_whatever_was_played_before(device: BrowserDevice) -> None:
    for page in ("click-test-2", "click-color", "click-dialog"):
        fresh = QUICKSTART.task(page, 11)
        fresh.in_place = False
        await device.reset(fresh)
        expected = await device.observe()
        await device.reset(QUICKSTART.task(page, 12))
        assert (await device.observe()).state_key != expected.state_key
        await device.execute(Click(x=80, y=150))
        again = QUICKSTART.task(page, 11)
        assert again.goal == ""
        await device.reset(again)
        assert again.goal == fresh.goal
        assert (await device.observe()).state_key == expected.state_key


async def test_an_expert_mends_what_the_agent_did(device: BrowserDevice) -> None:
    task = EXPERTS.task("enter-text", 2)
    await device.reset(task)
    step = await device.next_expert_action()
    assert step is not None
    await device.execute(step.action)
    await device.execute(TypeText(text="wrong"))
    await device.execute(PressKey(key="Tab"))
    outcome = await let_the_expert_act(device, task)
    assert outcome.verdict is Verdict.SUCCESS


async def test_leaving_the_page_ends_the_task(device: BrowserDevice) -> None:
    task = QUICKSTART.task("click-test", 0)
    await device.reset(task)
    await device.page.evaluate("() => { addEventListener('mousedown', () => location.reload()) }")
    result = await device.execute(Click(x=3, y=205))
    assert result.stop is StopReason.TASK_ENDED
    outcome = await device.check()
    assert (outcome.verdict, outcome.detail) == (Verdict.FAILURE, "raw reward 0: the page was left")


async def test_a_page_whose_script_fails_is_no_failure_of_the_agent(device: BrowserDevice) -> None:
    await device.reset(QUICKSTART.task("click-test", 0))
    await device.page.evaluate(
        "() => { addEventListener('mousedown', () => { throw new Error('a bug of the page') }) }"
    )
    await device.execute(Click(x=3, y=205))
    with pytest.raises(DeviceError, match="a bug of the page"):
        await device.check()


async def test_labelled_screens_name_what_a_click_reaches(device: BrowserDevice) -> None:
    screens = [screen async for screen in labelled_screens(device, QUICKSTART, count=8, seed=4)]
    assert len(screens) == 8
    assert {"Click the button.", "Click button ONE."} <= {screen.goal for screen in screens}
    names = {element.name for screen in screens for element in screen.elements}
    assert {"Click Me!", "ONE", "TWO", "x", "Tab #1", "text field", "2nd text field"} <= names
    assert all(element.box.area_px > 0 for screen in screens for element in screen.elements)
    again = [screen async for screen in labelled_screens(device, QUICKSTART, count=8, seed=4)]
    assert [screen.screenshot.sha256 for screen in again] == [screen.screenshot.sha256 for screen in screens]
    assert [screen.elements for screen in again] == [screen.elements for screen in screens]


async def test_a_page_that_hangs_costs_no_labelled_screen(device: BrowserDevice, chromium: Path) -> None:
    expected = [screen async for screen in labelled_screens(device, QUICKSTART, count=4, seed=4)]
    screens = []

    async def draw_and_hang(device: BrowserDevice) -> None:
        async for screen in labelled_screens(device, QUICKSTART, count=4, seed=4):
            screens.append(screen)
            if len(screens) == 2:
                await device.page.evaluate("() => { setTimeout(() => { for (;;); }, 0) }")

    async with BrowserFactory(1, settings=BrowserSettings(timeout_s=4)) as factory, factory.lease() as other:
        with pytest.warns(UserWarning, match="attempt 1 of 3"):
            await draw_and_hang(other)
    assert [screen.screenshot.sha256 for screen in screens] == [
        screen.screenshot.sha256 for screen in expected
    ]
