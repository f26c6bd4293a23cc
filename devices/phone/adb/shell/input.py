"""`input`: gestures, text and keys from the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from devices.phone.adb.android import Android
from devices.phone.adb.faults import Fault
from devices.phone.adb.screen import letterbox
from devices.phone.adb.shell import keys
from devices.phone.adb.shell.call import Call, Command
from devices.phone.state import write
from gui_agent.actions import Action, Button, Click, Drag, LongPress, Swipe, SystemButton, TypeText

_SOURCES: Final = frozenset(
    {
        "dpad", "keyboard", "mouse", "touchpad", "gamepad", "touchnavigation", "joystick", "touchscreen",
        "stylus", "trackball", "rotaryencoder",
    }
)  # fmt: skip
_TOUCH_SLOP_DP: Final = 8
_LONG_PRESS_MS: Final = 400
_DEFAULT_SWIPE_MS: Final = 300
_ERROR: Final = 255
_USAGE: Final = """Usage: input [<source>] [-d DISPLAY_ID] <command> [<arg>...]

The sources are:
      touchnavigation
      touchscreen
      joystick
      stylus
      touchpad
      gamepad
      dpad
      mouse
      keyboard
      trackball
      rotaryencoder

The commands and default sources are:
      text <string> (Default: touchscreen)
      keyevent [--longpress|--doubletap] <key code number or name> ... (Default: keyboard)
      tap <x> <y> (Default: touchscreen)
      swipe <x1> <y1> <x2> <y2> [duration(ms)] (Default: touchscreen)
      draganddrop <x1> <y1> <x2> <y2> [duration(ms)] (Default: touchscreen)
      press (Default: trackball)
      roll <dx> <dy> (Default: trackball)
      motionevent <DOWN|UP|MOVE|CANCEL> <x> <y> (Default: touchscreen)
      keycombination [-t duration(ms)] <key code 1> <key code 2> ... (Default: keyboard)
"""


async def run_input(call: Call) -> int:
    """`input [SOURCE] [-d DISPLAY] COMMAND ARGUMENTS`."""
    words = list(call.args)
    if words and words[0] in _SOURCES:
        words = words[1:]
    if words[:1] == ["-d"]:
        words = words[2:]
    if not words:
        return await call.fail(_USAGE, _ERROR)
    name, *arguments = words
    command = _COMMANDS.get(name)
    if command is None:
        return await call.fail(f"Error: Unknown command: {name}\n{_USAGE}", _ERROR)
    await call.android.delay(call.android.profile.input_ms)
    if call.android.faults.take(Fault.INPUT_DENIED):
        return await call.fail(_denied(name), _ERROR)
    try:
        return await command(call, arguments)
    except ValueError:
        return await call.fail(f"Error: Invalid arguments for command: {name}\n{_USAGE}", _ERROR)


def _denied(name: str) -> str:
    return (
        f"\nException occurred while executing '{name}':\njava.lang.SecurityException: Injecting input "
        "events requires the caller (or the source of the instrumentation, if any) to have the INJECT_EVENTS "
        "permission.\n\tat com.android.server.input.InputManagerService.injectInputEventToTarget"
        "(InputManagerService.java:900)\n"
    )


def _numbers(arguments: Sequence[str], fewest: int, most: int) -> list[float]:
    """Coordinates; ValueError if there are too few or too many, or one is no number."""
    if not fewest <= len(arguments) <= most:
        raise ValueError(f"{len(arguments)} numbers")
    numbers = [float(word) for word in arguments]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("no finite number")
    return numbers


async def _perform(call: Call, action: Action | None) -> int:
    """Perform a gesture. What has no effect (a tap beside the screen) is no error for `input`."""
    if action is not None:
        await call.android.perform(action)
    return 0


async def _tap(call: Call, arguments: Sequence[str]) -> int:
    """A second tap at the same place in the same line completes a double tap, one gesture."""
    x, y = _numbers(arguments, 2, 2)
    point = letterbox(call.android).to_apps(x, y)
    if point is not None and point == call.shell.last_tap:
        call.shell.last_tap = None
        return 0
    call.shell.last_tap = point
    return await _perform(call, None if point is None else Click(x=point[0], y=point[1]))


def _gesture(android: Android, arguments: Sequence[str], *, drag: bool) -> tuple[Action | None, float]:
    """What a finger does that goes from one point to another, and how long that takes, in ms."""
    x, y, to_x, to_y, *rest = _numbers(arguments, 4, 5)
    duration_ms = rest[0] if rest and rest[0] >= 0 else _DEFAULT_SWIPE_MS
    box = letterbox(android)
    start, end = box.to_apps(x, y), box.to_apps(to_x, to_y)
    if start is None or end is None:
        return None, duration_ms
    (left, top), (right, bottom) = start, _inside(android, end)
    if math.hypot(right - left, bottom - top) > _TOUCH_SLOP_DP * android.display.density:
        kind = Drag if drag else Swipe
        return kind(x=left, y=top, to_x=right, to_y=bottom), duration_ms
    if duration_ms >= _LONG_PRESS_MS:
        return LongPress(x=left, y=top, duration_s=duration_ms / 1000), duration_ms
    return Click(x=left, y=top), duration_ms


def _inside(android: Android, point: tuple[int, int]) -> tuple[int, int]:
    """A finger that leaves the screen ends at its edge."""
    x, y = point
    return min(max(x, 0), android.display.width_px - 1), min(max(y, 0), android.display.height_px - 1)


async def _swipe(call: Call, arguments: Sequence[str], *, drag: bool = False) -> int:
    call.shell.last_tap = None
    action, duration_ms = _gesture(call.android, arguments, drag=drag)
    if call.android.profile.gesture:
        await call.android.delay(duration_ms)
    return await _perform(call, action)


async def _drag(call: Call, arguments: Sequence[str]) -> int:
    return await _swipe(call, arguments, drag=True)


async def _text(call: Call, arguments: Sequence[str]) -> int:
    """Only what a keyboard with Latin letters has can be sent; `%s` is a space."""
    call.shell.last_tap = None
    if not arguments:
        raise ValueError("no text")
    text = arguments[0].replace("%s", " ")
    if not text.isascii():
        return await call.fail(
            "\nException occurred while executing 'text':\njava.lang.NullPointerException: Attempt to get "
            "length of null array\n\tat com.android.server.input.InputShellCommand.sendText"
            "(InputShellCommand.java:304)\n",
            _ERROR,
        )
    return await _perform(call, TypeText(text=text)) if text else 0


async def _key_event(call: Call, arguments: Sequence[str]) -> int:
    call.shell.last_tap = None
    words = [word for word in arguments if not word.startswith("--")]
    if not words:
        raise ValueError("no key")
    for word in words:
        code = keys.key_code(word)
        if code is None:
            return await call.fail(f"Error: Invalid arguments for command: keyevent\n{_USAGE}", _ERROR)
        await _press(call, code)
    return 0


async def _press(call: Call, code: int) -> None:
    android = call.android
    selected, android.all_selected = android.all_selected, False
    match code:
        case keys.POWER:
            android.awake = not android.awake
        case keys.WAKEUP:
            android.awake = True
        case keys.SLEEP:
            android.awake = False
        case keys.HOME:
            await android.perform(SystemButton(button=Button.HOME))
        case keys.BACK:
            await android.perform(SystemButton(button=Button.BACK))
        case keys.ENTER:
            await android.perform(SystemButton(button=Button.ENTER))
        case keys.DEL | keys.FORWARD_DEL:
            erase(android, everything=selected)
        case keys.PASTE if android.clipboard:
            await android.perform(TypeText(text=android.clipboard))
        case _ if code in keys.CHARACTERS:
            await android.perform(TypeText(text=keys.CHARACTERS[code]))


def focused_field(android: Android) -> str:
    """The text field that has the focus; "" for none."""
    return next((w.field for w in android.phone.shown().live if w.field and w.on), "")


def erase(android: Android, *, everything: bool) -> None:
    """Remove the last character of the focused field, or all of them."""
    field = focused_field(android)
    if field and android.awake:
        value = android.state.page.value(field)
        android.change(write(android.state, field, "" if everything else value[:-1]))


async def _combination(call: Call, arguments: Sequence[str]) -> int:
    words = list(arguments[2:] if arguments[:1] == ["-t"] else arguments)
    codes = [keys.key_code(word) for word in words]
    if len(codes) < 2 or None in codes:
        raise ValueError("no combination")
    call.android.all_selected = bool(set(codes) & keys.CTRL) and keys.LETTER_A in codes
    return 0


async def _motion(call: Call, arguments: Sequence[str]) -> int:
    """DOWN and UP at one place are a tap, at two places a swipe."""
    if len(arguments) != 3 or arguments[0] not in ("DOWN", "UP", "MOVE", "CANCEL"):
        raise ValueError("no motion event")
    kind, (x, y) = arguments[0], _numbers(arguments[1:], 2, 2)
    if kind == "DOWN":
        call.android.touched_at = (x, y)
    elif kind == "UP" and call.android.touched_at is not None:
        start, call.android.touched_at = call.android.touched_at, None
        words = [str(number) for number in (*start, x, y)]
        return await _perform(call, _gesture(call.android, words, drag=False)[0])
    return 0


async def _nothing(call: Call, arguments: Sequence[str]) -> int:
    return 0


_COMMANDS: Final = {
    "tap": _tap,
    "swipe": _swipe,
    "draganddrop": _drag,
    "text": _text,
    "keyevent": _key_event,
    "keycombination": _combination,
    "motionevent": _motion,
    "press": _nothing,
    "roll": _nothing,
}

INPUT_COMMANDS: Final[dict[str, Command]] = {"input": run_input}
