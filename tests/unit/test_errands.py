"""What a command that acts on one device is told: tasks by name, their devices, and where it matters."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from devices.browser.site import SiteTask
from gui_agent.cli.demo import Place
from gui_agent.cli.errands import check_who_acts, device_for, guarding, is_real, named_task
from gui_agent.errors import ConfigError
from gui_agent.safety import Decision
from gui_agent.safety.options import ConfirmMode, SafetyOptions

TASK = "phone/quickstart:set_alarm:7"
SITE = SiteTask(url="https://www.example.org/")


@pytest.mark.parametrize(
    ("devices", "real"),
    [
        ("android", True),
        ("android:emulator-5554", True),
        ("ray+android:all", True),
        ("avd:Pixel_6:1", True),
        ("phone:1", False),
        ("adb-phone:1", False),
        ("ray+phone:2", False),
        ("browser:1", False),
    ],
)
def test_phones_behind_adb_are_real_wherever_they_are(devices: str, real: bool) -> None:
    assert is_real(devices, named_task(TASK).task) is real
    mode = SafetyOptions().confirm_where(is_real=real)
    assert mode is (ConfirmMode.ASK if real else ConfirmMode.ALLOW)
    assert SafetyOptions(confirm=ConfirmMode.DENY).confirm_where(is_real=real) is ConfirmMode.DENY


def test_a_page_of_ones_own_is_real_and_has_a_site() -> None:
    assert is_real("browser:1", SITE)
    place = guarding(SafetyOptions(), SITE).judge.judge_place("https://other.example/")
    assert place.decision is Decision.CONFIRM
    phone = guarding(SafetyOptions(), named_task(TASK).task).judge
    assert phone.judge_place("any").decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("suite", "devices"),
    [
        ("phone/quickstart", "phone:1"),
        ("miniwob/click-button", "browser:1"),
        ("android/Switch Wi-Fi on", "android"),
        ("android_world/settings", "android"),
    ],
)
def test_every_world_has_a_device_that_can_be_opened(suite: str, devices: str) -> None:
    stand_in: Any = SimpleNamespace(suite=suite)
    assert device_for(stand_in) == devices


def test_a_task_is_named_whole() -> None:
    found = named_task(TASK)
    assert (found.suite.suite, found.task.template, found.task.seed) == ("phone/quickstart", "set_alarm", 7)
    assert Place.of("", "android/look: at it:goal:1", 0).devices == "android"
    for text in ("phone/quickstart", "phone/quickstart:set_alarm", "phone/quickstart:set_alarm:x", ":a:1"):
        with pytest.raises(ConfigError):
            named_task(text)


def test_who_acts() -> None:
    check_who_acts(expert=True, task=TASK, model="")
    check_who_acts(expert=False, task="", model="m")
    with pytest.raises(ConfigError, match="has no expert"):
        check_who_acts(expert=True, task="", model="")
    with pytest.raises(ConfigError, match="either the expert"):
        check_who_acts(expert=True, task=TASK, model="m")
