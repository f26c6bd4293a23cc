"""Coordinates as a JSON episode writes them, in the unit that it names, made pixels of the screen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gui_agent.actions import Action, action_from_dict
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry, to_screen
from gui_agent.errors import DataError
from gui_agent.observation import Box
from trajectories.convert import ScreenSize
from trajectories.json_fields import Fields, is_number, shown, wrong


class Points(StrEnum):
    """The unit of all coordinates of an episode, on each axis; origin at the upper left corner."""

    PIXELS = "pixels"
    """Whole pixels of the screenshot."""
    FRACTIONS = "fractions"
    """0 to 1 of the screen."""
    THOUSANDTHS = "thousandths"
    """0 to 1000."""


_SPACES: Final[Mapping[Points, CoordinateSpace]] = {
    Points.FRACTIONS: CoordinateSpace.NORMALISED,
    Points.THOUSANDTHS: CoordinateSpace.THOUSAND,
}
_FULL: Final[Mapping[Points, int]] = {Points.FRACTIONS: 1, Points.THOUSANDTHS: 1000}
_LARGEST: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class PointReader:
    """Reads actions and boxes of one step.

    Attributes:
        unit: of what is read.
        screen: size of the screen; may be unknown only where the unit is pixels, which are then not checked.
    """

    unit: Points
    screen: ScreenSize | None

    def action(self, value: Any, place: str, *, anywhere: bool = False) -> Action:
        """An action in pixels.

        Args:
            value: the object, with coordinates in the unit.
            place: where it stands.
            anywhere: points may lie outside the screen, as those that a model asks for.

        Raises:
            DataError: it is none, or points outside the screen.
        """
        given = Fields.of(value, place).data
        pixels = {
            key: self._point(number, f"{place}.{key}", anywhere=anywhere)
            if key in ("x", "y", "to_x", "to_y") and number is not None
            else number
            for key, number in given.items()
        }
        try:
            return action_from_dict(pixels)
        except DataError as error:
            raise DataError(f"{place} is {shown(given)}; {error}") from error

    def boxes(self, fields: Fields, name: str = "boxes") -> tuple[Box, ...]:
        """The list of boxes in a field; empty where it is not there."""
        places = enumerate(fields.items(name))
        return tuple(self.box(edges, f"{fields.at(name)}[{at}]") for at, edges in places)

    def box(self, edges: Any, place: str) -> Box:
        """A box in pixels; it may reach beyond the screen only where the unit is pixels.

        Raises:
            DataError: it is none, or its right edge is left of its left one, as where width and height
                stand in the place of right and bottom.
        """
        full = _FULL.get(self.unit)
        bounds = "" if full is None else f", each 0 to {full}"
        expected = f"[left, top, right, bottom] in {self.unit}{bounds}"
        if not isinstance(edges, list) or len(edges) != 4:
            raise wrong(place, edges, expected)
        if full is not None and not all(is_number(edge) and 0 <= edge <= full for edge in edges):
            raise wrong(place, edges, expected)
        left, top, right, bottom = (
            self._pixel(edge, place, axis) for edge, axis in zip(edges, "xyxy", strict=True)
        )
        if right < left or bottom < top:
            raise wrong(place, edges, f"{expected}, so that left <= right and top <= bottom")
        return Box(left=left, top=top, right=right, bottom=bottom)

    def _point(self, value: Any, place: str, *, anywhere: bool) -> int:
        axis = place[-1]
        pixel, size_px, full = self._pixel(value, place, axis), self._size_px(axis), _FULL.get(self.unit)
        if anywhere or size_px is None:
            return pixel
        if full is not None:
            if not 0 <= value <= full:
                raise wrong(place, value, f"0 to {full}, because `points` are {self.unit}")
            return min(pixel, size_px - 1)  # the far edge is the last pixel
        if not 0 <= pixel < size_px:
            side = "wide" if axis == "x" else "high"
            raise wrong(place, value, f"0 to {size_px - 1}, because the screen is {size_px} pixels {side}")
        return pixel

    def _pixel(self, value: Any, place: str, axis: str) -> int:
        if not is_number(value) or abs(value) >= _LARGEST:
            raise wrong(place, value, f"a number of {self.unit}")
        if self.unit is Points.PIXELS:
            if value != math.floor(value):
                raise wrong(place, value, "a whole number of pixels; `points` can name another unit")
            return int(value)
        size_px = self._size_px(axis)
        assert size_px is not None, "a unit that depends on the screen is read only where its size is known"
        along = ScreenGeometry(
            width_px=size_px, height_px=size_px, resized_width_px=size_px, resized_height_px=size_px
        )
        return to_screen((value, value), _SPACES[self.unit], along)[0]

    def _size_px(self, axis: str) -> int | None:
        if self.screen is None:
            return None
        return self.screen.width_px if axis == "x" else self.screen.height_px
