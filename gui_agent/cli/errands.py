"""What a command that acts on one device is told: a task or a goal, the device, who acts, and the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devices.android.apps import COMMON_PACKAGES
from devices.browser.site import SiteTask
from devices.farm.opening import RAY_PREFIX
from devices.registry import resolve_suite
from gui_agent.device import Task, TaskSource
from gui_agent.errors import ConfigError
from gui_agent.safety.judging import Judge
from gui_agent.safety.options import SafetyOptions
from gui_agent.safety.secrets import Secrets

_DEVICE_OF: Final = {"miniwob": "browser:1", "android": "android", "android_world": "android"}
_REAL: Final = ("android", "avd")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTask:
    """A task of a suite.

    Attributes:
        task: with a check.
        suite: it is of it.
    """

    task: Task
    suite: TaskSource


def named_task(text: str) -> NamedTask:
    """The task that SUITE:TEMPLATE:SEED names.

    Raises:
        ConfigError: it names none.
    """
    suite_name, template, seed = ("", "", *text.rsplit(":", 2))[-3:]  # a goal may hold colons
    if not suite_name or not template or not seed.isdecimal():
        raise ConfigError(
            f"task {text!r}: expected SUITE:TEMPLATE:SEED, such as phone/quickstart:set_alarm:7"
        )
    suite = resolve_suite(suite_name)
    return NamedTask(task=suite.task(template, int(seed)), suite=suite)


def world_of(suite: str) -> str:
    """The world that a suite or a task SUITE:TEMPLATE:SEED belongs to."""
    return suite.partition(":")[0].partition("/")[0]


def device_for(suite: TaskSource) -> str:
    """The one device that a suite runs on unless another one is asked for, as `open_devices` names it."""
    world = world_of(suite.suite)
    return _DEVICE_OF.get(world, f"{world}:1")


def is_real(devices: str, task: Task) -> bool:
    """Whether something can be hit there that matters: a phone behind adb, or a page of one's own."""
    world = devices.removeprefix(RAY_PREFIX).partition(":")[0]
    return world in _REAL or isinstance(task, SiteTask)


def check_who_acts(*, expert: bool, task: str, model: str) -> None:
    """Refuse an expert where there is none, or beside a model.

    Raises:
        ConfigError: it is so.
    """
    if expert and not task:
        raise ConfigError("a goal in words has no expert; name a model, or a task of a suite with --task")
    if expert and model:
        raise ConfigError("either the expert acts or a model; leave --expert or --model away")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """What the safety options mean for one task.

    Attributes:
        judge: the rules, and where the agent may be.
        secrets: what is typed and never written down.
    """

    judge: Judge
    secrets: Secrets


def guarding(options: SafetyOptions, task: Task) -> Guarding:
    """The rules and secrets for a task.

    Raises:
        ConfigError: an option is wrong, or the variable of a secret is not set.
    """
    url = task.url if isinstance(task, SiteTask) else ""
    return Guarding(
        judge=options.judge(start_url=url, packages_of=_packages_of), secrets=options.secrets(start_url=url)
    )


def _packages_of(name: str) -> Sequence[str]:
    return COMMON_PACKAGES.get(name.lower(), ())
