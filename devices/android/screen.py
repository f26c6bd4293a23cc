"""The state of a phone's screen: awake, locked, how large, what is in front, hidden from captures.

Each question is one command line whose answer is searched for the words that matter: the dumps of Android
differ from version to version, and what is not found is "unknown", never a guess.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from devices.android.connection import AdbConnection
from devices.android.touch import send_input
from gui_agent.errors import DeviceError

_OVERRIDE_SIZE: Final = re.compile(r"Override size: (\d+)x(\d+)")
_PHYSICAL_SIZE: Final = re.compile(r"Physical size: (\d+)x(\d+)")
_OVERRIDE_DENSITY: Final = re.compile(r"Override density: (\d+)")
_PHYSICAL_DENSITY: Final = re.compile(r"Physical density: (\d+)")
_WAKEFULNESS: Final = re.compile(r"mWakefulness=(\w+)")
_LOCKED: Final = re.compile(
    r"(?:mDreamingLockscreen|mShowingLockscreen|mKeyguardShowing|isKeyguardShowing)=(true|false)"
)
_FOCUS: Final = re.compile(
    r"(?:mCurrentFocus|mFocusedApp|topResumedActivity|mResumedActivity)[=:]\s*\S+?\{[^}\n]*?\s([\w.]+)/([\w.$]+)"
)
_FOCUSED_WINDOW: Final = re.compile(r"mCurrentFocus=(Window\{[^}\n]+\})")
_STATUS_BAR: Final = re.compile(r"(?:ITYPE_STATUS_BAR|type=statusBars)\D*frame=\[0,0\]\[\d+,(\d+)\]")
_ROTATION: Final = re.compile(r"mCurrentRotation=(?:ROTATION_)?(\d+)")
_WINDOW_FLAGS: Final = re.compile(r"\b(?:fl|flags)=([^\n]*)")
_FLAG_SECURE: Final = 0x2000
_STATUS_BAR_DP: Final = 24
_WAKE_DEADLINE_S: Final = 4.0
_LOOK_AGAIN_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenInfo:
    """What the phone says about its screen.

    Attributes:
        width_px: of the space that taps are given in, upright; an override counts.
        height_px: the same.
        physical: "1080x2400", what the panel has.
        overridden: whether `wm size` was set to something else.
        density_dpi: dots per inch; 160 of them make one pixel a dp.
        rotation: 0, 90, 180 or 270 degrees; None if unknown.
        status_bar_px: height of the bar with the clock.
    """

    width_px: int
    height_px: int
    physical: str
    overridden: bool
    density_dpi: int
    rotation: int | None
    status_bar_px: int


class Screen:
    """Questions to and wishes of one phone's screen."""

    def __init__(self, connection: AdbConnection) -> None:
        """Nothing is asked before the first call."""
        self._connection = connection

    async def info(self) -> ScreenInfo:
        """Size, density and rotation.

        Raises:
            DeviceError: `wm size` says nothing.
        """
        line = "wm size; wm density; dumpsys window | grep -E 'mCurrentRotation|STATUS_BAR|type=statusBars'"
        text = (await self._connection.shell(line)).text
        physical = _PHYSICAL_SIZE.search(text)
        override = _OVERRIDE_SIZE.search(text)
        size = override or physical
        if size is None:
            raise DeviceError(self._connection.message("wm size", f"answered {text[:200]!r}"))
        density = _OVERRIDE_DENSITY.search(text) or _PHYSICAL_DENSITY.search(text)
        density_dpi = int(density[1]) if density else 160
        rotation = _ROTATION.search(text)
        bar = _STATUS_BAR.search(text)
        return ScreenInfo(
            width_px=int(size[1]),
            height_px=int(size[2]),
            physical=f"{physical[1]}x{physical[2]}" if physical else "unknown",
            overridden=override is not None,
            density_dpi=density_dpi,
            rotation=_degrees(int(rotation[1])) if rotation else None,
            status_bar_px=int(bar[1]) if bar else round(_STATUS_BAR_DP * density_dpi / 160),
        )

    async def is_awake(self) -> bool:
        """Whether the screen is on; a phone that does not say counts as awake."""
        result = await self._connection.shell("dumpsys power | grep -E mWakefulness=")
        found = _WAKEFULNESS.search(result.text)
        return found is None or found[1] == "Awake"

    async def is_locked(self) -> bool:
        """Whether the lock screen is shown; a phone that does not say counts as unlocked."""
        line = "dumpsys window | grep -E 'Lockscreen=|KeyguardShowing='"
        return "true" in _LOCKED.findall((await self._connection.shell(line)).text)

    async def wake(self) -> None:
        """Switch the screen on and put a lock screen without a secret aside.

        Raises:
            DeviceError: the screen stays dark, or the lock wants a PIN, a pattern or a finger.
        """
        if not await self.is_awake():
            # 224 wakes only; the power key (26) would switch a screen off that has just come on.
            await send_input(self._connection, ("keyevent", "KEYCODE_WAKEUP"))
            if not await _until(self.is_awake):
                raise DeviceError(
                    self._connection.message(
                        "input keyevent KEYCODE_WAKEUP",
                        "the screen stays off",
                        "press the power key by hand, and look for a battery saver that keeps it off",
                    )
                )
        if not await self.is_locked():
            return
        await self._connection.shell("wm dismiss-keyguard")

        async def unlocked() -> bool:
            return not await self.is_locked()

        if not await _until(unlocked):
            raise DeviceError(
                self._connection.message(
                    "wm dismiss-keyguard",
                    "the lock screen stays",
                    "unlock the phone by hand, or set its screen lock to 'None' or 'Swipe'",
                )
            )

    async def foreground(self) -> str | None:
        """The package in front, or None if the phone does not say."""
        line = "dumpsys window | grep -E 'mCurrentFocus|mFocusedApp'"
        result = await self._connection.shell(line)
        found = _FOCUS.search(result.text)
        if found is None:
            line = "dumpsys activity activities | grep -E 'topResumedActivity|mResumedActivity'"
            found = _FOCUS.search((await self._connection.shell(line)).text)
        return None if found is None else found[1]

    async def is_secure(self) -> bool:
        """Whether the window in front hides its content from captures (FLAG_SECURE)."""
        text = (await self._connection.shell("dumpsys window")).text
        focused = _FOCUSED_WINDOW.search(text)
        blocks = re.split(r"(?m)^\s*Window #\d+ ", text)[1:]
        if focused is not None:
            blocks = [block for block in blocks if block.startswith(focused[1])] or blocks[:1]
        return any(_has_secure_flag(block) for block in blocks[:1])


async def _until(condition: Callable[[], Awaitable[bool]]) -> bool:
    """Whether a condition of the phone comes true before the deadline; each look is a round trip."""
    end_s = time.monotonic() + _WAKE_DEADLINE_S
    while not await condition():
        if time.monotonic() > end_s:
            return False
        await asyncio.sleep(_LOOK_AGAIN_S)
    return True


def _has_secure_flag(block: str) -> bool:
    for flags in _WINDOW_FLAGS.findall(block):
        if re.search(r"\b(?:FLAG_)?SECURE\b", flags):
            return True
        number = re.match(r"#?(?:0x)?([0-9a-fA-F]+)\b", flags)
        if number is not None and int(number[1], 16) & _FLAG_SECURE:
            return True
    return False


def _degrees(value: int) -> int:
    """Old dumps count quarter turns, new ones write degrees."""
    return value * 90 if value < 4 else value
