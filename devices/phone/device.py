"""The virtual phone as a `Device`: in process, deterministic, restorable, with an expert inside."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from devices.phone.apps.registry import APP_DATA_TYPES
from devices.phone.display import QUICKSTART_DISPLAY, PhoneDisplay
from devices.phone.drawing import draw
from devices.phone.goal import PhoneGoal, phone_goal
from devices.phone.inspection import phone_scene
from devices.phone.layout import Layout
from devices.phone.state import PhoneState, state_from_json, state_key, state_to_json
from devices.phone.suites import phone_task
from devices.phone.tasks.oracle import expert_action, num_expert_actions
from devices.phone.tasks.plan import Plan
from devices.phone.tasks.task import PhoneTask
from devices.phone.transition import ACTION_SPACE, layout_of, perform
from gui_agent.actions import Action, Finish, ParseError
from gui_agent.device import ActionResult, ExpertAction, Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DeviceError
from gui_agent.observation import Observation, Screenshot
from gui_agent.safety.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSnapshot:
    """A saved phone: JSON of its state, and the task it was on ("" for none)."""

    state: str
    task_id: str
    finished: bool


class ScreenCache:
    """The most recently drawn screens by what they show, shared by the devices of a factory."""

    def __init__(self, capacity: int = 512) -> None:
        """Keep at most `capacity` screenshots; 0 keeps none."""
        self._capacity = capacity
        self._screens: OrderedDict[tuple[str, str, PhoneDisplay], Screenshot] = OrderedDict()

    def screenshot(self, state: PhoneState, shown: Layout, display: PhoneDisplay, key: str) -> Screenshot:
        """The picture of a state; `key` is its state key."""
        name = (key, state.clock_text, display)
        found = self._screens.get(name)
        if found is None:
            found = Screenshot.from_image(draw(shown, state, display))
            self._screens[name] = found
            if len(self._screens) > self._capacity:
                self._screens.popitem(last=False)
        else:
            self._screens.move_to_end(name)
        return found


class PhoneDevice:
    """One virtual phone (implements `Device`, `Restorable` and `Demonstrator`).

    Args:
        display: the screen.
        popup_rate: chance of an unexpected pop-up after each gesture, in [0, 1]; None leaves it to
            the task.
        screens: screenshots drawn before, to be used again.
    """

    action_space = ACTION_SPACE

    def __init__(
        self,
        display: PhoneDisplay = QUICKSTART_DISPLAY,
        *,
        popup_rate: float | None = None,
        screens: ScreenCache | None = None,
    ) -> None:
        """A phone that is switched off until `reset`."""
        self.display = display
        self._popup_rate = popup_rate
        self._screens = screens or ScreenCache()
        self._task: PhoneTask | PhoneGoal | None = None
        self._state: PhoneState | None = None
        self._shown: Layout | None = None
        self._finished = False
        self._num_needed_at_start: int | None = None

    @property
    def state(self) -> PhoneState:
        """What the phone remembers now.

        Raises:
            DeviceError: `reset` or `restore` has not been called yet.
        """
        if self._state is None:
            raise DeviceError("the virtual phone is off; call reset(task) or restore(snapshot) first")
        return self._state

    def _set(self, state: PhoneState) -> None:
        if state is not self._state:
            self._state = state
            self._shown = None

    def put(self, state: PhoneState, display: PhoneDisplay | None = None) -> None:
        """Bring the phone into a state, or onto another display, by other means than a gesture."""
        if display is not None and display != self.display:
            self.display = display
            self._shown = None
        self._set(state)

    def shown(self) -> Layout:
        """What the screen shows now."""
        if self._shown is None:
            self._shown = layout_of(self.state, self.display)
        return self._shown

    async def reset(self, task: Task) -> None:
        """Start the task from its first state.

        Raises:
            DeviceError: the task belongs to another world.
        """
        if not isinstance(task, PhoneTask | PhoneGoal):
            raise DeviceError(
                f"task {task.task_id!r} is no task of the virtual phone; take one from a phone suite"
            )
        start = task.plan.start if isinstance(task, PhoneTask) else task.start
        if self._popup_rate is not None:
            start = replace(start, popup_rate=self._popup_rate)
        self._task = task
        self._finished = False
        self._num_needed_at_start = None
        self._set(start)

    async def observe(self) -> Observation:
        """The screen as it is."""
        state, shown = self.state, self.shown()
        key = state_key(state)
        return Observation(
            screenshot=self._screens.screenshot(state, shown, self.display, key),
            elements=shown.elements(),
            foreground_app=state.foreground_app,
            state_key=key,
        )

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform the action, or say why it cannot be performed."""
        if isinstance(action, ParseError):
            return ActionResult(executed=None, error=action.reason)
        change = perform(self.state, action, self.display, self.shown())
        self._set(change.state)
        if change.error is not None:
            return ActionResult(executed=None, error=change.error)
        if isinstance(action, Finish):
            self._finished = True
            return ActionResult(executed=action, stop=StopReason.FINISHED)
        return ActionResult(executed=action)

    async def scene(self, action: Action) -> Scene:
        """What an action would hit now, for safety rules."""
        return phone_scene(action, self.shown(), self.state.foreground_app)

    async def check(self) -> Outcome:
        """Whether the goal is reached; progress is the share of the expert's way that is behind."""
        state, plan = self.state, self._plan()
        if plan is None:
            detail = "no task was set" if self._task is None else "a goal in words has no check"
            return Outcome(verdict=Verdict.UNSCORED, detail=detail)
        if plan.done(state):
            return Outcome(verdict=Verdict.SUCCESS, progress=1.0, detail="the goal is reached")
        if self._num_needed_at_start is None:
            self._num_needed_at_start = num_expert_actions(plan, plan.start, self.display) or 1
        needed = num_expert_actions(plan, state, self.display)
        if needed is None:
            return Outcome(verdict=Verdict.FAILURE, progress=0.0, detail="the goal is out of reach now")
        progress = max(0.0, 1.0 - needed / self._num_needed_at_start)
        detail = f"the expert would need {needed} more of {self._num_needed_at_start} actions"
        return Outcome(verdict=Verdict.FAILURE, progress=progress, detail=detail)

    async def next_expert_action(self) -> ExpertAction | None:
        """What the expert does now; None after `Finish` and where the goal is out of reach."""
        plan = self._plan()
        if plan is None or self._finished:
            return None
        return expert_action(plan, self.state, self.display, self.shown())

    def _plan(self) -> Plan | None:
        return self._task.plan if isinstance(self._task, PhoneTask) else None

    async def snapshot(self) -> PhoneSnapshot:
        """The phone and its task, to be restored on any phone with the same display."""
        task_id = "" if self._task is None else self._task.task_id
        return PhoneSnapshot(state=state_to_json(self.state), task_id=task_id, finished=self._finished)

    async def restore(self, snapshot: PhoneSnapshot) -> None:
        """Go back to a saved phone.

        Raises:
            DataError: the saved state cannot be read.
            ConfigError: the saved task does not exist.
        """
        state = state_from_json(snapshot.state, APP_DATA_TYPES)
        if self._task is None or self._task.task_id != snapshot.task_id:
            name = snapshot.task_id
            self._task = (phone_goal(name) or phone_task(name)) if name else None
            self._num_needed_at_start = None
        self._finished = snapshot.finished
        self._set(state)

    async def close(self) -> None:
        """Forget everything."""
        self._task = self._state = self._shown = None


class PhoneFactory:
    """Lends virtual phones (implements `gui_agent.device.DeviceFactory`).

    Args:
        display: the screen of each phone.
        num_devices: how many can be leased at once, at least 1.
        popup_rate: as for `PhoneDevice`.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self,
        *,
        display: PhoneDisplay = QUICKSTART_DISPLAY,
        num_devices: int = 1,
        popup_rate: float | None = None,
    ) -> None:
        """Nothing is made before the first lease."""
        if num_devices < 1:
            raise ConfigError(f"num_devices is {num_devices}; a factory needs at least 1")
        if popup_rate is not None and not 0 <= popup_rate <= 1:
            raise ConfigError(f"popup_rate is {popup_rate}; expected a number from 0 to 1")
        self.display = display
        self._num_devices = num_devices
        self._popup_rate = popup_rate
        self._screens = ScreenCache()
        self._free = asyncio.Semaphore(num_devices)

    @property
    def capacity(self) -> int:
        """How many phones can be leased at once."""
        return self._num_devices

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[PhoneDevice]:
        """A phone of one's own until the context ends."""
        async with self._free:
            device = PhoneDevice(self.display, popup_rate=self._popup_rate, screens=self._screens)
            try:
                yield device
            finally:
                await device.close()
