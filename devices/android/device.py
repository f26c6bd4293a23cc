"""A phone or emulator behind adb as a `Device`."""

from __future__ import annotations

import asyncio
import time
from typing import Final, TypeGuard

from devices.android import touch
from devices.android.apps import Apps
from devices.android.capture import Capturer
from devices.android.connection import AdbConnection
from devices.android.inspection import tree_scene
from devices.android.observing import ScreenObserver
from devices.android.performing import ActionPerformer, refusal
from devices.android.screen import Screen
from devices.android.settings import AndroidSettings
from devices.android.tasks import AndroidTask, TaskChannel, TidyTask
from devices.android.text_input import TextInput
from devices.android.ui_tree import UiTree, read_ui_tree
from gui_agent.actions import (
    ACTION_TYPES,
    Action,
    Answer,
    Button,
    OpenApp,
    ParseError,
    PressKey,
    Scroll,
    SystemButton,
    TypeText,
    action_points,
)
from gui_agent.device import ActionResult, ExpertAction, Outcome, Task, Verdict
from gui_agent.errors import DeviceError
from gui_agent.observation import Observation, Screenshot, UiElement
from gui_agent.safety.scene import Scene

_ACTION_SPACE: Final[frozenset[type]] = frozenset(ACTION_TYPES)


class AndroidDevice:
    """One agent's phone: it sees screenshots and acts by touches, keys and text.

    Coordinates are pixels of the last screenshot shown, whatever size or rotation the phone gives its input;
    they are converted here. The look after an action waits until the screen rests. Leased from an
    `AndroidFactory`.

    Args:
        connection: the phone.
        settings: how it is driven.
        channel: how its tasks are set and judged, where that goes around adb.
        capturer: pictures of the phone, with what was learnt about the faster way.

    Attributes:
        last_answer: what the agent said to the user last in this episode; "" for nothing.
    """

    action_space = _ACTION_SPACE

    def __init__(
        self,
        connection: AdbConnection,
        *,
        settings: AndroidSettings | None = None,
        channel: TaskChannel | None = None,
        capturer: Capturer | None = None,
    ) -> None:
        """Nothing is sent before `reset`."""
        self.connection = connection
        self.settings = settings or AndroidSettings()
        self.apps = Apps(connection, names=self.settings.apps)
        self.screen = Screen(connection)
        self.text = TextInput(connection)
        self.capturer = capturer or Capturer(
            connection, mode=self.settings.capture, display_id=self.settings.display_id
        )
        self._channel = channel
        self._observer = ScreenObserver(
            connection, capturer=self.capturer, screen=self.screen, settings=self.settings, channel=channel
        )
        self._performer = ActionPerformer(
            connection, observer=self._observer, apps=self.apps, text=self.text, channel=channel
        )
        self._task: Task | None = None
        self._last_contact_s = 0.0
        self._closed = False
        self.last_answer = ""

    @property
    def serial(self) -> str:
        """The phone's name in adb."""
        return self.connection.serial

    async def reset(self, task: Task) -> None:
        """Wake and unlock the phone and bring it to the start of the task.

        A task without a check of its own starts at the home screen and is never scored.

        Raises:
            ConfigError: the task is made for another world.
            DeviceError: the phone is not there, stays locked, or cannot be brought there.
        """
        self._refuse_if_closed()
        self._task, self.last_answer = None, ""
        await self.screen.wake()
        self._observer.forget_screen()
        if _is_android_task(task):
            await task.set_up(self)
        elif self._channel is not None:
            await self._channel.reset(task)
        else:
            await self.go_home()
        self._task = task
        self._observer.expect_change()
        self._touched()

    async def observe(self) -> Observation:
        """Look at the screen, after an action as soon as it rests.

        Raises:
            CaptureError: there is no honest picture.
            DeviceError: the phone failed.
        """
        self._current_task()
        await self._keep_awake()
        if self._observer.rests:
            frame, package = await asyncio.gather(self._observer.settled(), self.screen.foreground())
        else:  # what is in front is asked when the screen rests, for it may be another app until then
            frame = await self._observer.settled()
            package = await self.screen.foreground()
        look = await self._observer.explained(frame)
        await self._observer.show(look.frame)
        elements = await self.elements() if look.secure or self.settings.observe_elements else None
        screenshot = await asyncio.to_thread(lambda: Screenshot.from_image(look.frame.image()))
        self._touched()
        return Observation(
            screenshot=screenshot,  # encoded here: equal pixels have equal bytes, however they came
            elements=elements,
            foreground_app=package,
            state_key=look.frame.key(await self._observer.status_bar_px(look.frame)),
            secure=look.secure,
        )

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform the action; the next look waits for its effect.

        Raises:
            DeviceError: the phone failed; the agent's mistakes are in the result.
        """
        self._current_task()
        if isinstance(action, ParseError):
            return ActionResult(executed=None, error=f"the response is no action: {action.reason}")
        await self._keep_awake()
        if action_points(action):
            await self._observer.input_space()  # so that it is known what lies outside
        if (error := refusal(action, self._observer.shown_px)) is not None:
            return ActionResult(executed=None, error=error)
        if isinstance(action, Answer):
            self.last_answer = action.text
        result = await self._performer.perform(action)
        self._observer.expect_change()
        self._touched()
        return result

    async def check(self) -> Outcome:
        """Judge the task over a channel that the agent does not have."""
        task = self._current_task()
        if _is_android_task(task):
            return await task.check(self)
        if self._channel is not None:
            return await self._channel.check()
        return Outcome(verdict=Verdict.UNSCORED, detail="the task has no check on a real phone")

    async def next_expert_action(self) -> ExpertAction | None:
        """What an expert would do now; None if nothing is left to do, or there is no expert."""
        task = self._current_task()
        if _is_android_task(task):
            return await task.next_expert_action(self)
        return None if self._channel is None else await self._channel.next_expert_action()

    async def close(self) -> None:
        """Let go of the phone; calling it twice is fine."""
        task, self._closed, self._task = self._task, True, None
        try:
            if isinstance(task, TidyTask):
                await task.tear_down(self)
        finally:
            if self._channel is not None:
                await self._channel.close()

    async def ui_tree(self) -> UiTree:
        """The accessibility tree, with boxes in the phone's input space."""
        return await read_ui_tree(self.connection)

    async def elements(self) -> tuple[UiElement, ...]:
        """The named widgets, with boxes in pixels of the screenshot; empty where the phone tells none."""
        space = await self._observer.input_space()
        found = (space.to_shown(element) for element in (await self.ui_tree()).elements())
        return tuple(element for element in found if element is not None)

    async def scene(self, action: Action) -> Scene:
        """What an action would hit now, for safety rules; one without a target asks for no tree.

        Raises:
            DeviceError: the phone failed.
        """
        place = await self.screen.foreground()
        if isinstance(action, OpenApp):
            return Scene(place=place, opens=(await self.apps.resolve(action.name)).package)
        points = () if isinstance(action, Scroll) else action_points(action)
        keys = isinstance(action, TypeText | PressKey) or action == SystemButton(button=Button.ENTER)
        if not points and not keys:
            return Scene(place=place)
        space = await self._observer.input_space()
        tree = await self.ui_tree()
        return tree_scene(tree, [space.to_input(*point) for point in points], place=place)

    async def go_home(self) -> None:
        """Show the home screen."""
        await touch.send_input(self.connection, ("keyevent", "KEYCODE_HOME"))
        self._observer.expect_change()

    def _current_task(self) -> Task:
        self._refuse_if_closed()
        if self._task is None:
            raise DeviceError(f"phone {self.serial}: no task was started; call reset first")
        return self._task

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise DeviceError(f"phone {self.serial}: this device was closed; lease another one")

    def _touched(self) -> None:
        self._last_contact_s = time.monotonic()

    async def _keep_awake(self) -> None:
        """While the model thinks, a screen goes off."""
        if time.monotonic() - self._last_contact_s > self.settings.wake_after_s:
            await self.screen.wake()
            self._touched()


def _is_android_task(task: Task) -> TypeGuard[AndroidTask]:
    return all(callable(getattr(task, name, None)) for name in ("set_up", "check", "next_expert_action"))
