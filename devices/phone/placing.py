"""From a view to a layout: where each node of it goes on a display."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

from devices.phone.display import PhoneDisplay
from devices.phone.layout import Kind, Layout, Widget
from devices.phone.state import Page, PhoneState, change_page, go_home, pop, write
from devices.phone.view import Bubble, Button, Buttons, Effect, Field, Hero, Node, Row, Text, Tile, View
from gui_agent.observation import Box

KEY_ROWS: Final = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")


def place(state: PhoneState, display: PhoneDisplay, view: View) -> Layout:
    """Place a page that covers the whole display."""
    placer = _Placer(state, display)
    placer.page(view, state.page, with_keyboard=True)
    return placer.layout(first_live=0)


def place_dialog(
    state: PhoneState, display: PhoneDisplay, dialog: View, below: View, below_page: Page
) -> Layout:
    """Place a dialog over the page below it, which can be seen but not touched."""
    placer = _Placer(state, display)
    placer.page(below, below_page, with_keyboard=False)
    first_live = len(placer.widgets)
    placer.dialog(dialog)
    return placer.layout(first_live=first_live)


def back(state: PhoneState) -> PhoneState:
    """The phone after "back": the keyboard goes first, then the page in front."""
    return hide_keyboard(state) if state.page.focus else pop(state)


def hide_keyboard(state: PhoneState) -> PhoneState:
    """The phone without its keyboard."""
    return change_page(state, focus="") if state.page.focus else state


def _focus(name: str) -> Effect:
    return lambda state: change_page(state, focus=name)


def _written(field_name: str, value: str) -> Effect:
    return lambda state: write(state, field_name, value)


class _Placer:
    """Collects widgets from top to bottom. Lengths are in dp until `_add` makes pixels of them."""

    def __init__(self, state: PhoneState, display: PhoneDisplay) -> None:
        self.state = state
        self.display = display
        self.m = display.measures
        self.width = display.width_dp
        self.height = display.height_px / display.density
        self.bottom = self.height - (self.m.row if display.buttons else 0)
        self.tile_columns = (state.look.columns if self.m.bar_back else 0) or self.m.tile_columns
        self.widgets: list[Widget] = []
        self.viewport = Box(left=0, top=0, right=display.width_px, bottom=display.height_px)
        self.max_scroll_dp = 0
        self.scrolls = False
        self.shift_dp = 0

    def layout(self, *, first_live: int) -> Layout:
        """What was placed, with the buttons of the system if the display has them."""
        if self.display.buttons:
            self._navigation()
        return Layout(
            widgets=tuple(self.widgets),
            first_live=first_live,
            viewport=self.viewport,
            max_scroll_dp=self.max_scroll_dp,
        )

    def _box(self, left: float, top: float, right: float, bottom: float) -> Box:
        d = self.display.density
        return Box(left=round(left * d), top=round(top * d), right=round(right * d), bottom=round(bottom * d))

    def _add(self, kind: Kind, left: float, top: float, width: float, height: float, **fields: Any) -> None:
        top -= self.shift_dp
        box = self._box(left, top, left + width, top + height)
        self.widgets.append(Widget(kind=kind, box=box, scrolls=self.scrolls, **fields))

    def page(self, view: View, page: Page, *, with_keyboard: bool) -> None:
        """Place the status bar, the title, the list, and what stays at the lower end."""
        m, width = self.m, self.width
        self._add(Kind.STATUS, 0, 0, width, m.status)
        top: float = m.status
        if view.title or not m.bar_back:
            self._bar(view.title, top)
            top += m.bar
        bottom = self.bottom
        if with_keyboard and page.focus:
            bottom -= self._keyboard(view, page)
        if view.footer:
            bottom -= m.footer
            self._side_by_side(view.footer, page, 0, bottom + m.footer_inset, width)
        self._list(view, page, top, bottom)
        if view.plus is not None:
            size = m.button * 1.15
            left = width - m.margin - size
            icon = view.plus.icon or "plus"
            fields = {"name": view.plus.name, "icon": icon, "tap": view.plus.tap}
            self._add(Kind.PLUS, left, bottom - m.margin - size, size, size, **fields)

    def _bar(self, title: str, top: float) -> None:
        m = self.m
        back_arrow = m.bar_back and len(self.state.stack) > 1
        self._add(Kind.BAR, 0, top, self.width, m.bar, text=title, on=back_arrow)
        if back_arrow:
            self._add(Kind.BAR_BACK, 0, top, m.bar, m.bar, name="back", icon="back", tap=pop)

    def _list(self, view: View, page: Page, top: float, bottom: float) -> None:
        """Place the scrolling part, scrolled as far as the page says but not beyond its end."""
        self.viewport = self._box(0, top, self.width, bottom)
        first = len(self.widgets)
        self.scrolls, self.shift_dp = True, page.scroll_dp
        end = self._nodes(view.nodes, top, page)
        if view.plus is not None:
            end += self.m.row  # so that the last row can be moved out from under the round button
        self.max_scroll_dp = max(0, round(end - bottom))
        if page.scroll_dp > self.max_scroll_dp:
            del self.widgets[first:]
            self.shift_dp = self.max_scroll_dp
            self._nodes(view.nodes, top, page)
        self.scrolls, self.shift_dp = False, 0

    def _nodes(self, nodes: Sequence[Node], top: float, page: Page) -> float:
        """Place nodes from `top` downward and return the lower end."""
        column = 0
        for node in nodes:
            if isinstance(node, Tile):
                self._tile(node, top, column)
                column += 1
                if column == self.tile_columns:
                    column, top = 0, top + self.m.tile_height
            else:
                top += self._node(node, top, page)
        return top + (self.m.tile_height if column else 0)

    def _tile(self, tile: Tile, top: float, column: int) -> None:
        width = self.width / self.tile_columns
        fields = {"name": tile.name, "text": tile.name, "icon": tile.icon, "color": tile.color}
        self._add(Kind.TILE, column * width, top, width, self.m.tile_height, tap=tile.tap, **fields)

    def _node(self, node: Node, top: float, page: Page) -> float:
        """Place one node over the whole width and return its height."""
        m, width = self.m, self.width
        match node:
            case Row():
                self._row(node, top)
                return m.row
            case Button():
                return self._node(Buttons(items=(node,)), top, page)
            case Buttons():
                height = m.button + 2 * m.gap if m.bar_back else m.row
                self._side_by_side(node.items, page, 0, top + (height - m.button) / 2, width)
                return height
            case Text():
                kind = Kind.LARGE_TEXT if node.large else Kind.TEXT
                line = m.row * (1.5 if node.large and m.bar_back else 1.0)
                self._add(kind, 0, top, width, line, name=node.text, text=node.text)
                return line
            case Hero():
                left = (width - m.hero) / 2
                fields = {"text": node.name, "icon": node.icon, "avatar": not node.icon}
                self._add(Kind.HERO, left, top + m.margin, m.hero, m.hero, **fields)
                return m.hero + 2 * m.margin
            case Bubble():
                self._bubble(node, top)
                return m.row
            case Field():
                self._field(node, page, m.margin, top + m.gap / 2, width - 2 * m.margin, m.row - m.gap)
                return m.row
            case Tile():
                raise AssertionError("tiles are placed by _tile")
            case _:
                assert_never(node)

    def _row(self, row: Row, top: float) -> None:
        trailing = "switch" if row.switch is not None else "check" if row.check is not None else ""
        self._add(
            Kind.ROW, 0, top, self.width, self.m.row, name=row.name, text=row.name, detail=row.detail,
            icon=row.icon, avatar=row.avatar, trailing=trailing, tap=row.tap, hold=row.hold,
            on=row.check if row.switch is None else row.switch,
        )  # fmt: skip

    def _bubble(self, bubble: Bubble, top: float) -> None:
        m = self.m
        letters = len(bubble.text) * m.text * 0.6 + 2 * m.margin + m.corner
        width = min(self.width - 2 * m.margin, max(letters, self.width * 0.3))
        left = self.width - m.margin - width if bubble.ours else m.margin
        fields = {"name": bubble.text, "text": bubble.text, "on": bubble.ours}
        self._add(Kind.BUBBLE, left, top + m.gap, width, m.row - 2 * m.gap, **fields)

    def _field(self, field: Field, page: Page, left: float, top: float, width: float, height: float) -> None:
        name, value = field.name, page.value(field.name)
        self._add(
            Kind.FIELD, left, top, width, height, name=name, text=value or name, field=name,
            detail="" if value else "hint", on=page.focus == name, tap=_focus(name),
        )  # fmt: skip

    def _side_by_side(
        self, items: Sequence[Button | Field], page: Page, left: float, top: float, width: float
    ) -> None:
        """Place buttons and text fields in one line; a field is twice as wide as a button."""
        m = self.m
        shares = [2 if isinstance(item, Field) else 1 for item in items]
        unit = (width - 2 * m.margin + m.gap) / sum(shares)
        x = left + m.margin
        for item, share in zip(items, shares, strict=True):
            if isinstance(item, Field):
                self._field(item, page, x, top, unit * share - m.gap, m.button)
            else:
                label = item.name if item.label is None else item.label
                self._add(
                    Kind.BUTTON, x, top, unit - m.gap, m.button, name=item.name, text=label,
                    icon=item.icon, tone=item.tone, tap=item.tap,
                )  # fmt: skip
            x += unit * share

    def dialog(self, view: View) -> None:
        """Place a panel with a title, lines of text and buttons over what is there."""
        m = self.m
        self._add(Kind.SCRIM, 0, 0, self.width, self.height)
        margin = m.margin * 2 if m.bar_back else m.margin
        height = m.row * (2 + len(view.nodes))
        top = (self.height - height) // 2 if m.bar_back else float(m.row * 2)
        width = self.width - 2 * margin
        self._add(Kind.PANEL, margin, top, width, height + m.gap)
        self._add(Kind.LARGE_TEXT, margin, top, width, m.row, name=view.title, text=view.title)
        for node in view.nodes:
            assert isinstance(node, Text), "a dialog holds text and its footer"
            top += m.row
            self._add(Kind.TEXT, margin, top, width, m.row, name=node.text, text=node.text)
        top += m.row + (m.row - m.button) / 2
        self._side_by_side(view.footer, self.state.page, margin, top, width)

    def _keyboard(self, view: View, page: Page) -> float:
        """Place the keyboard for the focused field and return its height."""
        items = (*view.nodes, *view.footer)
        if not any(isinstance(item, Field) and item.name == page.focus for item in items):
            return 0
        m, name, value = self.m, page.focus, page.value(page.focus)
        height = (len(KEY_ROWS) + 1) * m.key + 2 * m.gap
        top = self.bottom - height
        self._add(Kind.KEYBOARD, 0, top, self.width, height)
        top += m.gap
        unit = self.width / 10
        for letters in KEY_ROWS:
            left = (self.width - unit * len(letters)) / 2
            for offset, letter in enumerate(letters):
                tap = _written(name, value + letter)
                self._add(Kind.KEY, left + offset * unit, top, unit, m.key, name=letter, text=letter, tap=tap)
            top += m.key
        erase, space = _written(name, value[:-1]), _written(name, value + " ")
        self._add(Kind.KEY, 0, top, unit * 2.5, m.key, name="delete key", icon="erase", tap=erase)
        self._add(Kind.KEY, unit * 2.5, top, unit * 5, m.key, name="space", text="space", tap=space)
        self._add(Kind.KEY, unit * 7.5, top, unit * 2.5, m.key, name="hide", icon="check", tap=hide_keyboard)
        return height

    def _navigation(self) -> None:
        """Place the back and home buttons of the system."""
        top, height, half = self.bottom, self.height - self.bottom, self.width / 2
        self._add(Kind.NAVIGATION, 0, top, self.width, height)
        self._add(Kind.NAV_BUTTON, 0, top, half, height, name="back", icon="back", tap=back)
        self._add(Kind.NAV_BUTTON, half, top, half, height, name="home", icon="home", tap=go_home)
