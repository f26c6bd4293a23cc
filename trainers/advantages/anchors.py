"""Options that say what makes two states of the world the same.

States are the anchors of GiGPO and the nodes of SALT's graph. How states get the names that estimators
compare is in `trainers.state_names`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gui_agent.errors import ConfigError
from trainers.advantages.states import HammingTolerance, SameState, TextSimilarity

_HASH_CELLS: Final = 32


class Anchor(StrEnum):
    """What names a state."""

    STATE_KEY = "state_key"
    """The device's own key: the whole state of the virtual phone, the pixels of a browser's page."""
    SCREENSHOT = "screenshot"
    """The exact picture."""
    PERCEPTUAL = "perceptual"
    """What the picture looks like, see `perceptual_hash`."""
    UI_TREE = "ui_tree"
    """Every widget with its place; whether a switch is on is no part of it."""
    UI_TEXT = "ui_text"
    """The widgets in words, without their places."""

    @property
    def needs_elements(self) -> bool:
        """Whether the widgets must be recorded."""
        return self in (Anchor.UI_TREE, Anchor.UI_TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorOptions:
    """Options of the algorithms that compare states.

    Attributes:
        anchor: what makes two states the same: the device's own state_key, the exact screenshot, a
            perceptual hash of it, or the recorded widgets with their places (ui_tree) or as words
            (ui_text).
        similarity: with ui_text, texts of at least this ratio are the same state (GiGPO's release takes
            0.95); none compares them exactly.
        tolerance_bits: with perceptual, hashes that differ in so many bits are the same state.
        hash_cells: with perceptual, cells along each side of the picture; the hash has two bits per cell.
        ignored_top_px: with screenshot and perceptual, rows of pixels at the top that do not count.
    """

    anchor: Anchor = Anchor.STATE_KEY
    similarity: float | None = None
    tolerance_bits: int = 0
    hash_cells: int = _HASH_CELLS
    ignored_top_px: int = 0

    def __post_init__(self) -> None:
        self._only_with("similarity", self.similarity is not None, Anchor.UI_TEXT)
        self._only_with("tolerance_bits", self.tolerance_bits != 0, Anchor.PERCEPTUAL)
        self._only_with("hash_cells", self.hash_cells != _HASH_CELLS, Anchor.PERCEPTUAL)
        self._only_with("ignored_top_px", self.ignored_top_px != 0, Anchor.SCREENSHOT, Anchor.PERCEPTUAL)
        for name, least in (("tolerance_bits", 0), ("hash_cells", 1), ("ignored_top_px", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if self.similarity is not None:
            TextSimilarity(self.similarity)  # refuses an impossible one

    def _only_with(self, name: str, given: bool, *anchors: Anchor) -> None:
        if given and self.anchor not in anchors:
            raise ConfigError(
                f"{name} is {getattr(self, name)}, but means nothing for the anchor {self.anchor.value}; add "
                f"anchor={' or anchor='.join(anchors)}"
            )

    @property
    def same(self) -> SameState | None:
        """What joins states whose names are not equal; None if nothing does."""
        if self.similarity is not None:
            return TextSimilarity(self.similarity)
        return HammingTolerance(self.tolerance_bits) if self.tolerance_bits else None
