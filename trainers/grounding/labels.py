"""What each cell of a screen shows: labels for vision tokens, from the boxes of elements.

A vision tower turns a screen into a grid of R rows and C columns of merged tokens; each sees one cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gui_agent.observation import UiElement

NOBODY = -1
"""Owner of a cell that shows no element."""


def cell_owners(
    elements: Sequence[UiElement],
    *,
    width_px: int,
    height_px: int,
    rows: int,
    columns: int,
    min_cover: float = 0.12,
) -> NDArray[np.int64]:
    """Which element each cell shows: the one that covers most of it, the smaller one if two are equal.

    Args:
        elements: with boxes in pixels of the screen; parts outside it do not count.
        width_px: width of the screen.
        height_px: height of the screen.
        rows: R, cells from top to bottom.
        columns: C, cells from left to right.
        min_cover: share of a cell, in [0, 1], that its owner covers at least.

    Returns:
        Indices into `elements` of shape (R, C), `NOBODY` where no element covers enough.

    Raises:
        ValueError: the screen or the grid is empty.
    """
    if min(width_px, height_px, rows, columns) < 1:
        raise ValueError(f"no cells: a screen of {width_px}x{height_px} px in {rows} rows, {columns} columns")
    owners_RC = np.full((rows, columns), NOBODY, dtype=np.int64)
    best_RC = np.zeros((rows, columns))
    # From small to large, and only more coverage takes a cell away: of equals the smaller one stays.
    for index in sorted(range(len(elements)), key=lambda i: (elements[i].box.area_px, i)):
        box = elements[index].box
        across_C = _overlaps(box.left, box.right, width_px, columns)
        down_R = _overlaps(box.top, box.bottom, height_px, rows)
        cover_RC = down_R[:, None] * across_C[None, :]
        wins_RC = (cover_RC > best_RC + 1e-9) & (cover_RC >= min_cover)
        owners_RC[wins_RC] = index
        best_RC[wins_RC] = cover_RC[wins_RC]
    return owners_RC


def _overlaps(start: int, stop: int, length_px: int, cells: int) -> NDArray[np.float64]:
    """The share of each of `cells` equal parts of a side that lies between start and stop."""
    edges = np.linspace(0.0, length_px, cells + 1)
    shared = np.minimum(stop, edges[1:]) - np.maximum(start, edges[:-1])
    return np.clip(shared, 0.0, None) * cells / length_px


def pointable(elements: Sequence[UiElement]) -> tuple[UiElement, ...]:
    """The elements that can be tapped and whose name says which one is meant."""
    count: dict[str, int] = {}
    for element in elements:
        if element.clickable:
            count[element.name] = count.get(element.name, 0) + 1
    return tuple(one for one in elements if one.clickable and one.name and count[one.name] == 1)
