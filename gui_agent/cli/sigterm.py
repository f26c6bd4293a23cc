"""SIGTERM as Ctrl-C: a command that holds devices gives them back before it ends."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


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
