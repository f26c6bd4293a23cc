"""A hash of what a screenshot looks like: equal for pictures that differ by noise alone.

Shape letters: C cells along each side.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

_NOISE_LEVELS: Final = 2
"""Neighbours whose brightness differs by no more than this are equal: compression does as much."""


def perceptual_hash(image: Image.Image, *, cells: int = 32, ignored_top_px: int = 0) -> str:
    """Two bits for each of `cells` times `cells` cells, as hexadecimal text.

    A cell is the mean brightness of its part of the picture; its bits say whether it is brighter than the
    cell to its right, and than the cell below. Pictures of one screen at other sizes or compressions have
    the same hash or differ in few bits. Colours of equal brightness look the same, and so does whatever is
    much smaller than a cell.

    Args:
        image: any mode and size.
        cells: along each side, 1 or more; more cells see smaller differences.
        ignored_top_px: rows at the top to leave out (a status bar with a clock), fewer than there are.
    """
    image = image.crop((0, ignored_top_px, image.width, image.height))
    small = image.convert("L").resize((cells + 1, cells + 1), Image.Resampling.BOX)
    brightness = np.asarray(small, dtype=np.int16)
    right_CC = brightness[:-1, :-1] - brightness[:-1, 1:] > _NOISE_LEVELS
    below_CC = brightness[:-1, :-1] - brightness[1:, :-1] > _NOISE_LEVELS
    return np.packbits(np.stack([right_CC, below_CC])).tobytes().hex()
