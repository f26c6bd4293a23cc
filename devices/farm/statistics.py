"""What is counted of one device."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gui_agent.errors import CaptureError, DeviceError, DeviceTimeoutError


class FaultKind(StrEnum):
    """How a device failed."""

    TIMEOUT = "timeout"
    """A deadline passed."""
    CAPTURE = "capture"
    """There was no honest screenshot."""
    BROKEN = "broken"
    """Any other `DeviceError` of a lent device."""
    SILENT = "silent"
    """It did not answer the probe before a lease."""
    OPENING = "opening"
    """It answered, but could not be made ready to be lent."""
    WRONG_DEVICE = "wrong_device"
    """Another device answers under its name."""
    RETURN = "return"
    """It could not be given back cleanly."""


def fault_kind(error: DeviceError) -> FaultKind:
    """Which kind an error of a lent device is."""
    if isinstance(error, DeviceTimeoutError):
        return FaultKind.TIMEOUT
    return FaultKind.CAPTURE if isinstance(error, CaptureError) else FaultKind.BROKEN


@dataclass(slots=True)
class CallTimes:
    """Times of one kind of call: its successes."""

    count: int = 0
    total_s: float = 0.0
    max_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one call."""
        self.count += 1
        self.total_s += seconds
        self.max_s = max(self.max_s, seconds)

    def to_json(self) -> dict[str, float]:
        """Number, mean and maximum, in milliseconds."""
        mean_s = self.total_s / self.count if self.count else 0.0
        return {
            "count": self.count,
            "mean_ms": round(1000 * mean_s, 2),
            "max_ms": round(1000 * self.max_s, 2),
        }


@dataclass(slots=True)
class DeviceStatistics:
    """Counts of one device since its farm began.

    Attributes:
        leases: how often it was lent.
        episodes: tasks that were started on it.
        faults: by kind.
        reconnects: connections taken up again.
        restarts: starts anew.
        quarantined_s: rested so long in all.
        calls: times by name of the call.
    """

    leases: int = 0
    episodes: int = 0
    faults: Counter[FaultKind] = field(default_factory=Counter)
    reconnects: int = 0
    restarts: int = 0
    quarantined_s: float = 0.0
    calls: dict[str, CallTimes] = field(default_factory=dict)

    def called(self, call: str, seconds: float) -> None:
        """Count a call that succeeded."""
        self.calls.setdefault(call, CallTimes()).add(seconds)

    def to_json(self) -> dict[str, Any]:
        """As in farm.json."""
        return {
            "leases": self.leases,
            "episodes": self.episodes,
            "faults": {str(kind): number for kind, number in sorted(self.faults.items())},
            "reconnects": self.reconnects,
            "restarts": self.restarts,
            "quarantined_s": round(self.quarantined_s, 3),
            "calls": {call: times.to_json() for call, times in sorted(self.calls.items())},
        }
