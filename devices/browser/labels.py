"""Screens with labelled widgets, for learning where things are on a page."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import AsyncIterator
from typing import Final

from devices.browser.device import BrowserDevice
from devices.browser.site import browser_devices
from gui_agent.device import EVALUATION_SEED_START, Task, TaskSource
from gui_agent.errors import DeviceError, NoDeviceError
from gui_agent.observation import LabelledScreen

_MOST_EMPTY_SCREENS: Final = 100
_NUM_PAGES: Final = 4
_ATTEMPTS: Final = 3


async def labelled_screens(
    device: BrowserDevice, suite: TaskSource, *, count: int, seed: int
) -> AsyncIterator[LabelledScreen]:
    """Start screens of the suite's tasks, templates in turn, with their widgets.

    Args:
        device: a leased page; its current task is replaced.
        suite: where the tasks come from.
        count: how many screens, >= 0; screens without a named widget are left out and not counted.
        seed: chooses the instances, all of them for training; the same seed gives the same screens.

    Raises:
        DeviceError: the suite shows screen after screen without a widget, or one breaks the page again and
            again.
    """
    instances = random.Random(seed)
    given = empty = 0
    while given < count:
        template = suite.templates[(given + empty) % len(suite.templates)]
        task = suite.task(template, instances.randrange(EVALUATION_SEED_START))
        screen = await _start_screen(device, task)
        if not screen.elements:
            empty += 1
            if empty > _MOST_EMPTY_SCREENS + given:
                raise DeviceError(f"{empty} of {given + empty} screens of {suite.suite} have no named widget")
            continue
        yield screen
        given += 1


async def _start_screen(device: BrowserDevice, task: Task) -> LabelledScreen:
    """The first screen of a task; a page that broke is replaced and tried again a few times.

    Hundreds of screens are drawn before anything is learned: one slow answer must not lose them.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await device.reset(task)
            elements = await device.elements()
            observation = await device.observe()
        except DeviceError as error:
            if attempt == _ATTEMPTS or isinstance(error, NoDeviceError):
                raise
            warnings.warn(
                f"screen of {task.task_id}, attempt {attempt} of {_ATTEMPTS}: {error}", stacklevel=2
            )
            continue
        # Some pages write their goal only when they are started.
        return LabelledScreen(screenshot=observation.screenshot, elements=elements, goal=task.goal)
    raise AssertionError("the last attempt returns or raises")


async def suite_screens(suite: TaskSource, count: int, seed: int) -> list[LabelledScreen]:
    """`count` labelled start screens of a suite, drawn on several pages of one browser.

    Args:
        suite: where the tasks come from.
        count: how many screens, >= 0.
        seed: the same seed and count give the same screens in the same order.
    """
    async with browser_devices(_NUM_PAGES, suite) as factory:

        async def share(index: int) -> list[LabelledScreen]:
            num_screens = len(range(index, count, _NUM_PAGES))
            async with factory.lease() as device:
                screens = labelled_screens(device, suite, count=num_screens, seed=seed * _NUM_PAGES + index)
                return [screen async for screen in screens]

        shares = await asyncio.gather(*(share(index) for index in range(_NUM_PAGES)))
    return [screen for one_share in shares for screen in one_share]
