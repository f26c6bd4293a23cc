"""Icons, drawn from a few shapes on a unit square and kept as masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw

_OVERSAMPLING: Final = 4


class _Pen:
    """Draws on a unit square: (0, 0) is the upper left corner."""

    def __init__(self, image: Image.Image) -> None:
        self.draw = ImageDraw.Draw(image)
        self.size = image.width

    def _points(self, *values: float) -> list[float]:
        return [value * (self.size - 1) for value in values]

    def polygon(self, *values: float, fill: int = 255) -> None:
        self.draw.polygon(self._points(*values), fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: int = 255) -> None:
        self.draw.ellipse(self._points(x - radius, y - radius, x + radius, y + radius), fill=fill)

    def box(self, l: float, t: float, r: float, b: float, radius: float = 0, fill: int = 255) -> None:  # noqa: E741
        self.draw.rounded_rectangle(self._points(l, t, r, b), radius=radius * self.size, fill=fill)

    def line(self, *values: float, width: float = 0.12, fill: int = 255) -> None:
        points = self._points(*values)
        self.draw.line(points, fill=fill, width=round(width * self.size), joint="curve")
        radius = width * self.size / 2
        for x, y in zip(points[::2], points[1::2], strict=True):
            self.draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)

    def arc(self, x: float, y: float, radius: float, start: float, end: float, width: float = 0.12) -> None:
        box = self._points(x - radius, y - radius, x + radius, y + radius)
        self.draw.arc(box, start, end, fill=255, width=round(width * self.size))


def _gear(pen: _Pen) -> None:
    for k in range(8):
        angle = k * math.pi / 4
        x, y = math.cos(angle), math.sin(angle)
        pen.line(0.5 + 0.2 * x, 0.5 + 0.2 * y, 0.5 + 0.38 * x, 0.5 + 0.38 * y, width=0.18)
    pen.disc(0.5, 0.5, 0.32)
    pen.disc(0.5, 0.5, 0.14, fill=0)


def _person(pen: _Pen) -> None:
    pen.disc(0.5, 0.3, 0.2)
    pen.draw.pieslice(pen._points(0.12, 0.56, 0.88, 1.3), 180, 360, fill=255)


def _bubble(pen: _Pen) -> None:
    pen.box(0.06, 0.12, 0.94, 0.74, 0.18)
    pen.polygon(0.2, 0.6, 0.5, 0.7, 0.2, 0.96)


def _note(pen: _Pen) -> None:
    pen.box(0.16, 0.06, 0.84, 0.94, 0.1)
    for y in (0.3, 0.5, 0.7):
        pen.line(0.32, y, 0.68 if y < 0.6 else 0.52, y, width=0.07, fill=0)


def _clock(pen: _Pen) -> None:
    pen.disc(0.5, 0.5, 0.44)
    pen.line(0.5, 0.24, 0.5, 0.5, 0.68, 0.6, width=0.09, fill=0)


def _bell(pen: _Pen) -> None:
    pen.draw.pieslice(pen._points(0.2, 0.1, 0.8, 0.9), 180, 360, fill=255)
    pen.polygon(0.2, 0.48, 0.8, 0.48, 0.9, 0.76, 0.1, 0.76)
    pen.disc(0.5, 0.86, 0.1)
    pen.disc(0.5, 0.1, 0.07)


def _music(pen: _Pen) -> None:
    pen.disc(0.28, 0.78, 0.15)
    pen.disc(0.76, 0.68, 0.15)
    pen.line(0.39, 0.78, 0.39, 0.2, 0.87, 0.1, 0.87, 0.68, width=0.08)
    pen.polygon(0.36, 0.16, 0.9, 0.06, 0.9, 0.26, 0.36, 0.36)


def _phone(pen: _Pen) -> None:
    pen.draw.arc(pen._points(0.14, -0.66, 1.66, 0.86), 90, 180, fill=255, width=round(0.2 * pen.size))
    pen.line(0.22, 0.16, 0.26, 0.28, width=0.28)
    pen.line(0.72, 0.74, 0.84, 0.78, width=0.28)


def _bin(pen: _Pen) -> None:
    pen.box(0.12, 0.16, 0.88, 0.28, 0.05)
    pen.box(0.38, 0.06, 0.62, 0.2, 0.05)
    pen.polygon(0.2, 0.34, 0.8, 0.34, 0.74, 0.94, 0.26, 0.94)


def _play(pen: _Pen) -> None:
    pen.polygon(0.22, 0.1, 0.9, 0.5, 0.22, 0.9)


def _stop(pen: _Pen) -> None:
    pen.box(0.16, 0.16, 0.84, 0.84, 0.08)


def _next(pen: _Pen) -> None:
    pen.polygon(0.1, 0.12, 0.66, 0.5, 0.1, 0.88)
    pen.box(0.7, 0.14, 0.86, 0.86, 0.04)


def _back(pen: _Pen) -> None:
    pen.line(0.88, 0.5, 0.14, 0.5, width=0.11)
    pen.line(0.46, 0.18, 0.14, 0.5, 0.46, 0.82, width=0.11)


def _home(pen: _Pen) -> None:
    pen.polygon(0.5, 0.08, 0.94, 0.5, 0.06, 0.5)
    pen.box(0.2, 0.46, 0.8, 0.9, 0.05)


def _plus(pen: _Pen) -> None:
    pen.line(0.5, 0.14, 0.5, 0.86, width=0.14)
    pen.line(0.14, 0.5, 0.86, 0.5, width=0.14)


def _check(pen: _Pen) -> None:
    pen.line(0.14, 0.54, 0.4, 0.8, 0.88, 0.24, width=0.16)


def _erase(pen: _Pen) -> None:
    pen.polygon(0.02, 0.5, 0.32, 0.16, 0.98, 0.16, 0.98, 0.84, 0.32, 0.84)
    pen.line(0.5, 0.36, 0.78, 0.64, width=0.08, fill=0)
    pen.line(0.78, 0.36, 0.5, 0.64, width=0.08, fill=0)


def _cart(pen: _Pen) -> None:
    pen.line(0.06, 0.14, 0.22, 0.14, 0.36, 0.64, 0.82, 0.64, width=0.09)
    pen.polygon(0.26, 0.24, 0.94, 0.24, 0.84, 0.58, 0.34, 0.58)
    pen.disc(0.42, 0.84, 0.09)
    pen.disc(0.76, 0.84, 0.09)


def _folder(pen: _Pen) -> None:
    pen.box(0.06, 0.16, 0.5, 0.5, 0.07)
    pen.box(0.06, 0.28, 0.94, 0.86, 0.07)


def _calculator(pen: _Pen) -> None:
    pen.box(0.14, 0.04, 0.86, 0.96, 0.1)
    pen.box(0.26, 0.16, 0.74, 0.34, 0.03, fill=0)
    for y in (0.5, 0.66, 0.82):
        for x in (0.3, 0.5, 0.7):
            pen.disc(x, y, 0.055, fill=0)


def _star(pen: _Pen) -> None:
    points: list[float] = []
    for k in range(10):
        radius, angle = (0.48 if k % 2 == 0 else 0.2), k * math.pi / 5
        points += [0.5 + radius * math.sin(angle), 0.52 - radius * math.cos(angle)]
    pen.polygon(*points)


def _wifi(pen: _Pen) -> None:
    pen.disc(0.5, 0.82, 0.09)
    for radius in (0.3, 0.54, 0.78):
        pen.arc(0.5, 0.86, radius, 225, 315, width=0.11)


def _sun(pen: _Pen) -> None:
    pen.disc(0.5, 0.5, 0.2)
    for k in range(8):
        x, y = math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)
        pen.line(0.5 + 0.34 * x, 0.5 + 0.34 * y, 0.5 + 0.42 * x, 0.5 + 0.42 * y, width=0.1)


def _lock(pen: _Pen) -> None:
    pen.box(0.18, 0.44, 0.82, 0.92, 0.08)
    pen.arc(0.5, 0.42, 0.26, 180, 360)
    pen.disc(0.5, 0.66, 0.07, fill=0)


def _battery(pen: _Pen) -> None:
    pen.box(0.28, 0.14, 0.72, 0.94, 0.08)
    pen.box(0.4, 0.04, 0.6, 0.2, 0.04)


ICONS: Final[dict[str, Callable[[_Pen], None]]] = {
    "gear": _gear, "person": _person, "bubble": _bubble, "note": _note, "clock": _clock, "bell": _bell,
    "music": _music, "phone": _phone, "bin": _bin, "play": _play, "stop": _stop, "next": _next,
    "back": _back, "home": _home, "plus": _plus, "check": _check, "erase": _erase, "cart": _cart,
    "folder": _folder, "calculator": _calculator, "star": _star, "wifi": _wifi,
    "sun": _sun, "lock": _lock, "battery": _battery,
}  # fmt: skip


@lru_cache(maxsize=512)
def icon_mask(name: str, size_px: int) -> Image.Image:
    """The icon as a mask ("L", size_px by size_px); a shared picture, not to be changed."""
    big = Image.new("L", (size_px * _OVERSAMPLING, size_px * _OVERSAMPLING), 0)
    ICONS[name](_Pen(big))
    return big.resize((size_px, size_px), Image.Resampling.BOX)


@lru_cache(maxsize=2048)
def rounded_mask(width_px: int, height_px: int, radius_px: int) -> Image.Image:
    """A rounded rectangle as a mask; a shared picture, not to be changed."""
    k = _OVERSAMPLING
    big = Image.new("L", (width_px * k, height_px * k), 0)
    radius = min(radius_px, width_px // 2, height_px // 2) * k
    ImageDraw.Draw(big).rounded_rectangle(
        [0, 0, width_px * k - 1, height_px * k - 1], radius=radius, fill=255
    )
    return big.resize((width_px, height_px), Image.Resampling.BOX)


def known_icons() -> Sequence[str]:
    """Names of all icons."""
    return tuple(ICONS)
