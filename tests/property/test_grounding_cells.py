"""Every cell of a screen is labelled with the element that covers it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui_agent.observation import Box, UiElement
from trainers.grounding.labels import NOBODY, cell_owners, pointable


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, top = draw(st.integers(-20, 119)), draw(st.integers(-20, 239))
    return Box(
        left=left,
        top=top,
        right=left + draw(st.integers(0, 90)),
        bottom=top + draw(st.integers(0, 90)),
    )


def element(box: Box, name: str = "wifi", *, clickable: bool = True) -> UiElement:
    return UiElement(name=name, role="switch", box=box, clickable=clickable)


def pixels_of(box: Box, left: int, top: int, side: int) -> int:
    across = min(box.right, left + side) - max(box.left, left)
    down = min(box.bottom, top + side) - max(box.top, top)
    return max(0, across) * max(0, down)


@settings(max_examples=150, deadline=None)
@given(st.lists(boxes(), max_size=6))
def test_owner_covers_most_of_its_cell(shown: list[Box]) -> None:
    owners = cell_owners(
        [element(box) for box in shown], width_px=112, height_px=224, rows=8, columns=4, min_cover=0.12
    )

    for row, column in np.ndindex(8, 4):
        covered = [pixels_of(box, 28 * column, 28 * row, 28) for box in shown]
        owner = owners[row, column]
        enough = 0.12 * 28 * 28
        if owner == NOBODY:
            assert all(pixels < enough for pixels in covered)
        else:
            assert covered[owner] == max(covered) >= enough
            assert all(
                shown[owner].area_px <= box.area_px
                for box, pixels in zip(shown, covered, strict=True)
                if pixels == max(covered)
            )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 7), st.integers(0, 3))
def test_an_element_on_the_grid_owns_exactly_its_cell(row: int, column: int) -> None:
    box = Box(left=28 * column, top=28 * row, right=28 * column + 28, bottom=28 * row + 28)

    owners = cell_owners([element(box)], width_px=112, height_px=224, rows=8, columns=4)

    assert owners[row, column] == 0
    assert (owners == NOBODY).sum() == 31


def test_a_switch_inside_a_row_owns_the_cells_that_both_fill() -> None:
    row = element(Box(left=0, top=28, right=112, bottom=56), "row")
    switch = element(Box(left=84, top=28, right=112, bottom=56), "switch")

    owners = cell_owners([row, switch], width_px=112, height_px=224, rows=8, columns=4)

    assert owners[1].tolist() == [0, 0, 0, 1]


def test_cells_of_an_empty_screen_are_refused() -> None:
    with pytest.raises(ValueError, match="no cells"):
        cell_owners([], width_px=0, height_px=10, rows=1, columns=1)


def test_only_clickable_elements_with_a_name_of_their_own_can_be_pointed_at() -> None:
    box = Box(left=0, top=0, right=9, bottom=9)
    shown = [
        element(box, "ok"),
        element(box, "anna"),
        element(box, "anna"),
        element(box, "note", clickable=False),
        element(box, ""),
    ]

    assert [one.name for one in pointable(shown)] == ["ok"]
