"""Ctrl-C and SIGTERM for commands that hold devices, which are given back before the command ends."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


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


def run_holding_devices(command: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, ended by SIGTERM as by Ctrl-C: what the command has borrowed or changed is put back.

    In another thread than the main one, which hears no signals, it is `asyncio.run`.
    """
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(command)
    before = signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        return asyncio.run(command)
    finally:
        signal.signal(signal.SIGTERM, before)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    if callable(on_ctrl_c):
        on_ctrl_c(signal.SIGINT, frame)
    else:  # what a script starts in the background ignores Ctrl-C, but not this
        raise KeyboardInterrupt
