"""Android's key codes, as far as automation sends them."""

from __future__ import annotations

from typing import Final

_NAMED: Final = {
    "HOME": 3, "BACK": 4, "CALL": 5, "ENDCALL": 6, "STAR": 17, "POUND": 18, "DPAD_UP": 19, "DPAD_DOWN": 20,
    "DPAD_LEFT": 21, "DPAD_RIGHT": 22, "DPAD_CENTER": 23, "VOLUME_UP": 24, "VOLUME_DOWN": 25, "POWER": 26,
    "CAMERA": 27, "COMMA": 55, "PERIOD": 56, "SHIFT_LEFT": 59, "TAB": 61, "SPACE": 62, "ENTER": 66,
    "DEL": 67, "GRAVE": 68, "MINUS": 69, "EQUALS": 70, "SLASH": 76, "AT": 77, "PLUS": 81, "MENU": 82,
    "NOTIFICATION": 83, "SEARCH": 84, "MEDIA_PLAY_PAUSE": 85, "PAGE_UP": 92, "PAGE_DOWN": 93, "ESCAPE": 111,
    "FORWARD_DEL": 112, "CTRL_LEFT": 113, "CTRL_RIGHT": 114, "MOVE_HOME": 122, "MOVE_END": 123,
    "VOLUME_MUTE": 164, "APP_SWITCH": 187, "ASSIST": 219, "BRIGHTNESS_DOWN": 220, "BRIGHTNESS_UP": 221,
    "SLEEP": 223, "WAKEUP": 224, "CUT": 277, "COPY": 278, "PASTE": 279,
}  # fmt: skip
KEY_CODES: Final[dict[str, int]] = (
    _NAMED
    | {str(digit): 7 + digit for digit in range(10)}
    | {chr(ord("A") + letter): 29 + letter for letter in range(26)}
)
"""Numbers of keys by name, without "KEYCODE_"."""

CHARACTERS: Final[dict[int, str]] = (
    {7 + digit: str(digit) for digit in range(10)}
    | {29 + letter: chr(ord("a") + letter) for letter in range(26)}
    | {62: " ", 55: ",", 56: ".", 69: "-", 70: "=", 76: "/", 77: "@", 81: "+", 17: "*", 18: "#"}
)
"""What keys write, by number."""

HOME: Final = 3
BACK: Final = 4
POWER: Final = 26
ENTER: Final = 66
DEL: Final = 67
FORWARD_DEL: Final = 112
CTRL: Final = frozenset({113, 114})
LETTER_A: Final = 29
SLEEP: Final = 223
WAKEUP: Final = 224
COPY: Final = 278
PASTE: Final = 279
MAX_KEY_CODE: Final = 316


def key_code(word: str) -> int | None:
    """The number of a key given by number, as "HOME" or as "KEYCODE_HOME"; None if there is none.

    A bare digit is a number, as it is for Android: "4" is BACK, "KEYCODE_4" the digit.
    """
    if word.isdecimal():
        return int(word) if int(word) <= MAX_KEY_CODE else None
    return KEY_CODES.get(word.removeprefix("KEYCODE_"))
