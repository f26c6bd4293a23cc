"""Named lists of tasks on the virtual phone, and screens with labels from the same worlds."""

from __future__ import annotations

import difflib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from devices.phone.display import PHONE_DISPLAY, QUICKSTART_DISPLAY, PhoneDisplay
from devices.phone.tasks.long import LONG_TEMPLATES
from devices.phone.tasks.multi_app import MULTI_APP_TEMPLATES
from devices.phone.tasks.oracle import num_expert_actions
from devices.phone.tasks.quickstart import QUICKSTART_TEMPLATES
from devices.phone.tasks.single_app import SINGLE_APP_TEMPLATES
from devices.phone.tasks.task import Build, PhoneTask
from gui_agent.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PhoneSuite:
    """A list of templates and the display they are meant for (a `gui_agent.device.TaskSource`).

    Attributes:
        name: "quickstart"; the suite is known to others as "phone/quickstart".
        builds: how each template makes an instance from a seed.
        display: the screen that the suite's devices have unless another is asked for.
    """

    name: str
    builds: Mapping[str, Build]
    display: PhoneDisplay

    @property
    def suite(self) -> str:
        """The full name: world and suite."""
        return f"phone/{self.name}"

    @cached_property
    def templates(self) -> Sequence[str]:
        """Names of the templates, in a fixed order."""
        return tuple(self.builds)

    def task(self, template: str, seed: int) -> PhoneTask:
        """The instance of a template with this seed; equal arguments give equal tasks.

        Raises:
            ConfigError: the suite has no such template.
        """
        build = self.builds.get(template)
        if build is None:
            raise ConfigError(_unknown("template", template, self.templates, f"suite {self.suite!r}"))
        plan = build(random.Random(f"{template}/{seed}"))
        needed = num_expert_actions(plan, plan.start, self.display)
        if not needed:
            raise AssertionError(f"{self.suite}/{template}/{seed}: the expert needs {needed} actions")
        return PhoneTask(
            task_id=f"{self.suite}/{template}/{seed}",
            suite=self.name,
            template=template,
            seed=seed,
            max_steps=2 * needed + 4,
            plan=plan,
        )


_SUITES: Final[dict[str, PhoneSuite]] = {
    "quickstart": PhoneSuite(name="quickstart", builds=QUICKSTART_TEMPLATES, display=QUICKSTART_DISPLAY),
    "long": PhoneSuite(name="long", builds=LONG_TEMPLATES, display=QUICKSTART_DISPLAY),
    "phone": PhoneSuite(
        name="phone", builds={**SINGLE_APP_TEMPLATES, **MULTI_APP_TEMPLATES}, display=PHONE_DISPLAY
    ),
    "multi_app": PhoneSuite(name="multi_app", builds=MULTI_APP_TEMPLATES, display=PHONE_DISPLAY),
}


def suite_names() -> Sequence[str]:
    """Names that `phone_suite` knows."""
    return tuple(_SUITES)


def phone_suite(name: str = "quickstart") -> PhoneSuite:
    """A suite of the virtual phone by name.

    Raises:
        ConfigError: there is no such suite.
    """
    suite = _SUITES.get(name or "quickstart")
    if suite is None:
        raise ConfigError(_unknown("suite", name, tuple(_SUITES), "the virtual phone"))
    return suite


def phone_task(task_id: str) -> PhoneTask:
    """The task that a `task_id` ("phone/<suite>/<template>/<seed>") names.

    Raises:
        ConfigError: the id has another form, or names nothing that exists.
    """
    parts = task_id.split("/")
    if len(parts) != 4 or parts[0] != "phone" or not parts[3].isdecimal():
        raise ConfigError(f"not a phone task: {task_id!r}; expected phone/<suite>/<template>/<seed>")
    return phone_suite(parts[1]).task(parts[2], int(parts[3]))


def _unknown(kind: str, name: str, known: Sequence[str], owner: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{owner} has no {kind} {name!r}; {hint}there are {', '.join(known)}"
