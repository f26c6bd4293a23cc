"""A goal in words on any kind of device: `phone`, `android:SERIAL`, `browser:URL`."""

from __future__ import annotations

from dataclasses import dataclass

from gui_agent.device import TaskSource
from gui_agent.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalOnDevice:
    """What to do, and where.

    Attributes:
        suite: has the goal as its only task, which nobody scores.
        devices: one device, as `devices.registry.resolve_devices` names it.
    """

    suite: TaskSource
    devices: str


def goal_on(device: str, goal: str) -> GoalOnDevice:
    """The task of doing something on one device.

    Args:
        device: "phone" or "phone:WORLD" for a virtual phone, "android:SERIAL" ("android" for the one that
            is connected), "browser:URL" for a web page.
        goal: what to do there, in words.

    Raises:
        ConfigError: the kind of device is not known, the goal is empty, or the address is none.
    """
    kind, _, where = device.partition(":")
    goal = goal.strip()
    if not goal:
        raise ConfigError("the goal is empty; write what to do, for instance 'turn on wifi'")
    match kind:
        case "phone":
            from devices.phone.goal import PhoneGoalSuite

            on_phone = PhoneGoalSuite(goal=goal, world=where or "quickstart")
            on_phone.task("goal", 0)  # a world that is none is told here
            return GoalOnDevice(suite=on_phone, devices="phone:1")
        case "android":
            from devices.android.tasks import android_suite

            return GoalOnDevice(suite=android_suite(goal), devices=device)
        case "browser":
            from devices.browser.site import SiteSuite

            site = SiteSuite(url=where, goal=goal)
            site.task("", 0)
            return GoalOnDevice(suite=site, devices="browser:1")
        case _:
            raise ConfigError(
                f"device {device!r}: there is no kind of device {kind!r}; write phone, android:SERIAL or "
                "browser:URL"
            )
