"""Broadcasts that test keyboards listen to: text of any script, deletion, editor actions.

`am broadcast -a ADB_INPUT_B64 --es msg <base64 of UTF-8>` writes the text where the focus is. It works
only while the keyboard is the one in use, as with the real ones.

Source: the broadcasts that ADBKeyBoard (github.com/senzhk/ADBKeyBoard) and uiautomator2's keyboard document.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from devices.phone.adb.android import Android
from devices.phone.adb.packages import ADB_KEYBOARD, UIAUTOMATOR_KEYBOARD
from devices.phone.adb.shell.input import erase
from devices.phone.adb.shell.intent import Intent
from gui_agent.actions import Button, SystemButton, TypeText

_DONE: Final = -1  # Activity.RESULT_OK, which uiautomator2's keyboard answers with
_NOT_HEARD: Final = 0
_ENTER_KEY: Final = "66"


async def keyboard_broadcast(android: Android, intent: Intent) -> int | None:
    """Let the test keyboard hear a broadcast.

    Returns:
        The result code of the broadcast; None if it is none of the keyboard's.
    """
    action, extras = intent.action, intent.extras
    if not action.startswith(("ADB_INPUT_", "ADB_CLEAR_", "ADB_EDITOR_", "ADB_KEYBOARD_")):
        return None
    listens = UIAUTOMATOR_KEYBOARD if action.startswith("ADB_KEYBOARD_") else ADB_KEYBOARD
    if android.keyboard != listens or not android.awake:
        return _NOT_HEARD
    result = _DONE if listens == UIAUTOMATOR_KEYBOARD else _NOT_HEARD
    match action:
        case "ADB_INPUT_B64":
            await _write(android, _decoded(extras.get("msg", "")))
        case "ADB_KEYBOARD_INPUT_TEXT":
            await _write(android, _decoded(extras.get("text", "")))
        case "ADB_INPUT_TEXT":
            await _write(android, extras.get("msg", ""))
        case "ADB_INPUT_CHARS":
            codes = extras.get("chars", "").split(",")
            await _write(android, "".join(chr(int(code)) for code in codes if code.isdecimal()))
        case "ADB_CLEAR_TEXT" | "ADB_KEYBOARD_CLEAR_TEXT":
            erase(android, everything=True)
        case "ADB_INPUT_CODE" if extras.get("code") == _ENTER_KEY:
            await android.perform(SystemButton(button=Button.ENTER))
        case "ADB_INPUT_CODE" if extras.get("code") == "67":
            erase(android, everything=False)
        case (
            "ADB_EDITOR_CODE" | "ADB_KEYBOARD_EDITOR_CODE" | "ADB_KEYBOARD_SMART_ENTER" | "ADB_KEYBOARD_HIDE"
        ):
            await android.perform(SystemButton(button=Button.ENTER))
        case _:
            return _NOT_HEARD
    return result


def _decoded(text: str) -> str:
    """What the base64 says; nothing if it is none."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


async def _write(android: Android, text: str) -> None:
    if text:
        await android.perform(TypeText(text=text))
