"""A task: one template with one seed, equal whenever it is made again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devices.phone.tasks.plan import Plan

Build = Callable[[random.Random], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneTask:
    """A task on the virtual phone (implements `gui_agent.device.Task`)."""

    task_id: str
    suite: str
    template: str
    seed: int
    max_steps: int
    plan: Plan

    @property
    def goal(self) -> str:
        """What the agent is told."""
        return self.plan.goal

    def __reduce__(self) -> tuple[Any, ...]:
        """Tasks travel between processes by their id; a plan holds functions, which cannot."""
        from devices.phone.suites import phone_task  # the suites import this module

        return phone_task, (self.task_id,)
