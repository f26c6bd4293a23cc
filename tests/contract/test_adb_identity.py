"""The virtual phone over adb is the virtual phone: same seeds and actions, same pictures and outcomes."""

from __future__ import annotations

import random

import pytest

from devices.android import AdbServer, AndroidFactory
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    DoubleClick,
    Drag,
    LongPress,
    OpenApp,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.device import ExpertAction

NUM_STEPS = 8


def anything(rng: random.Random, width_px: int, height_px: int) -> Action:
    """Some action, anywhere on the screen."""
    x, y, to_x, to_y = (rng.randrange(size) for size in (width_px, height_px) * 2)
    choices: list[Action] = [
        Click(x=x, y=y),
        DoubleClick(x=x, y=y),
        LongPress(x=x, y=y, duration_s=rng.choice((0.5, 1.0))),
        Drag(x=x, y=y, to_x=to_x, to_y=to_y),
        Swipe(x=x, y=y, to_x=to_x, to_y=to_y),
        Scroll(direction=rng.choice(list(Direction))),
        Scroll(direction=Direction.DOWN, x=x, y=y),
        TypeText(text=rng.choice(("abc", "12", "50%s off", "Grüße 你好"))),
        SystemButton(button=rng.choice((Button.BACK, Button.HOME, Button.ENTER))),
        OpenApp(name=rng.choice(("notes", "settings", "chats", "no such app"))),
        Wait(duration_s=1.0),
        Answer(text="42"),
    ]
    return rng.choice(choices)


@pytest.mark.parametrize("name", ["quickstart", "phone"])
async def test_same_actions_show_the_same_and_end_the_same(name: str, adb_server: AdbServer) -> None:
    """The expert's way with a random action now and then, and pop-ups as the suite has them."""
    suite = phone_suite(name)
    rng = random.Random(name)
    display = suite.display
    settings = FarmSettings(suite=name, display=display, adb_server_port=adb_server.port)
    async with PhoneFarm(settings) as farm:
        serial = farm.phones[0].serial
        factory = AndroidFactory([serial], server=adb_server, channel_of=farm.control)
        async with factory.lease() as remote:
            for template in rng.sample(list(suite.templates), 4):
                task = suite.task(template, rng.randrange(1000))
                local = PhoneDevice(display)
                await local.reset(task)
                await remote.reset(task)
                for _ in range(NUM_STEPS):
                    seen, shown = await remote.observe(), await local.observe()
                    assert seen.screenshot == shown.screenshot
                    assert await remote.check() == await local.check()
                    expert: ExpertAction | None = await local.next_expert_action()
                    assert await remote.next_expert_action() == expert
                    at_random = expert is None or rng.random() < 0.4
                    action = anything(rng, display.width_px, display.height_px)
                    if not at_random:
                        assert expert is not None
                        action = expert.action
                    done, here = await remote.execute(action), await local.execute(action)
                    assert (done.executed, done.stop) == (here.executed, here.stop), (action, done, here)
                    if done.stop:
                        break
                assert await remote.check() == await local.check()
