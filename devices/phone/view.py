"""What an app wants to show, before anybody knows how large the screen is.

An app returns a `View` of nodes; a node says what it is called, how it looks and what a tap on it
does to the phone. Places and pixels come later (`layout`, `drawing`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from devices.phone.state import PhoneState

Effect = Callable[[PhoneState], PhoneState]


class Tone(StrEnum):
    """How much a node asks for attention."""

    PLAIN = "plain"
    PRIMARY = "primary"
    DANGER = "danger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """An app on the launcher: an icon on a coloured square, its name below."""

    name: str
    icon: str
    color: str
    tap: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a list.

    Attributes:
        name: what is written on it.
        tap: what a tap does; None for a line that only informs.
        hold: what a long press does, if that is something else.
        detail: a second, smaller text.
        icon: a picture in front of the text.
        avatar: draw the first letter of the name in a coloured disc in front.
        switch: state of the switch at its end, or None for no switch.
        check: whether a check box at its end is ticked, or None for no check box.
    """

    name: str
    tap: Effect | None = None
    hold: Effect | None = None
    detail: str = ""
    icon: str = ""
    avatar: bool = False
    switch: bool | None = None
    check: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A button with a word, an icon, or both."""

    name: str
    tap: Effect
    icon: str = ""
    tone: Tone = Tone.PLAIN
    label: str | None = None
    """What is written on it if that is not its name; "" for an icon alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buttons:
    """Buttons side by side, of equal width."""

    items: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words to read."""

    text: str
    large: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hero:
    """A large picture: an avatar, an album, a clock face."""

    name: str
    icon: str = ""
    """"" draws the first letter of the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """A message of a conversation; ours stand at the right."""

    text: str
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A line to write on, part of the page's form. It has the keyboard when the page's focus is its name."""

    name: str


Node = Tile | Row | Button | Buttons | Text | Hero | Bubble | Field


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One screen of an app.

    Attributes:
        title: in the bar at the top; "" for a screen without bar.
        nodes: the scrolling part, from top to bottom.
        footer: buttons and text fields, side by side, that stay at the lower end.
        dialog: drawn as a panel over the page below instead of as a page.
        plus: what the round button in the lower right corner does, if there is one.
    """

    title: str = ""
    nodes: tuple[Node, ...] = ()
    footer: tuple[Button | Field, ...] = ()
    dialog: bool = False
    plus: Button | None = None
