"""A screen as widgets with boxes in pixels.

The widgets are in drawing order. The same widgets serve drawing, hit tests, labels and the
accessibility dump, so what is drawn is what can be touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from devices.phone.view import Effect, Tone
from gui_agent.observation import Box, UiElement


class Kind(StrEnum):
    """What a widget looks like."""

    STATUS = "status"
    BAR = "bar"
    BAR_BACK = "bar_back"
    TILE = "tile"
    ROW = "row"
    BUTTON = "button"
    PLUS = "plus"
    TEXT = "text"
    LARGE_TEXT = "large_text"
    HERO = "hero"
    BUBBLE = "bubble"
    FIELD = "field"
    SCRIM = "scrim"
    PANEL = "panel"
    KEYBOARD = "keyboard"
    KEY = "key"
    NAVIGATION = "navigation"
    NAV_BUTTON = "nav_button"


_ROLES = {
    Kind.TILE: "icon",
    Kind.ROW: "list_item",
    Kind.BUTTON: "button",
    Kind.PLUS: "button",
    Kind.BAR_BACK: "button",
    Kind.NAV_BUTTON: "button",
    Kind.FIELD: "text_field",
    Kind.KEY: "key",
    Kind.HERO: "image",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """Something drawn at a place.

    Attributes:
        kind: what it looks like.
        box: where, in pixels; may reach beyond the viewport of the list it belongs to.
        name: what a person would call it; "" for decoration.
        text: what is written on it.
        detail: a second, smaller text.
        icon: a picture on it.
        color: of a tile.
        tone: how much it asks for attention.
        on: state of its switch or check box; whether a bubble is ours; whether a field has focus.
        trailing: "switch", "check" or "".
        avatar: draw the first letter of the name in a disc.
        scrolls: belongs to the list, so it is cut at the viewport.
        tap: what a tap does.
        hold: what a long press does.
        field: of the text field that it is, its name.
    """

    kind: Kind
    box: Box
    name: str = ""
    text: str = ""
    detail: str = ""
    icon: str = ""
    color: str = ""
    tone: Tone = Tone.PLAIN
    on: bool | None = None
    trailing: str = ""
    avatar: bool = False
    scrolls: bool = False
    tap: Effect | None = None
    hold: Effect | None = None
    field: str = ""

    @property
    def role(self) -> str:
        """Its kind, as a label."""
        if self.trailing:
            return self.trailing
        return _ROLES.get(self.kind, "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A whole screen.

    Attributes:
        widgets: in drawing order.
        first_live: index of the first widget of the layer that can be touched; those before it lie
            under a dialog.
        viewport: where the list is seen.
        max_scroll_dp: how far the list can be scrolled.
    """

    widgets: tuple[Widget, ...]
    first_live: int
    viewport: Box
    max_scroll_dp: int

    @property
    def live(self) -> Sequence[Widget]:
        """The widgets of the layer in front."""
        return self.widgets[self.first_live :]

    def visible_box(self, widget: Widget) -> Box | None:
        """The part of a widget that can be seen; None if less than half of its height can."""
        if not widget.scrolls:
            return widget.box
        box, view = widget.box, self.viewport
        top, bottom = max(box.top, view.top), min(box.bottom, view.bottom)
        if 2 * (bottom - top) < box.bottom - box.top:
            return None
        return Box(left=box.left, top=top, right=box.right, bottom=bottom)

    def at(self, x: int, y: int) -> Widget | None:
        """The widget that a tap at the point reaches."""
        for widget in reversed(self.live):
            if widget.box.contains(x, y) and not (widget.scrolls and not self.viewport.contains(x, y)):
                if widget.tap is not None:
                    return widget
                if widget.kind in (Kind.PANEL, Kind.KEYBOARD):
                    return None
        return None

    def find(self, name: str) -> Widget | None:
        """A touchable widget by name, seen or not; keys of the keyboard do not count."""
        for widget in self.live:
            if widget.name == name and widget.kind is not Kind.KEY and widget.tap:
                return widget
        return None

    def elements(self) -> tuple[UiElement, ...]:
        """Labels of everything with a name that can be seen and is not covered."""
        found: list[UiElement] = []
        for widget in self.live:
            if widget.name and (box := self.visible_box(widget)):
                clickable = widget.tap is not None
                found.append(UiElement(name=widget.name, role=widget.role, box=box, clickable=clickable))
        return tuple(found)
