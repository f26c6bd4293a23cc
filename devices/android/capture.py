"""Pictures of the screen: the fastest honest way for each phone.

`screencap` writes raw pixels, `screencap -p` a PNG. Raw is quick over a cable, where encoding on the phone
is the slow part, and slow over a thin link, where raw pixels squeezed by gzip come first; which one it is is
measured once per phone. A picture counts only if it is whole: every row of a raw frame, or every chunk of a
PNG with its checksum up to the end. What is not whole is taken again, and in the end it is a `CaptureError`:
there is no picture to stand in for it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from devices.android.connection import AdbConnection
from gui_agent.errors import CaptureError, DeviceError, DeviceTimeoutError

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_WORDS_BEFORE_BYTES: Final = 4096
"""Warnings in front of a picture (phones with two displays) are shorter than this."""
_RAW_HEADERS_BYTES: Final = (16, 12)  # with the colour space since Android 9, without it before
_LARGEST_SIDE_PX: Final = 20_000
_SLOW_RAW_S: Final = 0.15
_SEVERAL_DISPLAYS: Final = b"[Warning] Multiple displays"
_DISPLAY: Final = re.compile(r"Display (\d+) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class _PixelFormat:
    bytes_per_pixel: int
    raw_mode: str


_FORMATS: Final = {  # numbers of android.graphics.PixelFormat
    1: _PixelFormat(bytes_per_pixel=4, raw_mode="RGBX"),
    2: _PixelFormat(bytes_per_pixel=4, raw_mode="RGBX"),
    3: _PixelFormat(bytes_per_pixel=3, raw_mode="RGB"),
    4: _PixelFormat(bytes_per_pixel=2, raw_mode="BGR;16"),
    5: _PixelFormat(bytes_per_pixel=4, raw_mode="BGRX"),
}


class CaptureMode(StrEnum):
    """How pictures travel."""

    AUTO = "auto"
    """Whichever was faster when both were tried."""
    RAW = "raw"
    PNG = "png"
    GZIP = "gzip"
    """Raw, compressed on the phone; tried where raw is slow."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One whole picture of the screen.

    Attributes:
        pixels: shape (height, width, 3), uint8, RGB.
    """

    pixels: npt.NDArray[np.uint8]

    @property
    def width_px(self) -> int:
        """Width as shown, after rotation."""
        return int(self.pixels.shape[1])

    @property
    def height_px(self) -> int:
        """Height as shown, after rotation."""
        return int(self.pixels.shape[0])

    def image(self) -> Image.Image:
        """As a Pillow picture."""
        return Image.fromarray(self.pixels)

    def below(self, status_bar_px: int) -> npt.NDArray[np.uint8]:
        """The rows under the status bar, whose clock says nothing about the state of the world."""
        return self.pixels[min(status_bar_px, self.height_px - 1) :]

    def same_below(self, other: Frame, status_bar_px: int) -> bool:
        """Whether both show the same under the status bar."""
        return np.array_equal(self.below(status_bar_px), other.below(status_bar_px))

    def key(self, status_bar_px: int) -> str:
        """Equal for pictures of equal size with equal pixels under the status bar."""
        digest = hashlib.sha256(f"{self.width_px}x{self.height_px}".encode())
        digest.update(self.below(status_bar_px).data)
        return digest.hexdigest()

    @cached_property
    def is_black(self) -> bool:
        """Whether everything but the bars at the upper and lower end is black."""
        height = self.height_px
        return not self.pixels[height // 8 : height - height // 8].any()


class Capturer:
    """Takes pictures of one phone.

    Args:
        connection: the phone.
        mode: how; AUTO tries both ways at the first picture.
        display_id: which display of several, as `dumpsys SurfaceFlinger --display-id` numbers them; ""
            takes the only one, or the first.
        timeout_s: for one try.
        tries: how often an incomplete picture is taken again, at least 1.
    """

    def __init__(
        self,
        connection: AdbConnection,
        *,
        mode: CaptureMode = CaptureMode.AUTO,
        display_id: str = "",
        timeout_s: float = 10.0,
        tries: int = 3,
    ) -> None:
        """Nothing is sent before the first picture."""
        self._connection = connection
        self.mode = mode
        self.display_id = display_id
        self._timeout_s = timeout_s
        self._tries = tries
        self._buffer = bytearray()

    async def frame(self) -> Frame:
        """A whole picture.

        Raises:
            CaptureError: no try gave one.
            DeviceTimeoutError: the phone did not answer in time.
            DeviceError: the phone is not there.
        """
        if self.mode is CaptureMode.AUTO:
            return await self._calibrated()
        for attempt in range(1, self._tries + 1):
            try:
                return await self._once(self.mode)
            except CaptureError as error:
                if attempt == self._tries:
                    raise CaptureError(f"{error} ({attempt} tries)") from error
        raise AssertionError("tries is at least 1")

    async def _calibrated(self) -> Frame:
        """Take all kinds, keep the faster one; a kind that does not work here is the slower one."""
        took_s: dict[CaptureMode, float] = {}
        frame: Frame | None = None
        failure: DeviceError | None = None
        for mode in (CaptureMode.PNG, CaptureMode.RAW, CaptureMode.GZIP):
            if mode is CaptureMode.GZIP and took_s.get(CaptureMode.RAW, 0.0) < _SLOW_RAW_S:
                break
            start_s = time.perf_counter()
            try:
                frame = await self._once(mode)
            except DeviceTimeoutError as error:
                failure = error
                if frame is None:
                    raise  # a phone that hangs is not asked twice
            except CaptureError as error:
                failure = error
            else:
                took_s[mode] = time.perf_counter() - start_s
        if frame is None:
            assert failure is not None
            raise failure
        self.mode = min(took_s, key=lambda mode: took_s[mode])
        return frame

    async def _once(self, mode: CaptureMode) -> Frame:
        words = ["screencap", *(["-p"] if mode is CaptureMode.PNG else [])]
        words += ["-d", self.display_id] if self.display_id else []
        # gzip -1: the faster it is, the better; warnings would be squeezed into the stream.
        line = " ".join(words) + (" 2>/dev/null | gzip -1" if mode is CaptureMode.GZIP else "")
        data = await self._connection.exec_out(line, timeout_s=self._timeout_s, buffer=self._buffer)
        try:
            with data:  # the picture is a copy, so that the next one may use the buffer
                assert isinstance(data.obj, bytearray)
                self._buffer = data.obj
                warned = bytes(data[: len(_SEVERAL_DISPLAYS)]) == _SEVERAL_DISPLAYS
                frame = _FRAMES[mode](data)
        except _IncompleteError as error:
            remedy = (
                "nothing stands in for a missing picture: check that the phone is on and the link whole with "
                f"`gui-agent devices doctor {self._connection.serial}`"
            )
            raise CaptureError(self._connection.message(line, str(error), remedy)) from error
        if warned and not self.display_id:
            self.display_id = await self._first_display()
        return frame

    async def _first_display(self) -> str:
        """A phone with several displays may show another one each time, unless one is named."""
        result = await self._connection.shell("dumpsys SurfaceFlinger --display-id")
        found = _DISPLAY.search(result.text)
        return found[1] if found else ""


class _IncompleteError(Exception):
    """The bytes are no whole picture."""


def _raw_frame(data: memoryview) -> Frame:
    for start in _line_starts(data):
        header = _raw_header(data[start:])
        if header is not None:
            return header
    raise _IncompleteError(f"no raw picture in {len(data)} bytes, which begin {_quoted(data)}")


def _gzip_frame(data: memoryview) -> Frame:
    try:
        return _raw_frame(memoryview(gzip.decompress(data)))
    except (OSError, EOFError, zlib.error) as error:
        raise _IncompleteError(f"no gzip of a picture in {len(data)} bytes ({error})") from error


def _raw_header(data: memoryview) -> Frame | None:
    """The picture if a header stands here; `_IncompleteError` if rows are missing."""
    if len(data) < 12:
        return None
    width_px, height_px, number = struct.unpack_from("<3I", data)
    pixel_format = _FORMATS.get(number)
    if pixel_format is None or not (0 < width_px < _LARGEST_SIDE_PX and 0 < height_px < _LARGEST_SIDE_PX):
        return None
    size = width_px * height_px * pixel_format.bytes_per_pixel
    for header_bytes in _RAW_HEADERS_BYTES:
        if len(data) == header_bytes + size:
            return Frame(pixels=_rgb(data[header_bytes:], width_px, height_px, pixel_format))
    row_bytes = width_px * pixel_format.bytes_per_pixel
    rows = max(0, len(data) - _RAW_HEADERS_BYTES[0]) / row_bytes
    raise _IncompleteError(f"{rows:.1f} of {height_px} rows of a {width_px}x{height_px} picture came")


def _rgb(
    data: memoryview, width_px: int, height_px: int, pixel_format: _PixelFormat
) -> npt.NDArray[np.uint8]:
    if pixel_format.bytes_per_pixel == 4:
        return _three_of_four(data, width_px, height_px, pixel_format.raw_mode)
    size_px = (width_px, height_px)
    return np.asarray(Image.frombytes("RGB", size_px, bytes(data), "raw", pixel_format.raw_mode, 0, 1))


def _three_of_four(data: memoryview, width_px: int, height_px: int, order: str) -> npt.NDArray[np.uint8]:
    """The colours without the fourth byte; plane by plane is ten times as fast as one strided copy."""
    with_fourth = np.frombuffer(data, np.uint8).reshape(-1, 4)
    pixels = np.empty((width_px * height_px, 3), np.uint8)
    for target, letter in enumerate("RGB"):
        pixels[:, target] = with_fourth[:, order.index(letter)]
    return pixels.reshape(height_px, width_px, 3)


def _png_frame(data: memoryview) -> Frame:
    at = bytes(data[:_WORDS_BEFORE_BYTES]).find(_PNG_SIGNATURE)
    if at < 0:
        raise _IncompleteError(f"no PNG in {len(data)} bytes, which begin {_quoted(data)}")
    end = _png_end(data, at + len(_PNG_SIGNATURE))
    try:
        with Image.open(io.BytesIO(data[at:end])) as image:
            # A conversion to the same mode would be one more copy.
            return Frame(pixels=np.asarray(image if image.mode == "RGB" else image.convert("RGB")))
    except (OSError, SyntaxError, ValueError) as error:
        raise _IncompleteError(f"a PNG of {end - at} bytes does not decode ({error})") from error


def _png_end(data: memoryview, at: int) -> int:
    """Where the PNG's last chunk ends; every chunk must be there and match its checksum."""
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end: int = at + 12 + length
        if end > len(data):
            break
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(data[at + 4 : end - 4]) != checksum:
            raise _IncompleteError(f"the PNG is damaged: a checksum is wrong at byte {at} of {len(data)}")
        if bytes(data[at + 4 : at + 8]) == b"IEND":
            return end
        at = end
    raise _IncompleteError(f"the PNG breaks off after {len(data)} bytes")


def _line_starts(data: memoryview) -> Iterator[int]:
    """Where a picture may begin: at the start, or after each line of words before it."""
    yield 0
    head = bytes(data[:_WORDS_BEFORE_BYTES])
    yield from (index + 1 for index, byte in enumerate(head) if byte == 0x0A)


_FRAMES: Final[Mapping[CaptureMode, Callable[[memoryview], Frame]]] = {
    CaptureMode.RAW: _raw_frame,
    CaptureMode.PNG: _png_frame,
    CaptureMode.GZIP: _gzip_frame,
}


def _quoted(data: memoryview) -> str:
    return repr(bytes(data[:120]).decode(errors="replace")) if len(data) else "with nothing"
