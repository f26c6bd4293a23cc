"""What happened on a farm, newest last."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

_NUM_KEPT: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmEvent:
    """One thing that happened.

    Attributes:
        at_s: seconds since 1970.
        device: its name; "" for the farm itself.
        what: "fault", "quarantined", "recovered", "lost", …
        detail: for people.
    """

    at_s: float
    device: str
    what: str
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """As in farm.json."""
        return asdict(self)


class EventLog:
    """The newest events of a farm."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._events: deque[FarmEvent] = deque(maxlen=_NUM_KEPT)

    def __iter__(self) -> Iterator[FarmEvent]:
        return iter(self._events)

    def add(self, device: str, what: str, detail: str = "") -> None:
        """Something happened now."""
        first_line = detail.partition("\n")[0]
        self._events.append(FarmEvent(at_s=time.time(), device=device, what=what, detail=first_line))

    def newest(self, count: int) -> list[FarmEvent]:
        """The last so many, oldest first."""
        return list(self._events)[-count:]
