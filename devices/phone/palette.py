"""Colours of the phone, light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.state import Look

Color = tuple[int, int, int]

TILE_COLORS: Final[dict[str, Color]] = {
    "gray": (96, 106, 120),
    "blue": (36, 110, 230),
    "green": (28, 150, 84),
    "yellow": (226, 160, 20),
    "red": (214, 62, 56),
    "purple": (128, 70, 200),
    "teal": (14, 140, 150),
    "orange": (232, 112, 26),
    "pink": (214, 70, 140),
    "brown": (132, 92, 62),
}
AVATAR_COLORS: Final = tuple(TILE_COLORS[n] for n in ("blue", "green", "red", "purple", "teal", "orange"))
ACCENTS: Final[tuple[Color, ...]] = ((26, 95, 214), (0, 122, 110), (120, 66, 190), (192, 78, 20))
WALLPAPERS: Final[tuple[Color, ...]] = ((226, 233, 244), (233, 240, 228), (243, 234, 226), (236, 230, 244))
WHITE: Final[Color] = (255, 255, 255)
DANGER: Final[Color] = (206, 52, 48)


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of one theme with one accent."""

    background: Color
    wallpaper: Color
    surface: Color
    line: Color
    text: Color
    faint: Color
    accent: Color
    track: Color
    knob: Color
    bubble: Color
    panel: Color


def palette(look: Look, *, dark: bool) -> Palette:
    """The palette of a phone."""
    accent = ACCENTS[look.accent % len(ACCENTS)]
    wallpaper = WALLPAPERS[look.wallpaper % len(WALLPAPERS)]
    if dark:
        return Palette(
            background=(18, 20, 24), wallpaper=_mixed(wallpaper, (0, 0, 0), 0.86), surface=(40, 43, 50),
            line=(52, 56, 64), text=(236, 238, 242), faint=(160, 166, 176), accent=_mixed(accent, WHITE, 0.3),
            track=(84, 88, 98), knob=(240, 240, 244), bubble=(52, 56, 66), panel=(32, 35, 41),
        )  # fmt: skip
    return Palette(
        background=(250, 250, 252), wallpaper=wallpaper, surface=(232, 235, 241), line=(222, 225, 231),
        text=(24, 26, 32), faint=(98, 104, 114), accent=accent, track=(186, 190, 198), knob=WHITE,
        bubble=(226, 229, 236), panel=WHITE,
    )  # fmt: skip


def _mixed(color: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, other, strict=True))
    return red, green, blue
