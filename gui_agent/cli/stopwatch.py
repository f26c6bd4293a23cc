"""What a command cost."""

from __future__ import annotations

import os
import time


class Stopwatch:
    """CPU and wall seconds since it was made; CPU of this process, finished children included."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = _cpu_seconds(), time.perf_counter()

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far."""
        return _cpu_seconds() - self._cpu_s

    @property
    def wall_s(self) -> float:
        """Wall-clock seconds so far."""
        return time.perf_counter() - self._wall_s


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
