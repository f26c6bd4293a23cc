"""Widgets to pixels.

Everything is a flat colour pasted through a mask: rounded rectangles, icons and words. The masks are
kept, so a screen costs a few dozen pastes. Same widgets, same pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, assert_never

from PIL import Image, ImageDraw, ImageFont

from devices.phone.apps.settings import is_on
from devices.phone.display import PhoneDisplay, Theme
from devices.phone.icons import icon_mask, rounded_mask
from devices.phone.layout import Kind, Layout, Widget
from devices.phone.palette import AVATAR_COLORS, DANGER, TILE_COLORS, WHITE, Color, Palette, palette
from devices.phone.state import LAUNCHER, PhoneState
from devices.phone.view import Tone
from gui_agent.observation import Box

_SCRIM: Final[Color] = (0, 0, 0)
_SCRIM_OPACITY: Final = 110


@lru_cache(maxsize=32)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


@lru_cache(maxsize=4096)
def text_mask(text: str, size_px: int) -> Image.Image:
    """The words as a mask, as wide as they advance and as high as the font's line."""
    font = _font(size_px)
    ascent, descent = font.getmetrics()
    mask = Image.new("L", (max(1, round(font.getlength(text))) + 1, ascent + descent), 0)
    ImageDraw.Draw(mask).text((0, 0), text, font=font, fill=255)
    return mask


@lru_cache(maxsize=4096)
def fitted_text(text: str, size_px: int, width_px: int) -> str:
    """The text, shortened with an ellipsis until it fits."""
    font = _font(size_px)
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "…") > width_px:
        text = text[:-1]
    return text.rstrip() + "…"


@lru_cache(maxsize=256)
def _x_height_middle(size_px: int) -> int:
    """From the top of a line of text to the middle of its small letters with ascenders."""
    _, top, _, bottom = _font(size_px).getbbox("bx")
    return round((top + bottom) / 2)


def draw(screen: Layout, state: PhoneState, display: PhoneDisplay) -> Image.Image:
    """The screen as an RGB picture of the display's size."""
    return _Painter(screen, state, display).paint()


class _Painter:
    def __init__(self, screen: Layout, state: PhoneState, display: PhoneDisplay) -> None:
        match display.theme:
            case Theme.SYSTEM:
                dark = is_on(state, "dark")
            case Theme.DARK:
                dark = True
            case Theme.LIGHT:
                dark = False
            case _:
                assert_never(display.theme)
        self.screen = screen
        self.state = state
        self.display = display
        self.m = display.measures
        self.colors: Palette = palette(state.look, dark=dark)
        under = [page for page in state.stack if page.app == LAUNCHER or page.name != "popup"]
        self.at_home = under[-1].app == LAUNCHER
        ground = self.colors.wallpaper if self.at_home else self.colors.background
        self.image = Image.new("RGB", (display.width_px, display.height_px), ground)
        self.clip: Box | None = None

    def paint(self) -> Image.Image:
        frame = [w for w in self.screen.widgets if not w.scrolls]
        listed = [w for w in self.screen.widgets if w.scrolls]
        self.clip = self.screen.viewport
        for widget in listed:
            if widget.box.bottom > self.clip.top and widget.box.top < self.clip.bottom:
                self.widget(widget)
        self.clip = None
        for widget in frame:
            self.widget(widget)
        self.gesture_bar()
        return self.image

    # Primitives

    def px(self, length_dp: float) -> int:
        return round(length_dp * self.display.density)

    def paste(self, color: Color, left: int, top: int, mask: Image.Image) -> None:
        clip = self.clip
        if clip is not None and (top < clip.top or top + mask.height > clip.bottom):
            upper, lower = max(0, clip.top - top), min(mask.height, clip.bottom - top)
            if lower <= upper:
                return
            mask = mask.crop((0, upper, mask.width, lower))
            top += upper
        self.image.paste(color, (left, top), mask)

    def fill(self, box: Box, color: Color, radius: int = 0) -> None:
        if radius:
            mask = rounded_mask(box.right - box.left, box.bottom - box.top, radius)
            self.paste(color, box.left, box.top, mask)
            return
        top, bottom = box.top, box.bottom
        if self.clip is not None:
            top, bottom = max(top, self.clip.top), min(bottom, self.clip.bottom)
        if bottom > top:
            self.image.paste(color, (box.left, top, box.right, bottom))

    def icon(self, name: str, x: int, y: int, size: int, color: Color) -> None:
        """An icon centred on a point."""
        self.paste(color, x - size // 2, y - size // 2, icon_mask(name, size))

    def text(
        self, text: str, x: int, y: int, size_dp: float, color: Color, *, width: int, align: str = "left"
    ) -> None:
        """One line of text; y is the middle of its letters."""
        size = self.px(size_dp)
        mask = text_mask(fitted_text(text, size, width), size)
        left = x if align == "left" else x - mask.width // 2 if align == "middle" else x - mask.width
        self.paste(color, left, y - _x_height_middle(size), mask)

    def disc_letter(self, text: str, x: int, y: int, size: int) -> None:
        color = AVATAR_COLORS[sum(map(ord, text)) % len(AVATAR_COLORS)]
        box = Box(
            left=x - size // 2, top=y - size // 2, right=x - size // 2 + size, bottom=y - size // 2 + size
        )
        self.fill(box, color, size)
        self.text(text[:1], x, y, size * 0.58 / self.display.density, WHITE, width=size, align="middle")

    # Widgets

    def widget(self, widget: Widget) -> None:
        match widget.kind:
            case Kind.STATUS:
                self.status(widget.box)
            case Kind.BAR:
                self.bar(widget)
            case Kind.BAR_BACK:
                self.icon("back", *widget.box.center, self.px(24), self.colors.text)
            case Kind.TILE:
                self.tile(widget)
            case Kind.ROW:
                self.row(widget)
            case Kind.BUTTON:
                self.button(widget)
            case Kind.PLUS:
                self.fill(widget.box, self.colors.accent, self.px(self.m.corner * 1.2))
                self.icon(widget.icon, *widget.box.center, self.px(self.m.icon * 0.7), WHITE)
            case Kind.TEXT | Kind.LARGE_TEXT:
                self.words(widget)
            case Kind.HERO:
                self.hero(widget)
            case Kind.BUBBLE:
                self.bubble(widget)
            case Kind.FIELD:
                self.field(widget)
            case Kind.SCRIM:
                self.image.paste(_SCRIM, (0, 0), self.scrim_mask())
            case Kind.PANEL:
                self.fill(widget.box, self.colors.panel, self.px(self.m.corner * 1.4))
            case Kind.KEYBOARD | Kind.NAVIGATION:
                self.fill(widget.box, self.colors.surface)
            case Kind.KEY:
                self.key(widget)
            case Kind.NAV_BUTTON:
                self.icon(widget.icon, *widget.box.center, self.px(self.m.text * 1.1), self.colors.text)
            case _:
                assert_never(widget.kind)

    def scrim_mask(self) -> Image.Image:
        return _flat_mask(self.image.width, self.image.height, _SCRIM_OPACITY)

    def status(self, box: Box) -> None:
        """Clock at the left, battery at the right: the two ends of the screen look different."""
        m, middle = self.m, (box.top + box.bottom) // 2
        margin = self.px(m.margin + (0 if not m.bar_back else 4))
        if not self.at_home and not m.bar_back:
            self.fill(box, self.colors.surface)
        self.text(self.state.clock_text, margin, middle, m.small, self.colors.text, width=box.right // 2)
        height = self.px(m.small * 0.75)
        width = height * 2
        right = box.right - margin
        body = Box(
            left=right - width, top=middle - height // 2, right=right, bottom=middle - height // 2 + height
        )
        self.fill(body, self.colors.text, max(2, height // 4))
        edge = max(1, height // 8)
        percent = self.state.look.battery_percent
        inner = Box(
            left=body.left + edge + (width - 2 * edge) * percent // 100, top=body.top + edge,
            right=body.right - edge, bottom=body.bottom - edge,
        )  # fmt: skip
        if inner.right > inner.left:
            self.fill(inner, self.colors.background)
        if is_on(self.state, "wifi"):
            self.icon("wifi", body.left - height, middle, self.px(m.small), self.colors.text)

    def bar(self, widget: Widget) -> None:
        box, m = widget.box, self.m
        middle = (box.top + box.bottom) // 2
        if m.bar_back:
            left = self.px(m.bar) if widget.on else self.px(m.margin)
            self.text(widget.text, left, middle, m.title, self.colors.text, width=box.right - left)
            return
        if self.at_home:
            return
        self.fill(box, self.colors.surface)
        self.text(
            widget.text,
            box.right // 2,
            middle - 1,
            m.title,
            self.colors.accent,
            width=box.right,
            align="middle",
        )

    def tile(self, widget: Widget) -> None:
        box, m = widget.box, self.m
        size, line = self.px(m.tile_icon), self.px(m.small * 1.45)
        x = box.center[0]
        top = box.top + (box.bottom - box.top - size - line) // 2
        square = Box(left=x - size // 2, top=top, right=x - size // 2 + size, bottom=top + size)
        round_tile = self.state.look.round_tiles
        radius = size // 2 if round_tile else self.px(m.tile_icon * 0.28)
        self.fill(square, TILE_COLORS[widget.color], radius)
        self.icon(
            widget.icon,
            x,
            top + size // 2,
            round(size * (0.52 if self.state.look.round_tiles else 0.6)),
            WHITE,
        )
        width = box.right - box.left
        self.text(
            widget.text, x, top + size + line // 2, m.small, self.colors.text, width=width, align="middle"
        )

    def row(self, widget: Widget) -> None:
        box, m = widget.box, self.m
        middle = (box.top + box.bottom) // 2
        left, right = box.left + self.px(m.margin), box.right - self.px(m.margin)
        line = Box(left=left, top=box.bottom - max(1, self.px(0.8)), right=right, bottom=box.bottom)
        self.fill(line, self.colors.line)
        if widget.trailing:
            right -= self.trailing(widget, right, middle)
        icon = self.px(m.icon)
        if widget.avatar:
            self.disc_letter(widget.text, left + icon // 2, middle, icon)
            left += icon + self.px(m.margin)
        elif widget.icon:
            size = self.px(m.icon * 0.7)
            self.icon(widget.icon, left + size // 2, middle, size, self.colors.accent)
            left += size + self.px(m.margin)
        color = self.colors.text if widget.tap is not None else self.colors.faint
        if widget.detail:
            self.detail_lines(widget, left, right, middle, color)
        else:
            self.text(widget.text, left, middle, m.text, color, width=right - left)

    def detail_lines(self, widget: Widget, left: int, right: int, middle: int, color: Color) -> None:
        m = self.m
        if not m.bar_back:  # one line: the detail takes what room is left at the right
            self.text(widget.text, left, middle, m.text, color, width=right - left)
            left += text_mask(fitted_text(widget.text, self.px(m.text), right - left), self.px(m.text)).width
            room = right - left - self.px(m.margin)
            if room >= self.px(m.small * 2):
                faint = self.colors.faint
                self.text(widget.detail, right, middle, m.small, faint, width=room, align="right")
            return
        shift = self.px(m.text * 0.62)
        self.text(widget.text, left, middle - shift, m.text, color, width=right - left)
        self.text(widget.detail, left, middle + shift, m.small, self.colors.faint, width=right - left)

    def trailing(self, widget: Widget, right: int, middle: int) -> int:
        """Draw a switch or a check box that ends at `right`; returns the width it takes, with margin."""
        m = self.m
        height = self.px(m.switch_height)
        width = self.px(m.switch_width) if widget.trailing == "switch" else height
        top = middle - height // 2
        box = Box(left=right - width, top=top, right=right, bottom=top + height)
        fill = self.colors.accent if widget.on else self.colors.track
        if widget.trailing == "switch":
            self.fill(box, fill, height)
            pad = max(2, height // 8)
            x = box.right - height + pad if widget.on else box.left + pad
            knob = Box(left=x, top=top + pad, right=x + height - 2 * pad, bottom=top + height - pad)
            self.fill(knob, self.colors.knob, height)
        else:
            self.fill(box, fill, self.px(m.corner * 0.5))
            if widget.on:
                self.icon("check", *box.center, round(height * 0.7), WHITE)
            else:
                edge = max(1, height // 10)
                inner = Box(
                    left=box.left + edge, top=box.top + edge, right=box.right - edge, bottom=box.bottom - edge
                )
                self.fill(inner, self.colors.background, self.px(m.corner * 0.4))
        return width + self.px(m.margin)

    def button(self, widget: Widget) -> None:
        box, m = widget.box, self.m
        match widget.tone:
            case Tone.PRIMARY:
                ground, ink = self.colors.accent, WHITE
            case Tone.DANGER:
                ground, ink = DANGER, WHITE
            case Tone.PLAIN:
                ground, ink = self.colors.bubble, self.colors.text
            case _:
                assert_never(widget.tone)
        height = box.bottom - box.top
        self.fill(box, ground, self.px(m.corner) if not m.bar_back else height // 2)
        x, y = box.center
        size = self.px(m.text * 0.95)
        label = fitted_text(widget.text, self.px(m.text), box.right - box.left - self.px(m.gap * 2))
        if not widget.icon:
            self.text(label, x, y, m.text, ink, width=box.right - box.left, align="middle")
            return
        if not label:
            self.icon(widget.icon, x, y, self.px(m.text * 1.3), ink)
            return
        words = text_mask(label, self.px(m.text)).width
        gap = self.px(m.text * 0.35)
        if size + gap + words > box.right - box.left - self.px(m.gap * 2):
            self.text(label, x, y, m.text, ink, width=box.right - box.left, align="middle")
            return
        left = x - (size + gap + words) // 2
        self.icon(widget.icon, left + size // 2, y, size, ink)
        self.text(label, left + size + gap, y, m.text, ink, width=words)

    def words(self, widget: Widget) -> None:
        box, m = widget.box, self.m
        x, y = box.center
        large = widget.kind is Kind.LARGE_TEXT
        size = (m.title if m.bar_back else m.text + 2) if large else m.text
        color = self.colors.text if large else self.colors.faint
        width = box.right - box.left - 2 * self.px(m.gap)
        self.text(widget.text, x, y, size, color, width=width, align="middle")

    def hero(self, widget: Widget) -> None:
        box = widget.box
        size = box.bottom - box.top
        if widget.avatar:
            self.disc_letter(widget.text, *box.center, size)
            return
        self.fill(box, self.colors.bubble, self.px(self.m.corner * 1.5))
        self.icon(widget.icon, *box.center, round(size * 0.6), self.colors.accent)

    def bubble(self, widget: Widget) -> None:
        box, m = widget.box, self.m
        ground = self.colors.accent if widget.on else self.colors.bubble
        ink = WHITE if widget.on else self.colors.text
        self.fill(box, ground, self.px(m.corner * 1.4))
        pad = self.px(m.margin + 2)
        width = box.right - box.left - 2 * pad
        self.text(widget.text, box.left + pad, box.center[1], m.text, ink, width=width)

    def field(self, widget: Widget) -> None:
        box, m = widget.box, self.m
        edge = max(1, self.px(1.5))
        ring = self.colors.accent if widget.on else self.colors.track
        self.fill(box, ring, self.px(m.corner))
        inner = Box(
            left=box.left + edge, top=box.top + edge, right=box.right - edge, bottom=box.bottom - edge
        )
        self.fill(inner, self.colors.background, self.px(m.corner) - edge)
        color = self.colors.faint if widget.detail == "hint" else self.colors.text
        left = box.left + self.px(m.margin + 2)
        self.text(widget.text, left, box.center[1], m.text, color, width=box.right - left - edge)
        if widget.on:
            self.caret(widget, left)

    def caret(self, widget: Widget, left: int) -> None:
        """The mark where the next letter will come; it does not blink, so equal states look equal."""
        size = self.px(self.m.text)
        words = "" if widget.detail == "hint" else fitted_text(widget.text, size, widget.box.right - left)
        x = left + (text_mask(words, size).width if words else 0)
        middle, half = widget.box.center[1], round(size * 0.6)
        width = max(1, size // 10)
        mark = Box(left=x, top=middle - half, right=x + width, bottom=middle + half)
        self.fill(mark, self.colors.accent)

    def key(self, widget: Widget) -> None:
        box, m = widget.box, self.m
        edge = max(1, self.px(m.key * 0.05))
        inner = Box(
            left=box.left + edge, top=box.top + edge, right=box.right - edge, bottom=box.bottom - edge
        )
        self.fill(inner, self.colors.background, self.px(m.corner * 0.5))
        if widget.icon:
            self.icon(widget.icon, *box.center, self.px(m.text * 1.1), self.colors.text)
        else:
            width = box.right - box.left
            self.text(widget.text, *box.center, m.text, self.colors.text, width=width, align="middle")

    def gesture_bar(self) -> None:
        if self.display.buttons:
            return
        width, height = self.image.width // 3, max(2, self.px(self.m.gap * 0.4))
        left, top = (
            (self.image.width - width) // 2,
            self.image.height - height - max(1, self.px(self.m.gap * 0.4)),
        )
        bar = Box(left=left, top=top, right=left + width, bottom=top + height)
        self.fill(bar, self.colors.faint, height)


@lru_cache(maxsize=8)
def _flat_mask(width_px: int, height_px: int, opacity: int) -> Image.Image:
    return Image.new("L", (width_px, height_px), opacity)
