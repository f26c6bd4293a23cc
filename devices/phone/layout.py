"""A view placed on a display: widgets with boxes in pixels.

The widgets are in drawing order. The same function serves drawing, hit tests, labels and the
accessibility dump, so what is drawn is what can be touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from devices.phone.display import PhoneDisplay
from devices.phone.state import Page, PhoneState, change_page, go_home, pop, write
from devices.phone.view import (
    Bubble,
    Button,
    Buttons,
    Effect,
    Field,
    Hero,
    Node,
    Row,
    Text,
    Tile,
    Tone,
    View,
)
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


KEY_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")


def layout(
    state: PhoneState,
    display: PhoneDisplay,
    view: View,
    below: View | None = None,
    below_page: Page | None = None,
) -> Layout:
    """Place a view on a display.

    Args:
        state: the phone, for the status bar, scrolling and the keyboard.
        display: the screen.
        view: what is in front.
        below: for a dialog, the page behind it.
        below_page: the page that `below` shows.
    """
    placer = _Placer(state, display)
    if view.dialog:
        if below is not None and below_page is not None:
            placer.page(below, below_page, keyboard=False)
        first_live = placer.dialog(view)
    else:
        first_live = 0
        placer.page(view, state.page, keyboard=True)
    if display.buttons:
        placer.navigation()
    return Layout(
        widgets=tuple(placer.widgets),
        first_live=first_live,
        viewport=placer.viewport,
        max_scroll_dp=placer.max_scroll_dp,
    )


class _Placer:
    """Collects widgets from top to bottom; lengths in dp until `_box` makes pixels of them."""

    def __init__(self, state: PhoneState, display: PhoneDisplay) -> None:
        self.state = state
        self.display = display
        self.m = display.measures
        self.width = display.width_dp
        self.height = display.height_px / display.density
        self.bottom = self.height - (self.m.row if display.buttons else 0)
        self.widgets: list[Widget] = []
        self.viewport = Box(left=0, top=0, right=display.width_px, bottom=display.height_px)
        self.max_scroll_dp = 0

    def _box(self, left: float, top: float, right: float, bottom: float) -> Box:
        d = self.display.density
        return Box(left=round(left * d), top=round(top * d), right=round(right * d), bottom=round(bottom * d))

    def page(self, view: View, page: Page, *, keyboard: bool) -> None:
        m, width = self.m, self.width
        self.widgets.append(Widget(kind=Kind.STATUS, box=self._box(0, 0, width, m.status)))
        top: float = m.status
        if view.title or not m.bar_back:
            back = m.bar_back and len(self.state.stack) > 1
            bar = self._box(0, top, width, top + m.bar)
            self.widgets.append(Widget(kind=Kind.BAR, box=bar, text=view.title, on=back))
            if back:
                box = self._box(0, top, m.bar, top + m.bar)
                self.widgets.append(Widget(kind=Kind.BAR_BACK, box=box, name="back", icon="back", tap=pop))
            top += m.bar
        bottom = self.bottom
        if keyboard and page.focus:
            bottom -= self._keyboard(view, page)
        if view.footer:
            bottom -= m.footer
            self._side_by_side(view.footer, bottom + m.footer_inset, scrolls=False)
        self._list(view.nodes, page, top, bottom)
        if view.plus is not None:
            size = m.button * 1.15
            left, plus_top = width - m.margin - size, bottom - m.margin - size
            box = self._box(left, plus_top, left + size, plus_top + size)
            plus = view.plus
            self.widgets.append(
                Widget(kind=Kind.PLUS, box=box, name=plus.name, icon=plus.icon or "plus", tap=plus.tap)
            )

    def _list(self, nodes: Sequence[Node], page: Page, top: float, bottom: float) -> None:
        self.viewport = self._box(0, top, self.width, bottom)
        first = len(self.widgets)
        content = self._nodes(nodes, top, page) - top
        self.max_scroll_dp = max(0, round(content - (bottom - top)))
        shift = self.display.px(min(page.scroll_dp, self.max_scroll_dp))
        for index in range(first, len(self.widgets)):
            widget = self.widgets[index]
            box = widget.box
            if shift:
                box = Box(left=box.left, top=box.top - shift, right=box.right, bottom=box.bottom - shift)
            self.widgets[index] = replace(widget, box=box, scrolls=True)

    def _nodes(self, nodes: Sequence[Node], top: float, page: Page) -> float:
        """Place nodes from `top` downward and return the lower end."""
        column = 0
        for node in nodes:
            if isinstance(node, Tile):
                self._tile(node, top, column)
                column += 1
                if column == self.m.tile_columns:
                    column, top = 0, top + self.m.tile_height
                continue
            if column:
                column, top = 0, top + self.m.tile_height
            top += self._node(node, top, page)
        return top + (self.m.tile_height if column else 0)

    def _tile(self, tile: Tile, top: float, column: int) -> None:
        width = self.width / self.m.tile_columns
        box = self._box(column * width, top, (column + 1) * width, top + self.m.tile_height)
        self.widgets.append(
            Widget(
                kind=Kind.TILE, box=box, name=tile.name, text=tile.name, icon=tile.icon, color=tile.color,
                tap=tile.tap,
            )
        )  # fmt: skip

    def _node(self, node: Node, top: float, page: Page) -> float:
        """Place one node over the whole width and return its height."""
        m, width = self.m, self.width
        match node:
            case Row():
                box = self._box(0, top, width, top + m.row)
                trailing = "switch" if node.switch is not None else "check" if node.check is not None else ""
                on = node.switch if node.switch is not None else node.check
                self.widgets.append(
                    Widget(
                        kind=Kind.ROW, box=box, name=node.name, text=node.name, detail=node.detail,
                        hold=node.hold,
                        icon=node.icon, avatar=node.avatar, trailing=trailing, on=on, tap=node.tap,
                    )
                )  # fmt: skip
                return m.row
            case Buttons():
                height = m.button + 2 * m.gap if m.bar_back else m.row
                self._side_by_side(node.items, top + (height - m.button) / 2, scrolls=True)
                return height
            case Button():
                return self._node(Buttons(items=(node,)), top, page)
            case Text():
                line = m.row * (1.5 if node.large and m.bar_back else 1.0)
                kind = Kind.LARGE_TEXT if node.large else Kind.TEXT
                box = self._box(0, top, width, top + line)
                self.widgets.append(Widget(kind=kind, box=box, name=node.text, text=node.text))
                return line
            case Hero():
                height = m.hero + 2 * m.margin
                left = (width - m.hero) / 2
                box = self._box(left, top + m.margin, left + m.hero, top + m.margin + m.hero)
                self.widgets.append(
                    Widget(kind=Kind.HERO, box=box, text=node.name, icon=node.icon, avatar=not node.icon)
                )
                return height
            case Bubble():
                span = width * min(0.9, max(0.4, 0.2 + 0.022 * len(node.text) * (1 if m.bar_back else 2.9)))
                left = width - m.margin - span if node.ours else m.margin
                box = self._box(left, top + m.gap, left + span, top + m.row - m.gap)
                self.widgets.append(
                    Widget(kind=Kind.BUBBLE, box=box, name=node.text, text=node.text, on=node.ours)
                )
                return m.row
            case Field():
                box = self._box(m.margin, top + m.gap / 2, width - m.margin, top + m.row - m.gap / 2)
                self.widgets.append(
                    Widget(
                        kind=Kind.FIELD, box=box, name=node.name, text=page.value(node.name) or node.name,
                        detail="" if page.value(node.name) else "hint",
                        on=page.focus == node.name,
                        tap=_focus(node.name),
                        field=node.name,
                    )
                )  # fmt: skip
                return m.row
            case Tile():
                raise AssertionError("tiles are placed by _tile")
            case _:
                assert_never(node)

    def _side_by_side(
        self,
        buttons: Sequence[Button],
        top: float,
        *,
        scrolls: bool,
        left: float = 0,
        right: float | None = None,
    ) -> None:
        m = self.m
        right = self.width if right is None else right
        width = (right - left - 2 * m.margin + m.gap) / len(buttons)
        for index, button in enumerate(buttons):
            x = left + m.margin + index * width
            box = self._box(x, top, x + width - m.gap, top + m.button)
            label = button.name if button.label is None else button.label
            self.widgets.append(
                Widget(
                    kind=Kind.BUTTON, box=box, name=button.name, text=label, icon=button.icon,
                    tone=button.tone, scrolls=scrolls, tap=button.tap,
                )
            )  # fmt: skip

    def dialog(self, view: View) -> int:
        """Place a dialog over what is there and return the index of its first widget."""
        m = self.m
        first = len(self.widgets)
        self.widgets.append(Widget(kind=Kind.SCRIM, box=self._box(0, 0, self.width, self.height), tap=None))
        margin = m.margin if not m.bar_back else m.margin * 2
        height = m.row * (1 + len(view.nodes)) + m.row
        top = m.row * 2 if not m.bar_back else round((self.height - height) / 2)
        left, right = margin, self.width - margin
        panel = self._box(left, top, right, top + height + m.gap)
        self.widgets.append(Widget(kind=Kind.PANEL, box=panel))
        self.widgets.append(
            Widget(
                kind=Kind.LARGE_TEXT, box=self._box(left, top, right, top + m.row), name=view.title,
                text=view.title,
            )
        )  # fmt: skip
        y: float = top + m.row
        for node in view.nodes:
            assert isinstance(node, Text), "a dialog holds text and its footer"
            box = self._box(left, y, right, y + m.row)
            self.widgets.append(Widget(kind=Kind.TEXT, box=box, name=node.text, text=node.text))
            y += m.row
        inset = 0 if not m.bar_back else m.margin / 2
        self._side_by_side(
            view.footer, y + (m.row - m.button) / 2, scrolls=False, left=left + inset, right=right - inset
        )
        return first

    def _keyboard(self, view: View, page: Page) -> float:
        """Place the keyboard and return its height."""
        if not any(isinstance(node, Field) and node.name == page.focus for node in view.nodes):
            return 0
        name, value = page.focus, page.value(page.focus)
        m = self.m
        height = (len(KEY_ROWS) + 1) * m.key + 2 * m.gap
        top = self.bottom - height
        self.widgets.append(Widget(kind=Kind.KEYBOARD, box=self._box(0, top, self.width, self.bottom)))
        unit = self.width / 10
        for index, letters in enumerate(KEY_ROWS):
            left = (self.width - unit * len(letters)) / 2
            y = top + m.gap + index * m.key
            for offset, letter in enumerate(letters):
                self._key(letter, left + offset * unit, y, unit, _written(name, value + letter))
        y = top + m.gap + len(KEY_ROWS) * m.key
        erase = _written(name, value[:-1])
        self._key("delete key", 0, y, unit * 2.5, erase, icon="erase")
        self._key("space", unit * 2.5, y, unit * 5, _written(name, value + " "))
        self._key("hide", unit * 7.5, y, unit * 2.5, hide_keyboard, icon="check")
        return height

    def _key(self, name: str, left: float, top: float, width: float, tap: Effect, icon: str = "") -> None:
        box = self._box(left, top, left + width, top + self.m.key)
        text = "" if icon else name
        self.widgets.append(Widget(kind=Kind.KEY, box=box, name=name, text=text, icon=icon, tap=tap))

    def navigation(self) -> None:
        """Place the back and home buttons."""
        top = self.bottom
        self.widgets.append(Widget(kind=Kind.NAVIGATION, box=self._box(0, top, self.width, self.height)))
        half = self.width / 2
        for name, left, tap in (("back", 0.0, back), ("home", half, go_home)):
            box = self._box(left, top, left + half, self.height)
            self.widgets.append(Widget(kind=Kind.NAV_BUTTON, box=box, name=name, icon=name, tap=tap))


def back(state: PhoneState) -> PhoneState:
    """The phone after "back": the keyboard goes first, then the page in front."""
    return hide_keyboard(state) if state.page.focus else pop(state)


def hide_keyboard(state: PhoneState) -> PhoneState:
    """The phone without its keyboard."""
    return change_page(state, focus="")


def _focus(name: str) -> Effect:
    return lambda state: change_page(state, focus=name)


def _written(field_name: str, value: str) -> Effect:
    return lambda state: write(state, field_name, value)
