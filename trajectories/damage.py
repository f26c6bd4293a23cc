"""What a store holds that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OnDamage(StrEnum):
    """What to do about an episode that cannot be read, converted or replayed."""

    RAISE = "raise"
    """Stop there; in a training before it begins, at a broken picture when it is first shown."""
    SKIP = "skip"
    """Leave it out, say where and why, and count it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something in a store that cannot be read, and what to do about it.

    Attributes:
        file: where it is.
        message: what it is.
        row: of the file, from 0; None for the file as a whole.
        episode_id: what cannot be read with it.
        newer_schema: it is whole, but a newer program wrote it.
    """

    file: str
    message: str
    row: int | None = None
    episode_id: str | None = None
    newer_schema: bool = False
