"""Where a pixel of the picture lies for the phone: the space that touches and the tree are given in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from devices.android.screen import ScreenInfo
from gui_agent.observation import Box, UiElement


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpace:
    """The size of the picture shown beside the size that the phone's input has.

    Attributes:
        shown_px: width and height of the picture.
        input_px: width and height of the space that taps are given in, turned as the picture is.
    """

    shown_px: tuple[int, int]
    input_px: tuple[int, int]

    @classmethod
    def of(cls, shown_px: tuple[int, int], info: ScreenInfo) -> Self:
        """The space behind a picture of this size, on a screen that says this of itself."""
        short, long = sorted((info.width_px, info.height_px))
        is_wide = shown_px[0] > shown_px[1]
        return cls(shown_px=shown_px, input_px=(long, short) if is_wide else (short, long))

    def to_input(self, x: int, y: int) -> tuple[int, int]:
        """From the middle of a pixel of the picture to the phone's input."""
        width_px, height_px = self.shown_px
        wide, high = self.input_px
        return (2 * x + 1) * wide // (2 * width_px), (2 * y + 1) * high // (2 * height_px)

    def to_shown(self, element: UiElement) -> UiElement | None:
        """From the phone's input to pixels of the picture; None if nothing of the widget is in it."""
        width_px, height_px = self.shown_px
        wide, high = self.input_px
        box = Box(
            left=max(0, element.box.left * width_px // wide),
            top=max(0, element.box.top * height_px // high),
            right=min(width_px, element.box.right * width_px // wide),
            bottom=min(height_px, element.box.bottom * height_px // high),
        )
        return replace(element, box=box) if box.right > box.left and box.bottom > box.top else None
