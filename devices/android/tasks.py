"""What a task on a phone provides, and the plainest one: a goal in words that nobody scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gui_agent.actions import Action, Scroll, Swipe
from gui_agent.device import ExpertAction, Outcome, Task, Verdict
from gui_agent.errors import ConfigError

if TYPE_CHECKING:
    from devices.android.device import AndroidDevice


class AndroidTask(Task, Protocol):
    """A task that sets itself up and checks itself over adb, which the agent does not have."""

    async def set_up(self, device: AndroidDevice) -> None:
        """Bring the phone, awake and unlocked, to the start of the task."""
        ...

    async def check(self, device: AndroidDevice) -> Outcome:
        """Judge the task; changes nothing."""
        ...

    async def next_expert_action(self, device: AndroidDevice) -> ExpertAction | None:
        """What an expert would do now; None if nothing is left to do, or there is no expert."""
        ...


@runtime_checkable
class TidyTask(Protocol):
    """A task that leaves something on the phone, and takes it away when the phone is given back."""

    async def tear_down(self, device: AndroidDevice) -> None:
        """Tidy up after a task; the episode is over, so a phone that fails now raises nothing."""
        ...


class TaskChannel(Protocol):
    """A way around adb to a phone that can be set and judged from outside, such as the virtual phone."""

    @property
    def draws_at_once(self) -> bool:
        """Whether the first picture after an action shows its result, so that nothing is waited for."""
        ...

    @property
    def status_bar_px(self) -> int:
        """Height of the status bar in pixels."""
        ...

    @property
    def app_packages(self) -> Mapping[str, str]:
        """What the phone calls its apps, with their packages."""
        ...

    async def reset(self, task: Task) -> None:
        """Set the phone to the start of the task; `ConfigError` if the task is for another world."""
        ...

    async def check(self) -> Outcome:
        """Judge the task of the last `reset`; changes nothing."""
        ...

    async def next_expert_action(self) -> ExpertAction | None:
        """What an expert would do now."""
        ...

    async def note(self, action: Action) -> None:
        """Be told of an action that no command carries: waiting, an answer, the end."""
        ...

    async def scroll_path(self, action: Scroll) -> Swipe | None:
        """The finger's way that this phone means by a scroll; None leaves it to the driver."""
        ...

    async def close(self) -> None:
        """Let go of the phone; calling it twice is fine."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AndroidGoal:
    """Do something on a phone that nobody scores: for demonstrations and for watching.

    Attributes:
        goal: what to do.
        app: what to start with, by name or package; "" starts at the home screen.
        max_steps: budget of actions.
        seed: kept with the recorded episode; a phone does not depend on it.
    """

    goal: str
    app: str = ""
    max_steps: int = 30
    seed: int = 0

    @property
    def task_id(self) -> str:
        """The goal: equal ones mean the same task."""
        return f"android/{self.goal}"

    @property
    def template(self) -> str:
        """All goals are of one family."""
        return "goal"

    async def set_up(self, device: AndroidDevice) -> None:
        """Go to the home screen, or start the app."""
        await device.go_home()
        if self.app and (error := await device.apps.start(self.app)) is not None:
            raise ConfigError(f"phone {device.serial}: task {self.task_id!r} starts with an app: {error}")

    async def check(self, device: AndroidDevice) -> Outcome:
        """Nobody can tell."""
        return Outcome(verdict=Verdict.UNSCORED, detail="a goal in words has no check")

    async def next_expert_action(self, device: AndroidDevice) -> ExpertAction | None:
        """There is no expert for a goal in words."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AndroidGoalSuite:
    """One goal as a list of one task (a `gui_agent.device.TaskSource`)."""

    goal: str

    @property
    def suite(self) -> str:
        """`android/<goal>`."""
        return f"android/{self.goal}"

    @property
    def templates(self) -> Sequence[str]:
        """The only one."""
        return ("goal",)

    def task(self, template: str, seed: int) -> AndroidGoal:
        """The task; the seed is only kept.

        Raises:
            ConfigError: the template is another one.
        """
        if template != "goal":
            raise ConfigError(f"suite {self.suite!r} has no template {template!r}; there is goal")
        return AndroidGoal(goal=self.goal, seed=seed)


def android_suite(goal: str) -> AndroidGoalSuite:
    """The suite of one goal: "android/Switch Wi-Fi on".

    Raises:
        ConfigError: the goal is empty.
    """
    if not goal.strip():
        raise ConfigError("suite 'android': write what to do, for instance 'android/Switch Wi-Fi on'")
    return AndroidGoalSuite(goal=goal.strip())
