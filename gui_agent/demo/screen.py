"""The newest screen of the device, numbered, and who waits for a newer one."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from gui_agent.demo.frames import Frame
from gui_agent.observation import Observation

_REMEMBERED: Final = 64
"""So many frames back, a page may still point at one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenScreen:
    """What is remembered of a frame."""

    sha256: str
    width_px: int
    height_px: int


class ScreenFeed:
    """Numbers the screens that differ from the one before and keeps the newest; nothing queues up.

    Attributes:
        newest: the last one, or None before the first look.
        hidden: the window that was seen last does not let itself be captured: its picture is black.
    """

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self.newest: Frame | None = None
        self.hidden = False
        self._recent: OrderedDict[int, SeenScreen] = OrderedDict()
        self._changed = asyncio.Event()

    def show(self, observation: Observation) -> Frame:
        """Take in a look at the device; a screen like the one before keeps its number."""
        screenshot, self.hidden = observation.screenshot, observation.secure
        if self.newest is not None and self.newest.screenshot.sha256 == screenshot.sha256:
            return self.newest
        number = 1 if self.newest is None else self.newest.number + 1
        self.newest = Frame(number=number, screenshot=screenshot, captured_s=time.time())
        self._recent[number] = SeenScreen(
            sha256=screenshot.sha256, width_px=screenshot.width_px, height_px=screenshot.height_px
        )
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        self._changed.set()
        self._changed = asyncio.Event()
        return self.newest

    def number_of(self, observation: Observation) -> int:
        """The frame of a look that was taken in; one of long ago is taken in anew."""
        wanted = observation.screenshot.sha256
        found = (number for number in reversed(self._recent) if self._recent[number].sha256 == wanted)
        return next(found, 0) or self.show(observation).number

    def sha256_of(self, number: int) -> str | None:
        """The picture of a frame, or None if it is too long ago or never was."""
        found = self._recent.get(number)
        return None if found is None else found.sha256

    def has_turned(self, number: int) -> bool:
        """Whether the screen has another size now than in that frame: its points are no longer there."""
        found, newest = self._recent.get(number), self.newest
        if found is None or newest is None:
            return False
        now = newest.screenshot
        return (found.width_px, found.height_px) != (now.width_px, now.height_px)

    async def newer_than(self, number: int) -> Frame:
        """The newest frame, as soon as it is newer than that one."""
        while self.newest is None or self.newest.number <= number:
            await self._changed.wait()
        return self.newest
