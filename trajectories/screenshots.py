"""Pictures on disk, each stored once under the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError

from gui_agent.errors import DataError, ImageDecodeError
from gui_agent.observation import Screenshot

_SUFFIXES: Final = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


class ScreenshotFolder(Mapping[str, Screenshot]):
    """A folder of pictures: `ab/abcdef….png`, found by hash, read when asked for.

    A file appears under its name only when it is complete, so that a killed writer leaves nothing that
    looks like a picture.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, sha256: str) -> Screenshot:
        file = self.file(sha256)
        if file is None:
            raise KeyError(sha256)
        return _read(file, sha256)

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and self.file(sha256) is not None

    def __iter__(self) -> Iterator[str]:
        for file in sorted(self.path.glob("??/*")):
            if file.suffix in _SUFFIXES.values():
                yield file.stem

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def file(self, sha256: str) -> Path | None:
        """The file of a picture, or None if there is none."""
        for suffix in _SUFFIXES.values():
            file = self._place(sha256, suffix)
            if file.is_file():
                return file
        return None

    def file_for(self, screenshot: Screenshot) -> Path:
        """The file that a picture gets when it is added."""
        return self._place(screenshot.sha256, _SUFFIXES[screenshot.media_type])

    def add(self, screenshot: Screenshot) -> bool:
        """Store a picture unless it is there; True if it was new."""
        if screenshot.sha256 in self:
            return False
        file = self.file_for(screenshot)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, screenshot.data)
        return True

    def remove_torn(self) -> int:
        """Delete what a killed writer left half written; how many files that were."""
        torn = list(self.path.glob("??/*.tmp"))
        for file in torn:
            file.unlink()
        return len(torn)

    def _place(self, sha256: str, suffix: str) -> Path:
        return self.path / sha256[:2] / f"{sha256}{suffix}"


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that it appears complete or not at all, whatever happens to this process."""
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)  # noqa: PTH105 - the plain call is what a kill test can intercept


def _read(file: Path, sha256: str) -> Screenshot:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}); check the disk and its permissions"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DataError(
            f"{file}: the {len(data)} bytes have SHA-256 {found[:12]}…, not that of its name; the file "
            "is damaged: restore it from a copy, or remove the steps that show it"
        )
    try:
        with Image.open(io.BytesIO(data)) as image:  # reads the header only
            width_px, height_px = image.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageDecodeError(
            f"{file}: the {len(data)} bytes are no PNG, JPEG or WebP picture; restore the file from a copy, "
            "or remove the steps that show it"
        ) from error
    return Screenshot(data=data, width_px=width_px, height_px=height_px)
