"""Names of keys: what agents and papers write, and what the DOM calls the key."""

from __future__ import annotations

from typing import Final

_NAMED: Final = (
    *("Enter", "Tab", "Escape", "Backspace", "Delete", "Insert", "Home", "End", "PageUp", "PageDown"),
    *("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Space", "Shift", "Control", "Alt", "Meta"),
    *("CapsLock", "ContextMenu"),
    *(f"F{number}" for number in range(1, 13)),
)
_ALIASES: Final = {
    "return": "Enter",
    "esc": "Escape",
    "del": "Delete",
    "ins": "Insert",
    "up": "ArrowUp",
    "down": "ArrowDown",
    "left": "ArrowLeft",
    "right": "ArrowRight",
    "spacebar": "Space",
    "ctrl": "Control",
    "cmd": "Meta",
    "command": "Meta",
    "super": "Meta",
    "win": "Meta",
    "option": "Alt",
}
_KEYS: Final = {name.lower(): name for name in _NAMED} | _ALIASES
_MODIFIERS: Final = frozenset({"Shift", "Control", "Alt", "Meta"})


def dom_key(name: str) -> str | None:
    """The DOM's name of a key or of a chord such as `ctrl+a`; None if there is no such key.

    Letter case and the separators `_`, `-` and blank inside a name do not matter (`page_down`,
    `Page Down`); a single character is a key of its own.
    """
    if len(name) == 1:
        return "Space" if name == " " else name if name.isascii() and name.isprintable() else None
    *modifiers, last = name.split("+") if not name.endswith("+") else [*name[:-2].split("+"), "+"]
    keys = [_single(part) for part in modifiers]
    key = _single(last)
    if key is None or any(modifier not in _MODIFIERS for modifier in keys):
        return None
    return "+".join([*(modifier for modifier in keys if modifier), key])


def _single(name: str) -> str | None:
    name = name.strip()
    if len(name) == 1:
        return name if name.isascii() and name.isprintable() else None
    folded = "".join(character for character in name.lower() if character not in "_- ")
    return _KEYS.get(folded)
