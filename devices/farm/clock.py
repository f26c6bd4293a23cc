"""The time that a farm lives by: the system's, or one that a test turns by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where a farm takes the time from.

    Attributes:
        now_s: seconds since some moment; never goes back.
        sleep: waits so many seconds.
    """

    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
