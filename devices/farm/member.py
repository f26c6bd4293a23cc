"""One device of a farm: its state and its record."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from devices.farm.source import DeviceSource, Identity, Unit
from devices.farm.statistics import DeviceStatistics


class MemberState(StrEnum):
    """What a device is doing."""

    READY = "ready"
    """Waits to be lent."""
    LEASED = "leased"
    CHECKING = "checking"
    """Is being probed, reconnected or restarted."""
    QUARANTINED = "quarantined"
    """Rests before the next try."""
    DUPLICATE = "duplicate"
    """Is another device's second name; used if that one is given up."""
    LOST = "lost"
    """Was given up."""


@dataclass(slots=True, eq=False)
class Member:
    """A unit in a farm.

    Attributes:
        unit: the device.
        source: where it comes from.
        state: what it is doing.
        since_s: on the farm's clock, when that began.
        identity: what it said when it was first asked; None before.
        failures: faults and vain recoveries since its last episode without a fault.
        reason: why it is not ready, for people.
        statistics: counts.
    """

    unit: Unit
    source: DeviceSource
    state: MemberState = MemberState.CHECKING
    since_s: float = 0.0
    identity: Identity | None = None
    failures: int = 0
    reason: str = ""
    statistics: DeviceStatistics = field(default_factory=DeviceStatistics)

    @property
    def name(self) -> str:
        """How the device is reached."""
        return self.unit.name

    @property
    def can_be_lent(self) -> bool:
        """Whether it is, or may become, one of the devices to lend."""
        return self.state not in (MemberState.DUPLICATE, MemberState.LOST)

    @property
    def has_a_place(self) -> bool:
        """Whether it was lent, or was ready to be; false while it is looked at for the first time."""
        is_ready = self.state in (MemberState.READY, MemberState.LEASED)
        return is_ready or (self.can_be_lent and self.failures > 0)

    def to_json(self, now_s: float) -> dict[str, Any]:
        """As in farm.json."""
        counted = self.statistics.to_json()
        if self.state is MemberState.QUARANTINED:
            counted["quarantined_s"] = round(counted["quarantined_s"] + now_s - self.since_s, 3)
        return {
            "name": self.name,
            "source": self.source.name,
            "id": "" if self.identity is None else self.identity.device,
            "state": str(self.state),
            "for_s": round(now_s - self.since_s, 1),
            "failures": self.failures,
            "reason": self.reason,
            **counted,
        }
