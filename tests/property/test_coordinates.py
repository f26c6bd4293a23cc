"""Conversions lose at most the rounding of the space they pass through."""

from hypothesis import given
from hypothesis import strategies as st

from gui_agent.coordinates import CoordinateSpace, ScreenGeometry, from_screen, smart_resize, to_screen
from gui_agent.policy import ImageBudget

sides = st.integers(40, 3000)
factors = st.sampled_from([28, 32])


@given(sides, sides, factors, st.integers(4, 64), st.integers(100, 20_000))
def test_resized_sides_are_multiples_within_the_budget(
    width_px: int, height_px: int, factor: int, low: int, high: int
) -> None:
    low_px, high_px = low * factor**2, high * factor**2
    height, width = smart_resize(height_px, width_px, factor=factor, min_pixels=low_px, max_pixels=high_px)
    assert height % factor == 0
    assert width % factor == 0
    assert height * width >= low_px
    # A side is never less than one factor, so a very long screen may exceed a very small budget.
    assert height * width <= high_px or min(height, width) == factor


@given(sides, sides, factors, st.data())
def test_a_pixel_comes_back_within_rounding(
    width_px: int, height_px: int, factor: int, data: st.DataObject
) -> None:
    budget = ImageBudget(factor=factor, min_pixels=4 * factor**2, max_pixels=2_000 * factor**2)
    geometry = ScreenGeometry.of(width_px, height_px, budget)
    x, y = data.draw(st.integers(0, width_px - 1)), data.draw(st.integers(0, height_px - 1))
    spans = {
        CoordinateSpace.RESIZED_PIXELS: (geometry.resized_width_px, geometry.resized_height_px),
        CoordinateSpace.THOUSAND: (1000, 1000),
        CoordinateSpace.NORMALISED: (10_000, 10_000),
    }
    for space, (span_x, span_y) in spans.items():
        back_x, back_y = to_screen(from_screen((x, y), space, geometry), space, geometry)
        assert abs(back_x - x) <= 0.5 * width_px / span_x + 1
        assert abs(back_y - y) <= 0.5 * height_px / span_y + 1


@given(st.integers(1, 40), st.integers(1, 40), factors)
def test_screens_of_whole_cells_keep_their_pixels(columns: int, rows: int, factor: int) -> None:
    budget = ImageBudget(factor=factor, min_pixels=factor**2, max_pixels=2_000 * factor**2)
    geometry = ScreenGeometry.of(columns * factor, rows * factor, budget)
    assert (geometry.resized_width_px, geometry.resized_height_px) == (columns * factor, rows * factor)
    point = (columns * factor - 1, rows * factor // 2)
    space = CoordinateSpace.RESIZED_PIXELS
    assert from_screen(point, space, geometry) == point
    assert to_screen(point, space, geometry) == point
