"""One deadline over everything that is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from gui_agent.errors import DeviceTimeoutError

T = TypeVar("T")


async def within(limit_s: float, work: Awaitable[T], what: str) -> T:
    """The result of `work`, which is cancelled when the time is up.

    Args:
        limit_s: in seconds.
        work: does not swallow its cancellation.
        what: begins the message: "device X: reset".

    Raises:
        DeviceTimeoutError: the time was up; one that `work` raised itself passes unchanged.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await work
    except DeviceTimeoutError:
        raise
    except TimeoutError as error:
        raise DeviceTimeoutError(f"{what} did not end within {limit_s:g} s") from error
