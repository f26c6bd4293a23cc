"""What a store holds that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OnDamage = Literal["raise", "skip"]
"""Stop at the first damage, or leave out what is damaged and list it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something in a store that cannot be read, and what to do about it."""

    file: str
    message: str
    row: int | None = None
    episode_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What `TrajectoryStore.validate` found."""

    num_episodes: int
    num_steps: int
    num_screenshots: int
    num_unreferenced_screenshots: int
    num_torn_files: int
    damage: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was committed can be read."""
        return not self.damage
