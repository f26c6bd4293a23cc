"""How a screen travels: one binary message per frame, a header of 24 bytes and then an encoded picture.

    offset  bytes  big-endian
    0       1      version of the header, 1
    1       1      picture: 1 PNG, 2 JPEG, 3 WebP
    2       2      0
    4       4      number of the frame, from 1, rising
    8       4      width in pixels, of the device's screen
    12      4      height in pixels
    16      8      when the device was looked at: seconds since 1970, IEEE 754 double
    24      …      the picture

The picture may be encoded anew, but always has the screen's size in pixels, so that a point of it is a point
of the screen. The page answers every frame with `{"type": "seen", "frame": N}` when it is drawn; until then
at most `MAX_UNSEEN` are under way and the newest one replaces those that wait.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Final

from gui_agent.observation import Screenshot

HEADER: Final = struct.Struct(">BBHIIId")
MAX_UNSEEN: Final = 2
"""Frames that may be on their way to one page."""
_VERSION: Final = 1
_KINDS: Final = {"image/png": 1, "image/jpeg": 2, "image/webp": 3}
_LARGE_BYTES: Final = 300_000
"""Larger pictures are sent as JPEG: to the eye the same, and a tenth of the size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One screen of the device.

    Attributes:
        number: from 1, rising.
        screenshot: as captured.
        captured_s: seconds since 1970.
    """

    number: int
    screenshot: Screenshot
    captured_s: float


def is_large(frame: Frame) -> bool:
    """Whether the picture is encoded anew, which takes some 20 ms."""
    return len(frame.screenshot.data) > _LARGE_BYTES


def encode_frame(frame: Frame) -> bytes:
    """The message that carries a frame; large pictures become JPEG."""
    shown = frame.screenshot
    data, media_type = shown.data, shown.media_type
    if is_large(frame):
        buffer = io.BytesIO()
        shown.image().save(buffer, "JPEG", quality=85)
        data, media_type = buffer.getvalue(), "image/jpeg"
    header = HEADER.pack(
        _VERSION, _KINDS[media_type], 0, frame.number, shown.width_px, shown.height_px, frame.captured_s
    )
    return header + data


def decode_frame(message: bytes) -> Frame:
    """The frame that a message carries, for clients in Python and tests.

    Raises:
        ImageDecodeError: the picture is damaged.
        ValueError: the header is none of this version.
    """
    if len(message) < HEADER.size or message[0] != _VERSION:
        raise ValueError(f"{len(message)} bytes are no frame of version {_VERSION}")
    _, _, _, number, width_px, height_px, captured_s = HEADER.unpack_from(message)
    screenshot = Screenshot.from_bytes(message[HEADER.size :], origin=f"frame {number}")
    assert (screenshot.width_px, screenshot.height_px) == (width_px, height_px)
    return Frame(number=number, screenshot=screenshot, captured_s=captured_s)
