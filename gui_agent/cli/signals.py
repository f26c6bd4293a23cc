"""Ctrl-C, and a request to end, as a call in the event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def calls_at_ctrl_c(call: Callable[[], object]) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM call something in the running loop instead of what they did before.

    For the main thread. `loop.add_signal_handler` would do the same, and does not exist on Windows.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
