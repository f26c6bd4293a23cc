"""A phone or emulator behind adb as a `Device`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard, assert_never

from devices.android import touch
from devices.android.apps import Apps
from devices.android.capture import CaptureMode, Capturer, Frame
from devices.android.connection import AdbConnection
from devices.android.inspection import tree_scene
from devices.android.keys import key_command
from devices.android.screen import Screen, ScreenInfo
from devices.android.tasks import AndroidTask, TaskChannel, TidyTask
from devices.android.text_input import TextInput
from devices.android.ui_tree import UiTree, read_ui_tree
from gui_agent.actions import (
    ACTION_TYPES,
    Action,
    Answer,
    Button,
    Click,
    DoubleClick,
    Drag,
    Finish,
    LongPress,
    OpenApp,
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_points,
)
from gui_agent.device import ActionResult, ExpertAction, Outcome, Restorable, StopReason, Task, Verdict
from gui_agent.errors import CaptureError, DeviceError
from gui_agent.observation import Box, Observation, Screenshot, UiElement
from gui_agent.safety.scene import Scene

_ACTION_SPACE: Final[frozenset[type]] = frozenset(ACTION_TYPES)
_LONGEST_HOLD_S: Final = 10.0
"""A model that asks for an hour gets this; the result says how long it really was."""
_BUTTONS: Final = {
    Button.BACK: "KEYCODE_BACK",
    Button.HOME: "KEYCODE_HOME",
    Button.MENU: "KEYCODE_MENU",
    Button.ENTER: "KEYCODE_ENTER",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AndroidSettings:
    """How a phone is driven.

    Attributes:
        timeout_s: deadline of one command.
        capture: how pictures travel.
        display_id: which of several displays is captured, as `dumpsys SurfaceFlinger --display-id` numbers
            them.
        settle_timeout_s: after an action, look until two pictures are equal, or so long; 0 looks once.
        settle_interval_s: pause between two such looks.
        observe_elements: read the widgets at every look; slow on real phones (one second and more).
        prepare: keep the screen on and animations off while a factory has the phone.
        wake_after_s: after so long without a command, check that the screen is still on.
        apps: names of apps with their packages, beside those that are found by themselves.
    """

    timeout_s: float = 10.0
    capture: CaptureMode = CaptureMode.AUTO
    display_id: str = ""
    settle_timeout_s: float = 3.0
    settle_interval_s: float = 0.1
    observe_elements: bool = False
    prepare: bool = True
    wake_after_s: float = 20.0
    apps: Mapping[str, str] = field(default_factory=dict)


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
        self._task: Task | None = None
        self._info: ScreenInfo | None = None
        self._info_for_px = (0, 0)
        self._shown_px: tuple[int, int] | None = None
        self._unsettled = False
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
        if self._closed:
            raise DeviceError(f"phone {self.serial}: this device was closed; lease another one")
        self._task, self.last_answer = None, ""
        await self.screen.wake()
        self._info, self._shown_px = None, None
        if _is_android_task(task):
            await task.set_up(self)
        elif self._channel is not None:
            await self._channel.reset(task)
        else:
            await self.go_home()
        self._task, self._unsettled = task, True
        self._touched()

    async def observe(self) -> Observation:
        """Look at the screen, after an action as soon as it rests.

        Raises:
            CaptureError: there is no honest picture.
            DeviceError: the phone failed.
        """
        self._current_task()
        await self._keep_awake()
        frame, package = await asyncio.gather(self._settled(), self.screen.foreground())
        secure = False
        if frame.is_black:
            frame, secure = await self._explained_black(frame)
        self._unsettled = False
        self._shown_px = (frame.width_px, frame.height_px)
        info = await self._screen_info(frame)
        elements = await self.elements() if secure or self.settings.observe_elements else None
        screenshot = await asyncio.to_thread(lambda: Screenshot.from_image(frame.image()))
        self._touched()
        return Observation(
            screenshot=screenshot,  # encoded here: equal pixels have equal bytes, however they came
            elements=elements,
            foreground_app=package,
            state_key=frame.key(self._status_bar_px(info)),
            secure=secure,
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
        if self._shown_px is None and action_points(action):
            await self._look_at_size()
        if (error := self._refusal(action)) is not None:
            return ActionResult(executed=None, error=error)
        result = await self._perform(action)
        self._unsettled = True
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
        if self._shown_px is None:
            await self._look_at_size()
        assert self._shown_px is not None
        width_px, height_px = self._shown_px
        wide, high = self._input_size()
        found = []
        for element in (await self.ui_tree()).elements():
            box = element.box
            scaled = Box(
                left=max(0, box.left * width_px // wide),
                top=max(0, box.top * height_px // high),
                right=min(width_px, box.right * width_px // wide),
                bottom=min(height_px, box.bottom * height_px // high),
            )
            if scaled.right > scaled.left and scaled.bottom > scaled.top:
                found.append(
                    UiElement(name=element.name, role=element.role, box=scaled, clickable=element.clickable)
                )
        return tuple(found)

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
        if self._shown_px is None or self._info is None:
            await self._look_at_size()
        tree = await self.ui_tree()
        return tree_scene(tree, [self._to_input(*point) for point in points], place=place)

    async def go_home(self) -> None:
        """Show the home screen."""
        await touch.send_input(self.connection, ("keyevent", "KEYCODE_HOME"))
        self._unsettled = True

    def _current_task(self) -> Task:
        if self._closed:
            raise DeviceError(f"phone {self.serial}: this device was closed; lease another one")
        if self._task is None:
            raise DeviceError(f"phone {self.serial}: no task was started; call reset first")
        return self._task

    def _touched(self) -> None:
        self._last_contact_s = time.monotonic()

    async def _keep_awake(self) -> None:
        """While the model thinks, a screen goes off."""
        if time.monotonic() - self._last_contact_s > self.settings.wake_after_s:
            await self.screen.wake()
            self._touched()

    @property
    def _draws_at_once(self) -> bool:
        return self._channel is not None and self._channel.draws_at_once

    # Looking

    async def _settled(self) -> Frame:
        """A picture that two looks agree on, or the last one when the time is up."""
        frame = await self.capturer.frame()
        if not self._unsettled or self._draws_at_once or not self.settings.settle_timeout_s:
            return frame
        bar_px = self._status_bar_px(await self._screen_info(frame))
        end_s = time.monotonic() + self.settings.settle_timeout_s
        while time.monotonic() < end_s:
            await asyncio.sleep(self.settings.settle_interval_s)
            later = await self.capturer.frame()
            if (later.width_px, later.height_px) == (frame.width_px, frame.height_px) and later.same_below(
                frame, bar_px
            ):
                return later
            frame = later
        return frame

    async def _explained_black(self, frame: Frame) -> tuple[Frame, bool]:
        """A black picture: the screen is off, the window hides itself, or the capture lies.

        Returns:
            A picture, and whether it is black because the window does not let itself be captured.

        Raises:
            CaptureError: widgets are on the screen, but the picture stays black.
        """
        await self.screen.wake()
        frame = await self.capturer.frame()
        if not frame.is_black:
            return frame, False
        if await self.screen.is_secure():
            return frame, True
        tree = await self.ui_tree()
        frame = await self.capturer.frame()
        if frame.is_black and tree.elements():
            names = ", ".join(repr(element.name) for element in tree.elements()[:3])
            raise CaptureError(
                self.connection.message(
                    "screencap",
                    f"a black picture, though the screen is on and shows {names}",
                    "restart the phone or emulator; on an emulator try another graphics mode (-gpu)",
                )
            )
        return frame, False

    async def _look_at_size(self) -> None:
        frame = await self.capturer.frame()
        self._shown_px = (frame.width_px, frame.height_px)
        await self._screen_info(frame)

    async def _screen_info(self, frame: Frame) -> ScreenInfo:
        """What the phone says about its screen, asked again whenever the picture has another size."""
        size_px = (frame.width_px, frame.height_px)
        if self._info is None or self._info_for_px != size_px:
            self._info, self._info_for_px = await self.screen.info(), size_px
        return self._info

    def _status_bar_px(self, info: ScreenInfo) -> int:
        return info.status_bar_px if self._channel is None else self._channel.status_bar_px

    # Acting

    def _input_size(self) -> tuple[int, int]:
        """Width and height of the space that taps are given in, turned as the picture is."""
        assert self._info is not None
        assert self._shown_px is not None
        sizes = sorted((self._info.width_px, self._info.height_px))
        return (sizes[1], sizes[0]) if self._shown_px[0] > self._shown_px[1] else (sizes[0], sizes[1])

    def _to_input(self, x: int, y: int) -> tuple[int, int]:
        """From pixels of the screenshot to the phone's input space."""
        assert self._shown_px is not None
        wide, high = self._input_size()
        return (2 * x + 1) * wide // (2 * self._shown_px[0]), (2 * y + 1) * high // (2 * self._shown_px[1])

    def _refusal(self, action: Action) -> str | None:
        """Why the action cannot be performed here, or None."""
        if self._shown_px is not None:
            width_px, height_px = self._shown_px
            for x, y in action_points(action):
                if not (0 <= x < width_px and 0 <= y < height_px):
                    return f"({x}, {y}) lies outside the screen of {width_px}x{height_px} pixels"
        match action:
            case PressKey(key=key) if key_command(key) is None:
                return f"there is no key {key!r}"
            case Wait(duration_s=duration_s) | LongPress(duration_s=duration_s) if not duration_s >= 0:
                return f"a duration of {duration_s} s is impossible"
            case _:
                return None

    async def _perform(self, action: Action) -> ActionResult:
        match action:
            case Click(x=x, y=y):
                await self._tap(x, y)
            case DoubleClick(x=x, y=y):
                await self._tap(x, y, times=2)
            case LongPress(x=x, y=y, duration_s=duration_s):
                held_s = min(duration_s, _LONGEST_HOLD_S)
                await self._swipe(x, y, x, y, duration_s=held_s)
                return ActionResult(executed=LongPress(x=x, y=y, duration_s=held_s))
            case Drag(x=x, y=y, to_x=to_x, to_y=to_y):
                command = touch.drag(*self._to_input(x, y), *self._to_input(to_x, to_y))
                await touch.send_input(self.connection, command, extra_s=touch.DRAG_MS / 1000)
            case Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
                await self._swipe(x, y, to_x, to_y, duration_s=touch.SWIPE_MS / 1000)
            case Scroll():
                await self._scroll(action)
            case TypeText(text=text):
                return _performed(action, await self.text.type_text(text))
            case PressKey(key=key):
                command = key_command(key) or ()
                await touch.send_input(self.connection, command)
            case SystemButton(button=button):
                await touch.send_input(self.connection, ("keyevent", _BUTTONS[button]))
            case OpenApp(name=name):
                return _performed(action, await self.apps.start(name))
            case Wait(duration_s=duration_s):
                waited_s = min(duration_s, _LONGEST_HOLD_S)
                if not self._draws_at_once:  # the time of such a phone passes with its steps
                    await asyncio.sleep(waited_s)  # The duration is the action itself.
                await self._note(action)
                return ActionResult(executed=Wait(duration_s=waited_s))
            case Answer(text=text):
                self.last_answer = text
                await self._note(action)
            case Finish():
                await self._note(action)
                return ActionResult(executed=action, stop=StopReason.FINISHED)
            case _:
                assert_never(action)
        return ActionResult(executed=action)

    async def _note(self, action: Action) -> None:
        if self._channel is not None:
            await self._channel.note(action)

    async def _tap(self, x: int, y: int, *, times: int = 1) -> None:
        at_x, at_y = self._to_input(x, y)
        await touch.send_input(self.connection, ("tap", str(at_x), str(at_y)), times=times)

    async def _swipe(self, x: int, y: int, to_x: int, to_y: int, *, duration_s: float) -> None:
        path = (*self._to_input(x, y), *self._to_input(to_x, to_y))
        command = touch.swipe(*path, round(duration_s * 1000))
        await touch.send_input(self.connection, command, extra_s=duration_s)

    async def _scroll(self, action: Scroll) -> None:
        path = None if self._channel is None else await self._channel.scroll_path(action)
        if path is None:
            if self._shown_px is None:
                await self._look_at_size()
            assert self._shown_px is not None
            width_px, height_px = self._shown_px
            x = width_px // 2 if action.x is None else action.x
            y = height_px // 2 if action.y is None else action.y
            ends = touch.scroll_path(action.direction, x, y, width_px, height_px)
        else:
            ends = (path.x, path.y, path.to_x, path.to_y)
        await self._swipe(*ends, duration_s=touch.SCROLL_MS / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class AndroidSnapshot:
    """A saved phone, and the task it was on."""

    phone: Any
    task: Task | None


class RestorableAndroidDevice(AndroidDevice):
    """A phone whose channel saves and restores its whole state (implements `Restorable`)."""

    async def snapshot(self) -> AndroidSnapshot:
        """The phone and its task, to be restored on any phone with the same screen."""
        return AndroidSnapshot(phone=await self._restorable().snapshot(), task=self._current_task())

    async def restore(self, snapshot: AndroidSnapshot) -> None:
        """Go back to a saved phone.

        Raises:
            DataError: the saved state cannot be read.
        """
        if self._closed:
            raise DeviceError(f"phone {self.serial}: this device was closed; lease another one")
        await self._restorable().restore(snapshot.phone)
        self._task, self._shown_px, self._unsettled = snapshot.task, None, True
        self._touched()

    def _restorable(self) -> Restorable:
        assert isinstance(self._channel, Restorable), (
            "the factory gives such a device to such a channel alone"
        )
        return self._channel


def _performed(action: Action, error: str | None) -> ActionResult:
    return ActionResult(executed=None if error else action, error=error)


def _is_android_task(task: Task) -> TypeGuard[AndroidTask]:
    return all(callable(getattr(task, name, None)) for name in ("set_up", "check", "next_expert_action"))
