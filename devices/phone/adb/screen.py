"""What a capture of the phone's screen holds, and where its points lie on the apps' own screen.

The apps are made for upright screens. On a phone that is held sideways they stand upright in its
middle, made smaller, with black on both sides, as Android letterboxes apps of fixed orientation.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from PIL import Image

from devices.phone.accessibility import accessibility_dump
from devices.phone.adb.android import Android
from devices.phone.adb.faults import Fault
from gui_agent.actions import Action, action_from_dict, action_points, action_to_dict
from gui_agent.device import ExpertAction
from gui_agent.observation import Box, Screenshot

_POINT_NAMES: Final = (("x", "y"), ("to_x", "to_y"))
_RGBA_8888: Final = 1
_COLOR_SPACE_SRGB: Final = 1
_BOUNDS: Final = re.compile(r'bounds="\[(-?\d+),(-?\d+)\]\[(-?\d+),(-?\d+)\]"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """Where the apps' screen lies on the display: `scale` pixels for each of its own, `left` first.

    A phone of 100x200 held sideways shows 200x100: scale 0.5, so the apps are 50 wide, left 75.
    """

    left: int
    scale: float

    def to_apps(self, x: float, y: float) -> tuple[int, int] | None:
        """The apps' pixel at a point of the display; None beside them."""
        if self.scale == 1 and not self.left:
            return int(x), int(y)
        x, y = (x - self.left) / self.scale, y / self.scale
        return (int(x), int(y)) if x >= 0 else None

    def to_display(self, x: int, y: int) -> tuple[int, int]:
        """The display's pixel at a point of the apps."""
        return self.left + round(x * self.scale), round(y * self.scale)

    def action(self, action: Action) -> Action:
        """An action on the apps' own screen, at the same places of the display."""
        points = zip(_POINT_NAMES, action_points(action), strict=False)
        moved = {
            name: px
            for names, point in points
            for name, px in zip(names, self.to_display(*point), strict=True)
        }
        return action_from_dict({**action_to_dict(action), **moved})

    def box(self, box: Box) -> Box:
        """A box of the apps' own screen, on the display."""
        left, top = self.to_display(box.left, box.top)
        right, bottom = self.to_display(box.right, box.bottom)
        return Box(left=left, top=top, right=right, bottom=bottom)

    def expert(self, expert: ExpertAction) -> ExpertAction:
        """What an expert does on the apps' own screen, on the display."""
        return replace(
            expert, action=self.action(expert.action), boxes=tuple(self.box(box) for box in expert.boxes)
        )


def letterbox(android: Android) -> Letterbox:
    """How the apps lie on the display as it is held now."""
    if android.rotation % 2 == 0:
        return Letterbox(left=0, scale=1.0)
    width_px, height_px = android.display.width_px, android.display.height_px
    scale = width_px / height_px
    return Letterbox(left=(height_px - round(width_px * scale)) // 2, scale=scale)


async def capture(android: Android) -> Screenshot:
    """The picture that `screencap -p` gives: black while the screen is off or its window is secure."""
    if not android.awake or android.is_secure or android.faults.take(Fault.BLACK_FRAME):
        return Screenshot.from_image(Image.new("RGB", android.size_px))
    upright = (await android.phone.observe()).screenshot
    if android.rotation % 2 == 0:
        return upright
    box = letterbox(android)
    picture = Image.new("RGB", android.size_px)
    size = (round(upright.width_px * box.scale), round(upright.height_px * box.scale))
    picture.paste(upright.image().resize(size, Image.Resampling.BILINEAR), (box.left, 0))
    return Screenshot.from_image(picture)


@lru_cache(maxsize=8)
def rgba(screenshot: Screenshot) -> bytes:
    """The pixels as RGBA rows from the top; the last few are kept, for screens that do not change."""
    return screenshot.image().convert("RGBA").tobytes()


def raw_header(screenshot: Screenshot) -> bytes:
    """The 16 bytes that `screencap` writes before the pixels: width, height, format, colour space."""
    return struct.pack("<4I", screenshot.width_px, screenshot.height_px, _RGBA_8888, _COLOR_SPACE_SRGB)


def framebuffer_header(screenshot: Screenshot) -> bytes:
    """The header of the frame buffer service, version 2: sizes, then offset and length per channel."""
    width_px, height_px = screenshot.width_px, screenshot.height_px
    channels = (0, 8, 16, 8, 8, 8, 24, 8)  # red, blue, green, alpha
    return struct.pack(
        "<14I", 2, 32, _COLOR_SPACE_SRGB, width_px * height_px * 4, width_px, height_px, *channels
    )


def hierarchy(android: Android) -> str:
    """The windows as uiautomator dumps them, with bounds on the display as it is held."""
    text = accessibility_dump(android.phone.shown(), package=android.foreground.name)
    box = letterbox(android)

    def on_display(match: re.Match[str]) -> str:
        left, top, right, bottom = map(int, match.groups())
        (x, y), (to_x, to_y) = box.to_display(left, top), box.to_display(right, bottom)
        return f'bounds="[{x},{y}][{to_x},{to_y}]"'

    text = text.replace('rotation="0"', f'rotation="{android.rotation}"', 1)
    return _BOUNDS.sub(on_display, text) if android.rotation % 2 else text
