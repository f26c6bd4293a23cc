"""Whether a screen has changed where an action is about to be performed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageChops

from gui_agent.observation import Screenshot

_AROUND: Final = 16
"""A point stands for what lies around it, this part of the shorter side in each direction."""
_LEAST_DIFFERENCE: Final = 24
"""Of 255: noise of a compressed picture is less."""
_LEAST_SHARE: Final = 0.05
"""A caret that blinks and a clock that ticks are less."""


def has_changed(before: Screenshot, after: Screenshot, points: Sequence[tuple[int, int]]) -> bool:
    """Whether an action decided on one screen would meet something else on another one.

    Args:
        before, after: the screens.
        points: of the action, in pixels; without any the whole screen counts.

    Returns:
        Whether more than a twentieth of the pixels around one of the points, or of all, are others.
    """
    if before.sha256 == after.sha256:
        return False
    if (before.width_px, before.height_px) != (after.width_px, after.height_px):
        return True
    difference = ImageChops.difference(before.image(), after.image()).convert("L")
    around_px = max(1, min(difference.size) // _AROUND)
    boxes = [(x - around_px, y - around_px, x + around_px + 1, y + around_px + 1) for x, y in points]
    return any(
        _share_of_others(difference.crop(box)) > _LEAST_SHARE for box in boxes or [(0, 0, *difference.size)]
    )


def _share_of_others(difference: Image.Image) -> float:
    counts = difference.histogram()
    return sum(counts[_LEAST_DIFFERENCE:]) / sum(counts)
