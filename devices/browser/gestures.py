"""Mouse events, as the DevTools protocol wants them, for what an agent can do with a pointer."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from devices.browser.page import BrowserPage
from gui_agent.actions import Direction

_DRAG_STEPS: Final = 6
"""Moves between press and release: drag-and-drop code ignores a pointer that jumps."""

_UNIT: Final = {
    Direction.UP: (0, -1),
    Direction.DOWN: (0, 1),
    Direction.LEFT: (-1, 0),
    Direction.RIGHT: (1, 0),
}


async def click(page: BrowserPage, x: int, y: int, *, times: int = 1) -> None:
    """Left-click a point once, or `times` in quick succession."""
    events = [_moved(x, y)]
    for count in range(1, times + 1):
        events += [_pressed(x, y, count), _released(x, y, count)]
    await page.mouse(*events)


async def long_press(page: BrowserPage, x: int, y: int, *, duration_s: float) -> None:
    """Hold the left button on a point for `duration_s` seconds."""
    await page.mouse(_moved(x, y), _pressed(x, y, 1))
    await asyncio.sleep(duration_s)  # The duration is the action itself, no wait for a condition.
    await page.mouse(_released(x, y, 1))


async def drag(page: BrowserPage, x: int, y: int, to_x: int, to_y: int) -> None:
    """Press at (x, y), move in small steps and release at (to_x, to_y)."""
    await page.mouse(_moved(x, y), _pressed(x, y, 1))
    for step in range(1, _DRAG_STEPS + 1):
        share = step / _DRAG_STEPS
        await page.mouse(_moved(x + (to_x - x) * share, y + (to_y - y) * share, held=True))
    await page.mouse(_released(to_x, to_y, 1))


async def scroll(page: BrowserPage, direction: Direction, x: int, y: int) -> None:
    """Turn the wheel over (x, y) so that content that lies in `direction` comes into view."""
    across, down = _UNIT[direction]
    settings = page.settings
    await wheel(
        page,
        x,
        y,
        delta_x=across * settings.width_px * settings.scroll_fraction,
        delta_y=down * settings.height_px * settings.scroll_fraction,
    )


async def wheel(page: BrowserPage, x: int, y: int, *, delta_x: float, delta_y: float) -> None:
    """Move the content under (x, y) by that many pixels; positive shows what is right or below."""
    event = {"type": "mouseWheel", "x": x, "y": y, "deltaX": delta_x, "deltaY": delta_y}
    await page.mouse(_moved(x, y), event)


async def park(page: BrowserPage) -> None:
    """Move the pointer to the corner, so that no widget is drawn as hovered."""
    await page.mouse(_moved(0, 0))


def _moved(x: float, y: float, *, held: bool = False) -> dict[str, Any]:
    button = {"button": "left", "buttons": 1} if held else {"button": "none", "buttons": 0}
    return {"type": "mouseMoved", "x": x, "y": y, **button}


def _pressed(x: int, y: int, count: int) -> dict[str, Any]:
    return {"type": "mousePressed", "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": count}


def _released(x: int, y: int, count: int) -> dict[str, Any]:
    return {"type": "mouseReleased", "x": x, "y": y, "button": "left", "buttons": 0, "clickCount": count}
