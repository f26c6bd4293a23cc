"""Points as dialects write and read them, always inside the screen if the original was.

Rounding could carry the last pixel to the far edge (pixel 2399 of 2400 is 999.6 thousandths), which is
outside; and a model that writes the far edge itself, 1000 of 1000, means the last pixel.
"""

from __future__ import annotations

from gui_agent.coordinates import CoordinateSpace, ScreenGeometry, from_screen, to_screen


def write_point(x: int, y: int, space: CoordinateSpace, geometry: ScreenGeometry) -> tuple[float, float]:
    """What a model of that space writes for a pixel of the screen; whole numbers unless normalised."""
    written_x, written_y = from_screen((x, y), space, geometry)
    last_x, last_y = _last(space, geometry)
    if x < geometry.width_px:
        written_x = min(written_x, last_x)
    if y < geometry.height_px:
        written_y = min(written_y, last_y)
    return written_x, written_y


def read_point(
    point: tuple[float, float], space: CoordinateSpace, geometry: ScreenGeometry
) -> tuple[int, int]:
    """The pixel of the screen that a model means; it may lie outside."""
    x, y = to_screen(point, space, geometry)
    # Exactly the far edge is the only point that moves.
    return x - (x == geometry.width_px), y - (y == geometry.height_px)


def _last(space: CoordinateSpace, geometry: ScreenGeometry) -> tuple[float, float]:
    """The largest coordinates that lie inside the screen."""
    match space:
        case CoordinateSpace.RESIZED_PIXELS:
            return geometry.resized_width_px - 1, geometry.resized_height_px - 1
        case CoordinateSpace.THOUSAND:
            return 999, 999
        case CoordinateSpace.NORMALISED:
            return 0.9999, 0.9999
