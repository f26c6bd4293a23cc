"""Coordinate spaces and the one place where they are converted.

Inside the project a point is a pair of whole pixels of the screenshot that was shown. A model writes
points in the space its family was trained on: pixels of the resized picture (Qwen2.5-VL), 0 to 1000
on both axes (Qwen3-VL), or fractions of the screen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from gui_agent.errors import ConfigError
from gui_agent.policy import ImageBudget


class CoordinateSpace(StrEnum):
    """The unit in which a model writes points."""

    RESIZED_PIXELS = "resized_pixels"
    """Pixels of the picture after `smart_resize`."""
    THOUSAND = "thousand"
    """0 to 1000 on each axis, whatever the shape of the screen."""
    NORMALISED = "normalised"
    """0 to 1 on each axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenGeometry:
    """Size of a screenshot as shown, and as the model sees it after resizing, in pixels."""

    width_px: int
    height_px: int
    resized_width_px: int
    resized_height_px: int

    @classmethod
    def of(cls, width_px: int, height_px: int, budget: ImageBudget) -> ScreenGeometry:
        """The geometry of a screen under a model family's image budget.

        Raises:
            ConfigError: the budget leaves the shorter side less than one token, or has no room for the
                smallest picture in this shape.
            ValueError: a side is not positive or the sides differ by more than 200 times.
        """
        if min(width_px, height_px) ** 2 * budget.max_pixels < budget.factor**2 * width_px * height_px:
            raise ConfigError(
                f"a screen of {width_px}x{height_px} pixels does not keep its shape within "
                f"{budget.max_pixels} pixels: its shorter side would have less than the {budget.factor} "
                "pixels of one token; raise image_max_pixels"
            )
        resized_height_px, resized_width_px = smart_resize(
            height_px,
            width_px,
            factor=budget.factor,
            min_pixels=budget.min_pixels,
            max_pixels=budget.max_pixels,
        )
        if resized_width_px * resized_height_px > budget.max_pixels:  # enlarging rounds up
            raise ConfigError(
                f"a screen of {width_px}x{height_px} pixels is enlarged to {resized_width_px}x"
                f"{resized_height_px}, the smallest picture of its shape, which is more than "
                f"{budget.max_pixels} pixels; raise image_max_pixels"
            )
        return cls(
            width_px=width_px,
            height_px=height_px,
            resized_width_px=resized_width_px,
            resized_height_px=resized_height_px,
        )

    def num_tokens(self, factor: int) -> int:
        """Picture tokens of a prompt; `factor` is that of the budget."""
        return self.resized_width_px * self.resized_height_px // factor**2


def smart_resize(
    height_px: int, width_px: int, *, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Height and width, multiples of `factor`, closest to the aspect ratio within the pixel bounds.

    Raises:
        ValueError: a side is not positive or the sides differ by more than 200 times.

    Source: Qwen2-VL image processing (reference vectors `smart_resize`).
    """
    if height_px < 1 or width_px < 1:
        raise ValueError(f"a picture of {width_px}x{height_px} pixels cannot be resized")
    if max(height_px, width_px) / min(height_px, width_px) > 200:
        raise ValueError(f"aspect ratio of {width_px}x{height_px} exceeds 200")
    height = max(factor, round(height_px / factor) * factor)
    width = max(factor, round(width_px / factor) * factor)
    if height * width > max_pixels:
        scale = math.sqrt(height_px * width_px / max_pixels)
        height = max(factor, math.floor(height_px / scale / factor) * factor)
        width = max(factor, math.floor(width_px / scale / factor) * factor)
    elif height * width < min_pixels:
        scale = math.sqrt(min_pixels / (height_px * width_px))
        height = math.ceil(height_px * scale / factor) * factor
        width = math.ceil(width_px * scale / factor) * factor
    return height, width


def to_screen(
    point: tuple[float, float], space: CoordinateSpace, geometry: ScreenGeometry
) -> tuple[int, int]:
    """Pixels of the screenshot shown, from a point that a model wrote.

    A point may lie outside the screen; it is the device that says so, not this function.
    """
    x, y = point
    span_x, span_y = _span(space, geometry)
    return (
        math.floor(x / span_x * geometry.width_px + 1e-9),
        math.floor(y / span_y * geometry.height_px + 1e-9),
    )


def from_screen(
    point: tuple[float, float], space: CoordinateSpace, geometry: ScreenGeometry
) -> tuple[float, float] | tuple[int, int]:
    """What a model of that space would write for a pixel of the screenshot shown.

    Whole numbers, rounded half to even, except in normalised space (four decimals).
    """
    x, y = point
    span_x, span_y = _span(space, geometry)
    written = (x / geometry.width_px * span_x, y / geometry.height_px * span_y)
    if space is CoordinateSpace.NORMALISED:
        return round(written[0], 4), round(written[1], 4)
    return round(written[0]), round(written[1])


def _span(space: CoordinateSpace, geometry: ScreenGeometry) -> tuple[float, float]:
    match space:
        case CoordinateSpace.RESIZED_PIXELS:
            return geometry.resized_width_px, geometry.resized_height_px
        case CoordinateSpace.THOUSAND:
            return 1000.0, 1000.0
        case CoordinateSpace.NORMALISED:
            return 1.0, 1.0
