"""Looking at a phone: at the right moment, and never at a picture that lies."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from devices.android.capture import Capturer, Frame
from devices.android.connection import AdbConnection
from devices.android.input_space import InputSpace
from devices.android.screen import Screen, ScreenInfo
from devices.android.settings import AndroidSettings
from devices.android.tasks import TaskChannel
from devices.android.ui_tree import read_ui_tree
from gui_agent.errors import CaptureError


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A picture that can be believed.

    Attributes:
        frame: the picture.
        secure: it is black because the window does not let itself be captured.
    """

    frame: Frame
    secure: bool = False


class ScreenObserver:
    """Takes pictures of one phone and remembers what was shown last.

    Args:
        connection: the phone.
        capturer: takes its pictures.
        screen: says what they do not.
        settings: how long to wait for it to rest.
        channel: what is known of the phone beside adb.

    Attributes:
        shown_px: width and height of the last picture shown; None before the first.
    """

    def __init__(
        self,
        connection: AdbConnection,
        *,
        capturer: Capturer,
        screen: Screen,
        settings: AndroidSettings,
        channel: TaskChannel | None,
    ) -> None:
        """Nothing is sent before the first look."""
        self._connection = connection
        self._capturer = capturer
        self._screen = screen
        self._settings = settings
        self._channel = channel
        self._info: ScreenInfo | None = None
        self._info_for_px = (0, 0)
        self._is_moving = False
        self.shown_px: tuple[int, int] | None = None

    @property
    def draws_at_once(self) -> bool:
        """Whether the first picture after an action shows its result, so that nothing is waited for."""
        return self._channel is not None and self._channel.draws_at_once

    @property
    def rests(self) -> bool:
        """Whether the next picture is the first one that is taken: nothing is expected to move."""
        return not self._is_moving or self.draws_at_once or not self._settings.settle_timeout_s

    def expect_change(self) -> None:
        """Something was done to the phone: the next picture waits until the screen rests."""
        self._is_moving = True

    def forget_picture(self) -> None:
        """The phone was set to another state, on a screen of the same kind."""
        self.shown_px = None
        self.expect_change()

    def forget_screen(self) -> None:
        """Whatever was known of the screen may have changed."""
        self._info = None
        self.forget_picture()

    async def settled(self) -> Frame:
        """A picture that two looks agree on, or the last one when the time is up."""
        frame = await self._capturer.frame()
        if self.rests:
            return frame
        bar_px = await self.status_bar_px(frame)
        end_s = time.monotonic() + self._settings.settle_timeout_s
        while time.monotonic() < end_s:
            await asyncio.sleep(self._settings.settle_interval_s)
            later = await self._capturer.frame()
            if _size_of(later) == _size_of(frame) and later.same_below(frame, bar_px):
                return later
            frame = later
        return frame

    async def explained(self, frame: Frame) -> Look:
        """The picture itself; if it is black: the screen is off, the window hides itself, or it lies.

        Raises:
            CaptureError: widgets are on the screen, but the picture stays black.
        """
        if not frame.is_black:
            return Look(frame=frame)
        await self._screen.wake()
        frame = await self._capturer.frame()
        if not frame.is_black:
            return Look(frame=frame)
        if await self._screen.is_secure():
            return Look(frame=frame, secure=True)
        tree = await read_ui_tree(self._connection)
        frame = await self._capturer.frame()
        if frame.is_black and tree.elements():
            names = ", ".join(repr(element.name) for element in tree.elements()[:3])
            raise CaptureError(
                self._connection.message(
                    "screencap",
                    f"a black picture, though the screen is on and shows {names}",
                    "restart the phone or emulator; on an emulator try another graphics mode (-gpu)",
                )
            )
        return Look(frame=frame)

    async def show(self, frame: Frame) -> None:
        """Let this be the picture that coordinates are meant in."""
        self._is_moving = False
        await self._measure(frame)

    async def input_space(self) -> InputSpace:
        """Where pixels of the last picture shown lie for the phone; takes one if there was none."""
        if self.shown_px is None or self._info is None:
            await self._measure(await self._capturer.frame())
        assert self.shown_px is not None
        assert self._info is not None
        return InputSpace.of(self.shown_px, self._info)

    async def status_bar_px(self, frame: Frame) -> int:
        """Height of the status bar in this picture."""
        info = await self._screen_info(frame)
        return info.status_bar_px if self._channel is None else self._channel.status_bar_px

    async def _measure(self, frame: Frame) -> None:
        self.shown_px = _size_of(frame)
        await self._screen_info(frame)

    async def _screen_info(self, frame: Frame) -> ScreenInfo:
        """What the phone says about its screen, asked again whenever the picture has another size."""
        size_px = _size_of(frame)
        if self._info is None or self._info_for_px != size_px:
            self._info, self._info_for_px = await self._screen.info(), size_px
        return self._info


def _size_of(frame: Frame) -> tuple[int, int]:
    return frame.width_px, frame.height_px
