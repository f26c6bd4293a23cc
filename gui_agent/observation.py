"""What an agent sees: a screenshot, and what the device knows about it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from PIL import Image

from gui_agent.errors import ImageDecodeError

_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_SIGNATURES: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in pixels of the screenshot; `right` and `bottom` are outside it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def center(self) -> tuple[int, int]:
        """The middle of the box, rounded down to whole pixels."""
        return (self.left + self.right) // 2, (self.top + self.bottom) // 2

    @property
    def area_px(self) -> int:
        """Area in square pixels; an inverted box has none."""
        return max(0, self.right - self.left) * max(0, self.bottom - self.top)

    def contains(self, x: float, y: float) -> bool:
        """Whether the point lies inside the box."""
        return self.left <= x < self.right and self.top <= y < self.bottom


@dataclass(frozen=True, kw_only=True)
class Screenshot:
    """An encoded picture (PNG, JPEG or WebP, lossless where we made it) and its size in pixels."""

    data: bytes
    width_px: int
    height_px: int

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the encoded bytes: the name of this picture everywhere."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def media_type(self) -> str:
        """The MIME type, read from the first bytes."""
        for signature, media_type in _SIGNATURES.items():
            if self.data.startswith(signature):
                return media_type
        return "image/webp"

    @classmethod
    def from_bytes(cls, data: bytes, *, origin: str = "screenshot") -> Self:
        """Read the size from encoded bytes and check that they decode to the last row.

        Raises:
            ImageDecodeError: the bytes are no complete picture; the message names `origin`.
        """
        try:
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                image.load()
                width_px, height_px = image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ImageDecodeError(
                f"{origin}: {len(data)} bytes do not decode as a PNG, JPEG or WebP picture ({error}); "
                "capture it again, or remove the step that refers to it"
            ) from error
        return cls(data=data, width_px=width_px, height_px=height_px)

    @classmethod
    def from_image(cls, image: Image.Image, *, compress_level: int = 1) -> Self:
        """Encode as PNG; level 1 is the fastest that still compresses."""
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=compress_level)
        return cls(data=buffer.getvalue(), width_px=image.width, height_px=image.height)

    def image(self) -> Image.Image:
        """Decode to an RGB picture.

        Raises:
            ImageDecodeError: the bytes are damaged.
        """
        try:
            with Image.open(io.BytesIO(self.data)) as image:
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageDecodeError(f"screenshot {self.sha256[:12]} does not decode: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class UiElement:
    """One widget on the screen: a label of a recorded screen, never part of a prompt.

    `name` is what a person would call it ("Wi-Fi", "red"); `role` is its kind ("button", "switch",
    "icon", "text_field", "list_item", "text").
    """

    name: str
    role: str
    box: Box
    clickable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at a device.

    Attributes:
        screenshot: what is shown to the agent.
        elements: the widgets if the device knows them, else None.
        foreground_app: name or package of the app in front, if known.
        state_key: equal for equal states of the world (pixels without the status bar, or a hash of
            the UI tree), or None where the device cannot tell.
        secure: the window in front hides its content from captures, so the picture is black there.
    """

    screenshot: Screenshot
    elements: tuple[UiElement, ...] | None = None
    foreground_app: str | None = None
    state_key: str | None = None
    secure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScreen:
    """A screen with the widgets on it: one example for learning where things are.

    Attributes:
        screenshot: what is shown.
        elements: the named widgets, with boxes in pixels of the screenshot.
        goal: of the task that the screen was met in; empty if it was met in none, or the goal is known
            without the screen.
    """

    screenshot: Screenshot
    elements: tuple[UiElement, ...]
    goal: str = ""
