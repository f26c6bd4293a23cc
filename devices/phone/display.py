"""Size, density and theme of a screen, and the measures that follow from them.

Lengths of the design are in dp, as on Android: one dp is `density` pixels. A screen narrower than
240 dp uses the compact measures, whose rows lie on a grid of 28 dp.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gui_agent.errors import ConfigError


class Theme(StrEnum):
    """Which colours to draw with."""

    SYSTEM = "system"
    """As the phone's own dark-mode setting says."""
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneDisplay:
    """A screen.

    Attributes:
        width_px: 96 to 4096.
        height_px: at least 1.5 times the width, at most 4096.
        density: pixels per dp.
        theme: which colours.
        buttons: draw back and home buttons at the lower end; otherwise a bar for gestures is drawn
            and back and home are reached through `SystemButton` alone.

    Raises:
        ConfigError: the screen is too small, too large or too wide to lay anything out on.
    """

    width_px: int = 112
    height_px: int = 224
    density: float = 1.0
    theme: Theme = Theme.SYSTEM
    buttons: bool = False

    def __post_init__(self) -> None:
        if not 96 <= self.width_dp <= 600 or not 1.5 * self.width_px <= self.height_px <= 4096:
            raise ConfigError(
                f"a phone display of {self.width_px}x{self.height_px} pixels at density {self.density} is "
                f"{self.width_dp:.0f} dp wide; the width must be 96 to 600 dp, and the height at least 1.5 "
                "times the width and at most 4096 px"
            )

    @property
    def width_dp(self) -> float:
        """Width in dp."""
        return self.width_px / self.density

    @property
    def measures(self) -> Measures:
        """The measures for this width."""
        return COMPACT if self.width_dp < 240 else REGULAR

    def px(self, length_dp: float) -> int:
        """A length of the design in whole pixels."""
        return round(length_dp * self.density)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Lengths of the design in dp."""

    status: int
    bar: int
    bar_back: bool
    row: int
    margin: int
    gap: int
    corner: int
    text: int
    small: int
    title: int
    tile_columns: int
    tile_height: int
    tile_icon: int
    icon: int
    switch_width: int
    switch_height: int
    button: int
    hero: int
    footer: int
    footer_inset: int
    key: int


COMPACT: Final = Measures(
    status=14, bar=14, bar_back=False, row=28, margin=4, gap=2, corner=6, text=12, small=11, title=11,
    tile_columns=2, tile_height=56, tile_icon=34, icon=20, switch_width=26, switch_height=16, button=26,
    hero=48, footer=31, footer_inset=1, key=22,
)  # fmt: skip
REGULAR: Final = Measures(
    status=30, bar=60, bar_back=True, row=64, margin=16, gap=8, corner=16, text=17, small=14, title=22,
    tile_columns=4, tile_height=112, tile_icon=60, icon=40, switch_width=52, switch_height=32, button=52,
    hero=120, footer=88, footer_inset=8, key=54,
)  # fmt: skip

QUICKSTART_DISPLAY: Final = PhoneDisplay()
PHONE_DISPLAY: Final = PhoneDisplay(width_px=412, height_px=915)
FULL_HD_DISPLAY: Final = PhoneDisplay(width_px=1080, height_px=2400, density=2.625)
