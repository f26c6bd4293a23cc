"""A goal in words on a virtual phone: nothing sets it up but a seed, and nobody scores it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devices.phone.display import PHONE_DISPLAY, QUICKSTART_DISPLAY, PhoneDisplay
from devices.phone.state import PhoneState
from devices.phone.tasks import worlds
from gui_agent.errors import ConfigError

_PREFIX: Final = "phone/goal/"
_WORLDS: Final = {"quickstart": worlds.quickstart_phone, "phone": worlds.phone}
_DISPLAYS: Final = {"quickstart": QUICKSTART_DISPLAY, "phone": PHONE_DISPLAY}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneGoal:
    """Do something on a virtual phone that nobody scores: for demonstrations and for watching.

    Attributes:
        goal: what to do.
        world: what is on the phone: "quickstart", few words on a small screen, or "phone".
        seed: draws who and what is on the phone.
        max_steps: budget of actions.
    """

    goal: str
    world: str = "quickstart"
    seed: int = 0
    max_steps: int = 30

    def __post_init__(self) -> None:
        if not self.goal.strip():
            raise ConfigError("the goal is empty; write what to do, for instance 'turn on wifi'")
        if self.world not in _WORLDS:
            known = ", ".join(_WORLDS)
            raise ConfigError(f"{self.world!r} is no world of the virtual phone; there are {known}")

    @property
    def task_id(self) -> str:
        """World, seed and goal: equal ones begin alike."""
        return f"{_PREFIX}{self.world}/{self.seed}/{self.goal}"

    @property
    def template(self) -> str:
        """All goals are of one family."""
        return "goal"

    @property
    def start(self) -> PhoneState:
        """The phone at the beginning, on its launcher."""
        return _WORLDS[self.world](random.Random(f"goal/{self.seed}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneGoalSuite:
    """One goal as a list of one task (a `gui_agent.device.TaskSource`)."""

    goal: str
    world: str = "quickstart"

    @property
    def suite(self) -> str:
        """`phone/goal`."""
        return _PREFIX.rstrip("/")

    @property
    def templates(self) -> Sequence[str]:
        """The only one."""
        return ("goal",)

    @property
    def display(self) -> PhoneDisplay:
        """The screen that shows the world."""
        return _DISPLAYS[self.world]

    def task(self, template: str, seed: int) -> PhoneGoal:
        """The goal on the phone that the seed draws."""
        return PhoneGoal(goal=self.goal, world=self.world, seed=seed)


def phone_goal(task_id: str) -> PhoneGoal | None:
    """The goal that a `task_id` names, or None if it names something else."""
    world, _, rest = task_id.removeprefix(_PREFIX).partition("/")
    seed, _, goal = rest.partition("/")
    if not task_id.startswith(_PREFIX) or not seed.isdecimal():
        return None
    return PhoneGoal(goal=goal, world=world, seed=int(seed))
