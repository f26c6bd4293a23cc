"""Actions on a phone: as touches, keys and text."""

from __future__ import annotations

import asyncio
from typing import Final, assert_never

from devices.android import touch
from devices.android.apps import Apps
from devices.android.connection import AdbConnection
from devices.android.keys import key_command
from devices.android.observing import ScreenObserver
from devices.android.tasks import TaskChannel
from devices.android.text_input import TextInput
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    DoubleClick,
    Drag,
    Finish,
    LongPress,
    OpenApp,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_points,
)
from gui_agent.device import ActionResult, StopReason

_LONGEST_HOLD_S: Final = 10.0
"""A model that asks for an hour gets this; the result says how long it really was."""
_BUTTONS: Final = {
    Button.BACK: "KEYCODE_BACK",
    Button.HOME: "KEYCODE_HOME",
    Button.MENU: "KEYCODE_MENU",
    Button.ENTER: "KEYCODE_ENTER",
}


def refusal(action: Action, shown_px: tuple[int, int] | None) -> str | None:
    """Why the action cannot be performed on a picture of this size, or None."""
    if shown_px is not None:
        width_px, height_px = shown_px
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


class ActionPerformer:
    """Performs actions whose points are pixels of the last picture that the observer showed.

    Args:
        connection: the phone.
        observer: knows what was shown.
        apps: opens them by name.
        text: types it.
        channel: is told what no command carries.
    """

    def __init__(
        self,
        connection: AdbConnection,
        *,
        observer: ScreenObserver,
        apps: Apps,
        text: TextInput,
        channel: TaskChannel | None,
    ) -> None:
        """Nothing is sent before the first action."""
        self._connection = connection
        self._observer = observer
        self._apps = apps
        self._text = text
        self._channel = channel

    async def perform(self, action: Action) -> ActionResult:
        """Perform an action that `refusal` has nothing against.

        Raises:
            DeviceError: the phone failed; the agent's mistakes are in the result.
        """
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
                space = await self._observer.input_space()
                command = touch.drag(*space.to_input(x, y), *space.to_input(to_x, to_y))
                await touch.send_input(self._connection, command, extra_s=touch.DRAG_MS / 1000)
            case Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
                await self._swipe(x, y, to_x, to_y, duration_s=touch.SWIPE_MS / 1000)
            case Scroll():
                await self._scroll(action)
            case TypeText(text=text):
                return _performed(action, await self._text.type_text(text))
            case PressKey(key=key):
                await touch.send_input(self._connection, key_command(key) or ())
            case SystemButton(button=button):
                await touch.send_input(self._connection, ("keyevent", _BUTTONS[button]))
            case OpenApp(name=name):
                return _performed(action, await self._apps.start(name))
            case Wait(duration_s=duration_s):
                waited_s = min(duration_s, _LONGEST_HOLD_S)
                if not self._observer.draws_at_once:  # the time of such a phone passes with its steps
                    await asyncio.sleep(waited_s)  # The duration is the action itself.
                await self._note(action)
                return ActionResult(executed=Wait(duration_s=waited_s))
            case Answer():
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
        at_x, at_y = (await self._observer.input_space()).to_input(x, y)
        await touch.send_input(self._connection, ("tap", str(at_x), str(at_y)), times=times)

    async def _swipe(self, x: int, y: int, to_x: int, to_y: int, *, duration_s: float) -> None:
        space = await self._observer.input_space()
        path = (*space.to_input(x, y), *space.to_input(to_x, to_y))
        command = touch.swipe(*path, round(duration_s * 1000))
        await touch.send_input(self._connection, command, extra_s=duration_s)

    async def _scroll(self, action: Scroll) -> None:
        path = None if self._channel is None else await self._channel.scroll_path(action)
        if path is None:
            width_px, height_px = (await self._observer.input_space()).shown_px
            x = width_px // 2 if action.x is None else action.x
            y = height_px // 2 if action.y is None else action.y
            ends = touch.scroll_path(action.direction, x, y, width_px, height_px)
        else:
            ends = (path.x, path.y, path.to_x, path.to_y)
        await self._swipe(*ends, duration_s=touch.SCROLL_MS / 1000)


def _performed(action: Action, error: str | None) -> ActionResult:
    return ActionResult(executed=None if error else action, error=error)
