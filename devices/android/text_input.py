"""Text in any language, typed where the focus is.

`input text` types what a US keyboard has. Everything else goes as base64 in a broadcast to a keyboard app
that writes it into the field; that keyboard is selected for the moment and the one before it restored, and
the field is read back, since a broadcast that nobody heard looks like one that was.
"""

from __future__ import annotations

import asyncio
import base64
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devices.android.connection import AdbConnection
from devices.android.touch import send_input
from devices.android.ui_tree import UiNode, read_ui_tree
from gui_agent.errors import DeviceError

_CHUNK_CHARACTERS: Final = 400
_BROADCAST_CHARACTERS: Final = 4_000
"""A request to the adb server has 65,535 bytes at most; four bytes a character, a third more in base64."""
_SWITCH_DEADLINE_S: Final = 5.0
_LOOK_AGAIN_S: Final = 0.1
_SEEN_DEADLINE_S: Final = 1.0
_BROADCAST_TRIES: Final = 2
_RESULT: Final = re.compile(r"Broadcast completed: result=(-?\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastKeyboard:
    """A keyboard app that types what a broadcast brings.

    Attributes:
        component: as `ime list -s` names it.
        action: of the broadcast.
        extra: name of the base64 text in it.
        heard: the result code when it was heard; None where the app reports none.
    """

    component: str
    action: str
    extra: str
    heard: int | None


KEYBOARDS: Final = (
    BroadcastKeyboard(
        component="com.github.uiautomator/.AdbKeyboard",
        action="ADB_KEYBOARD_INPUT_TEXT",
        extra="text",
        heard=-1,
    ),
    BroadcastKeyboard(
        component="com.android.adbkeyboard/.AdbIME", action="ADB_INPUT_B64", extra="msg", heard=None
    ),
)
"""Keyboards that are known, best first."""

KEYBOARD_REMEDY: Final = (
    "install a keyboard that takes text by broadcast, for instance ADBKeyBoard (com.android.adbkeyboard): "
    "`gui-agent devices doctor SERIAL --fix --keyboard-apk FILE.apk`"
)


class TextInput:
    """Types on one phone.

    Args:
        connection: the phone.
    """

    def __init__(self, connection: AdbConnection) -> None:
        """Nothing is asked before the first text."""
        self._connection = connection
        self._keyboard: BroadcastKeyboard | None = None

    async def type_text(self, text: str) -> str | None:
        """Type into the field that has the focus.

        Returns:
            Why it could not be typed (nothing has the focus, the phone cannot type it), or None.

        Raises:
            DeviceError: the phone failed.
        """
        if not text:
            return None
        if (found := _untypeable(text)) is not None:
            return f"the character {found!r} cannot be typed on a phone"
        if not await self._has_focus():
            return "no text field has the focus; tap one first"
        if _is_plain(text):
            await self._type_plain(text)
            return None
        return await self._type_by_broadcast(text)

    async def installed_keyboard(self) -> BroadcastKeyboard | None:
        """The best known keyboard on the phone."""
        if self._keyboard is None:
            listed = await self.keyboards()
            self._keyboard = next((one for one in KEYBOARDS if one.component in listed), None)
        return self._keyboard

    async def keyboards(self) -> frozenset[str]:
        """All keyboards on the phone, enabled or not."""
        result = await self._connection.shell("ime list -s -a")
        if result.exit_code == 0 and "SecurityException" not in result.complaint:
            return frozenset(filter(None, (line.strip() for line in result.text.splitlines())))
        # Some makers forbid `ime list`; then only those that were enabled by hand are known.
        enabled = await self._connection.check_shell("settings get secure enabled_input_methods")
        return frozenset(one.partition(";")[0] for one in enabled.strip().split(":"))

    async def _has_focus(self) -> bool:
        """Whether typing would reach anything; a phone that cannot say counts as ready."""
        shown = await self._connection.shell("dumpsys input_method | grep mInputShown")
        if "mInputShown=true" in shown.text:
            return True
        tree = await read_ui_tree(self._connection)  # a hardware keyboard keeps the one on the screen away
        return not tree.known or tree.focused_field() is not None

    async def _type_plain(self, text: str) -> None:
        lines = text.split("\n")
        for index, line in enumerate(lines):
            for part in plain_parts(line):
                await send_input(self._connection, ("text", part))
            if index + 1 < len(lines):
                await send_input(self._connection, ("keyevent", "KEYCODE_ENTER"))

    async def _type_by_broadcast(self, text: str) -> str | None:
        keyboard = await self.installed_keyboard()
        if keyboard is None:
            shown = text if len(text) <= 20 else f"{text[:20]}…"
            return (
                f"phone {self._connection.serial} cannot type {shown!r}: `ime list -s -a` names no keyboard "
                f"for text beyond ASCII; {KEYBOARD_REMEDY.replace('SERIAL', self._connection.serial)}"
            )
        previous, was_enabled = await self._current_keyboard(), await self._is_enabled(keyboard.component)
        try:
            await self._select(keyboard.component)
            for start in range(0, len(text), _BROADCAST_CHARACTERS):
                before = (await read_ui_tree(self._connection)).focused_field()
                part = text[start : start + _BROADCAST_CHARACTERS]
                if (error := await self._broadcast_until_seen(keyboard, part, before)) is not None:
                    return error
            return None
        finally:
            if previous and previous != keyboard.component:
                # Also when the caller was cancelled: a person's keyboard must come back.
                await asyncio.shield(self._put_back(previous, None if was_enabled else keyboard.component))

    async def _broadcast_until_seen(
        self, keyboard: BroadcastKeyboard, text: str, before: UiNode | None
    ) -> str | None:
        """A keyboard takes a moment to start; until then a broadcast to it changes nothing."""
        shown = ""
        for _ in range(_BROADCAST_TRIES):
            await self._broadcast(keyboard, text)
            end_s = time.monotonic() + _SEEN_DEADLINE_S
            while True:
                after = (await read_ui_tree(self._connection)).focused_field()
                if before is None or after is None or after.password or after.resource != before.resource:
                    return None  # the phone does not show what is in the field
                if after.text != before.text:
                    return None  # an app may write what was typed in another form
                shown = after.text
                if time.monotonic() > end_s:
                    break
                await asyncio.sleep(_LOOK_AGAIN_S)
        return f"the field shows {shown[:80]!r} after typing {text[:80]!r}: it does not take this text"

    async def _broadcast(self, keyboard: BroadcastKeyboard, text: str) -> None:
        encoded = base64.b64encode(text.encode()).decode()
        words = ["am", "broadcast", "-a", keyboard.action, "--es", keyboard.extra, encoded]
        line = shlex.join(words)
        answer = await self._connection.check_shell(line)
        result = _RESULT.search(answer)
        if result is None or (keyboard.heard is not None and int(result[1]) != keyboard.heard):
            raise DeviceError(
                self._connection.message(
                    line,
                    f"{keyboard.component} did not hear the text: {answer.strip()[:200]!r}",
                    "start the phone again, or install the keyboard again",
                )
            )

    async def _put_back(self, previous: str, to_disable: str | None) -> None:
        await self._connection.shell(["ime", "set", previous])
        if to_disable is not None:
            await self._connection.shell(["ime", "disable", to_disable])

    async def _is_enabled(self, component: str) -> bool:
        """Whether a person has enabled the keyboard; a phone that does not say keeps it enabled."""
        result = await self._connection.shell("ime list -s")
        return result.exit_code != 0 or component in result.text.split()

    async def _current_keyboard(self) -> str:
        text = await self._connection.check_shell("settings get secure default_input_method")
        return "" if text.strip() == "null" else text.strip()

    async def _select(self, component: str) -> None:
        """Enable and select a keyboard, and wait until the phone says that it is the one."""
        await self._connection.check_shell(["ime", "enable", component])
        line = shlex.join(["ime", "set", component])
        answer = await self._connection.check_shell(line)
        end_s = time.monotonic() + _SWITCH_DEADLINE_S
        while await self._current_keyboard() != component:
            if time.monotonic() > end_s:
                raise DeviceError(
                    self._connection.message(
                        line,
                        f"not selected after {_SWITCH_DEADLINE_S:g} s: {answer.strip()[:200]!r}",
                        "enable it by hand in Settings > Keyboards",
                    )
                )
            await asyncio.sleep(_LOOK_AGAIN_S)


def plain_parts(line: str) -> Sequence[str]:
    """A line of ASCII as arguments of `input text`, which writes "%s" as a blank.

    A "%s" of the text itself is cut in the middle, so that no argument holds one that is not a blank.
    """
    parts = re.split(r"(?<=%)(?=s)", line)
    chunks = [
        part[start : start + _CHUNK_CHARACTERS]
        for part in parts
        for start in range(0, len(part), _CHUNK_CHARACTERS)
    ]
    return [chunk.replace(" ", "%s") for chunk in chunks]


def _is_plain(text: str) -> bool:
    return all(" " <= character <= "~" or character == "\n" for character in text)


def _untypeable(text: str) -> str | None:
    """The first control character that is neither a new line nor a tab, or half a surrogate pair."""
    for character in text:
        if (ord(character) < 32 and character not in "\n\t") or 0xD800 <= ord(character) < 0xE000:
            return character
    return None
