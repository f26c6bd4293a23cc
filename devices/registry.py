"""Which worlds there are: by name, imported only when somebody asks for them.

A suite is named "<world>/<suite>" ("phone/quickstart"); devices "<world>:<count>" ("phone:8"), or by name
("android:all", "android:emulator-5554,R58M12").
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any, Final

from gui_agent.device import DeviceFactory, TaskSource
from gui_agent.errors import ConfigError
from gui_agent.observation import LabelledScreen

SUITES: Final[dict[str, str]] = {
    "phone": "devices.phone.suites:phone_suite",
    "miniwob": "devices.browser.miniwob.suite:miniwob_suite",
    "browser": "devices.browser.site:site_suite",
    "android": "devices.android.tasks:android_suite",
    "android_world": "devices.androidworld.suite:android_world_suite",
}
"""World to the function that takes the name of a suite ("" for the default) and returns it."""

FACTORIES: Final[dict[str, str]] = {
    "phone": "devices.phone.factory:phone_devices",
    "browser": "devices.browser.site:browser_devices",
}
"""World to the function that takes a number of devices and a suite and returns their factory."""

NAMED_FACTORIES: Final[dict[str, str]] = {"android": "devices.android.factory:android_devices"}
"""World whose devices have names to the function that takes what stands after the colon, and a suite."""

SCREENS: Final[dict[str, str]] = {
    "phone": "devices.phone.labelled:suite_screens",
    "miniwob": "devices.browser.labels:suite_screens",
    "browser": "devices.browser.labels:suite_screens",
}
"""World to the coroutine that draws labelled screens of a suite: (suite, count, seed) -> screens."""


def resolve_suite(name: str) -> TaskSource:
    """The task source that a name like "phone/quickstart" stands for.

    Raises:
        ConfigError: the world or the suite is not known.
    """
    world, _, suite = name.partition("/")
    found: TaskSource = _function(SUITES, world, f"suite {name!r}")(suite)
    return found


def resolve_devices(name: str, suite: TaskSource) -> DeviceFactory:
    """The factory that a name like "phone:8" stands for; without a number, of one device.

    Args:
        name: world and number of devices, or world and names of devices.
        suite: the tasks that the devices are for; it may decide the size of their screens.

    Raises:
        ConfigError: the world is not known, or the number is none.
        DeviceError: a device that is named is not there.
    """
    world, _, count = name.partition(":")
    function = _function({**FACTORIES, **NAMED_FACTORIES}, world, f"devices {name!r}")
    factory: DeviceFactory
    if world in NAMED_FACTORIES:
        factory = function(count, suite)
        return factory
    if count and not (count.isdecimal() and int(count) >= 1):
        raise ConfigError(
            f"devices {name!r}: {count!r} is no number of devices; write for instance {world}:4"
        )
    factory = function(int(count or 1), suite)
    return factory


async def draw_labelled_screens(suite: TaskSource, count: int, seed: int) -> list[LabelledScreen]:
    """Screens of a suite with the widgets on them, for learning where things are.

    Raises:
        ConfigError: the suite's world draws none.
    """
    world = suite.suite.partition("/")[0]
    screens: list[LabelledScreen] = await _function(SCREENS, world, f"labelled screens of {suite.suite!r}")(
        suite, count, seed
    )
    return screens


def _function(table: dict[str, str], world: str, what: str) -> Callable[..., Any]:
    path = table.get(world)
    if not world:
        raise ConfigError(f"{what}: no world is named; there are {', '.join(sorted(table))}")
    if path is None:
        close = difflib.get_close_matches(world, table, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"{what}: there is no world {world!r}; {hint}there are {', '.join(sorted(table))}")
    module, _, attribute = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return function
