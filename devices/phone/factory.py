"""Virtual phones for a suite, by number."""

from __future__ import annotations

from devices.phone.device import PhoneFactory
from devices.phone.goal import PhoneGoalSuite
from devices.phone.suites import PhoneSuite
from gui_agent.device import TaskSource
from gui_agent.errors import ConfigError


def phone_devices(num_devices: int, suite: TaskSource) -> PhoneFactory:
    """A factory of phones with the display that the suite is meant for.

    Raises:
        ConfigError: the suite belongs to another world.
    """
    if not isinstance(suite, PhoneSuite | PhoneGoalSuite):
        raise ConfigError(f"suite {suite.suite!r} does not run on virtual phones; choose one of phone/…")
    return PhoneFactory(display=suite.display, num_devices=num_devices)
