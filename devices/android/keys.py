"""Names of keys: what agents and papers write, and what Android calls the key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_NAMED: Final = (
    *("ENTER", "TAB", "ESCAPE", "DEL", "FORWARD_DEL", "INSERT", "MOVE_HOME", "MOVE_END", "PAGE_UP"),
    *("PAGE_DOWN", "DPAD_UP", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_CENTER", "SPACE", "CAPS_LOCK"),
    *("SHIFT_LEFT", "CTRL_LEFT", "ALT_LEFT", "META_LEFT", "HOME", "BACK", "MENU", "APP_SWITCH", "SEARCH"),
    *("POWER", "WAKEUP", "SLEEP", "VOLUME_UP", "VOLUME_DOWN", "VOLUME_MUTE", "MUTE", "CAMERA", "CALL"),
    *("ENDCALL", "NOTIFICATION", "SETTINGS", "COPY", "CUT", "PASTE", "CLEAR", "EXPLORER"),
    *("BRIGHTNESS_UP", "BRIGHTNESS_DOWN", "LANGUAGE_SWITCH", "ALL_APPS"),
    *("MEDIA_PLAY_PAUSE", "MEDIA_PLAY", "MEDIA_PAUSE", "MEDIA_STOP", "MEDIA_NEXT", "MEDIA_PREVIOUS"),
    *(f"F{number}" for number in range(1, 13)),
)
_ALIASES: Final = {
    "return": "ENTER",
    "esc": "ESCAPE",
    "backspace": "DEL",
    "delete": "FORWARD_DEL",
    "ins": "INSERT",
    "end": "MOVE_END",
    "up": "DPAD_UP",
    "down": "DPAD_DOWN",
    "left": "DPAD_LEFT",
    "right": "DPAD_RIGHT",
    "arrowup": "DPAD_UP",
    "arrowdown": "DPAD_DOWN",
    "arrowleft": "DPAD_LEFT",
    "arrowright": "DPAD_RIGHT",
    "spacebar": "SPACE",
    "shift": "SHIFT_LEFT",
    "ctrl": "CTRL_LEFT",
    "control": "CTRL_LEFT",
    "alt": "ALT_LEFT",
    "meta": "META_LEFT",
    "recents": "APP_SWITCH",
    "recent": "APP_SWITCH",
    "overview": "APP_SWITCH",
    "mute": "VOLUME_MUTE",
    "playpause": "MEDIA_PLAY_PAUSE",
}
_CHARACTERS: Final = {
    **{chr(code): chr(code).upper() for code in range(ord("a"), ord("z") + 1)},
    **{str(digit): str(digit) for digit in range(10)},
    " ": "SPACE",
    ",": "COMMA",
    ".": "PERIOD",
    "/": "SLASH",
    ";": "SEMICOLON",
    "'": "APOSTROPHE",
    "[": "LEFT_BRACKET",
    "]": "RIGHT_BRACKET",
    "\\": "BACKSLASH",
    "-": "MINUS",
    "=": "EQUALS",
    "`": "GRAVE",
    "@": "AT",
    "#": "POUND",
    "*": "STAR",
    "+": "PLUS",
}
_KEYS: Final = {name.lower().replace("_", ""): name for name in _NAMED} | _ALIASES
_MODIFIERS: Final = frozenset({"SHIFT_LEFT", "CTRL_LEFT", "ALT_LEFT", "META_LEFT"})
_CODE: Final = re.compile(r"KEYCODE_[A-Z0-9_]+")


def key_command(name: str) -> Sequence[str] | None:
    """The arguments of `input` that press a key or a chord such as "ctrl+a"; None if there is no such key.

    Letter case and the separators `_`, `-` and blank inside a name do not matter (`volume_up`,
    `Volume Up`, `KEYCODE_VOLUME_UP`); a single character is a key of its own. Chords need Android 13.
    """
    if len(name) > 1 and "+" in name[:-1]:
        *modifiers, last = name.split("+") if not name.endswith("+") else [*name[:-2].split("+"), "+"]
        keys = [_single(part) for part in (*modifiers, last)]
        if any(key is None for key in keys) or not _MODIFIERS.issuperset(keys[:-1]):
            return None
        return ["keycombination", *(f"KEYCODE_{key}" for key in keys)]
    key = _single(name)
    return None if key is None else ["keyevent", f"KEYCODE_{key}"]


def _single(name: str) -> str | None:
    if len(name) == 1:
        return _CHARACTERS.get(name.lower())
    if _CODE.fullmatch(name):
        return name.removeprefix("KEYCODE_")
    folded = "".join(character for character in name.strip().lower() if character not in "_- ")
    return _KEYS.get(folded)
