"""Fingers and keys: the `input` command, whose complaints are read.

`input` can fail with exit code 0 and a stack trace, and most often does so for one reason: phones of some
makers let nobody inject events before a second switch in the developer options is on.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from devices.android.connection import AdbConnection
from gui_agent.actions import Direction
from gui_agent.errors import DeviceError

SWIPE_MS: Final = 300
DRAG_MS: Final = 1000
SCROLL_MS: Final = 500
"""Slow enough that no fling follows: the content moves as far as the finger."""

_SCROLL_SHARE: Final = 0.5
"""Share of the screen that a scroll moves."""

INJECT_REMEDY: Final = (
    "the phone lets nobody tap: switch on 'USB debugging (Security settings)' in the developer options "
    "(Xiaomi, Redmi, POCO; it needs a signed-in account) or 'Disable permission monitoring' (Oppo, OnePlus, "
    "realme, vivo), then connect again"
)


async def send_input(
    connection: AdbConnection, arguments: Sequence[str], *, extra_s: float = 0.0, times: int = 1
) -> None:
    """Run one `input` command and read what it says.

    Args:
        connection: the phone.
        arguments: such as ("tap", "10", "20").
        extra_s: how long the gesture itself takes.
        times: run it so often in one line, for taps that must follow each other quickly.

    Raises:
        DeviceError: the phone refused or failed; the message says what to do.
        DeviceTimeoutError: it did not answer in time.
    """
    words = ["input", *arguments]
    line = " && ".join([shlex.join(words)] * times)
    result = await connection.shell(line, timeout_s=connection.timeout_s + extra_s)
    said = (result.stdout + result.stderr).decode(errors="replace")
    if "INJECT_EVENTS" in said:
        raise DeviceError(
            connection.message(line, f"exit code {result.exit_code}: SecurityException", INJECT_REMEDY)
        )
    if result.exit_code != 0 or "Exception" in said or said.lstrip().startswith("Error"):
        raise DeviceError(connection.message(line, f"exit code {result.exit_code}: {result.complaint}"))


def swipe(x: int, y: int, to_x: int, to_y: int, duration_ms: int) -> Sequence[str]:
    """The arguments of a swipe; one that stays where it is, is a long press."""
    return ("swipe", *(str(value) for value in (x, y, to_x, to_y, duration_ms)))


def drag(x: int, y: int, to_x: int, to_y: int) -> Sequence[str]:
    """The arguments of holding something and moving it."""
    return ("draganddrop", *(str(value) for value in (x, y, to_x, to_y, DRAG_MS)))


def scroll_path(
    direction: Direction, x: int, y: int, width_px: int, height_px: int
) -> tuple[int, int, int, int]:
    """The way of a finger that brings content in a direction into view: half a screen, around a point.

    Returns:
        (x, y, to_x, to_y) inside the screen.
    """
    along_x = direction in (Direction.LEFT, Direction.RIGHT)
    sign = -1 if direction in (Direction.DOWN, Direction.RIGHT) else 1  # the finger goes the other way
    length = round((width_px if along_x else height_px) * _SCROLL_SHARE)
    if along_x:
        start, end = _inside(x - sign * length // 2, length * sign, width_px)
        return start, y, end, y
    start, end = _inside(y - sign * length // 2, length * sign, height_px)
    return x, start, x, end


def _inside(start: int, move: int, size: int) -> tuple[int, int]:
    """A way of the same length moved so that both ends lie away from the edges, where gestures begin."""
    margin = size // 10
    low, high = min(start, start + move), max(start, start + move)
    shift = max(0, margin - low) - max(0, high - (size - 1 - margin))
    return start + shift, start + move + shift
