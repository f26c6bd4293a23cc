"""Pictures of a store, by hash: they never change, so browsers may keep them for ever."""

from __future__ import annotations

import io
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from trajectories.screenshots import ScreenshotFolder

SIDES_PX: Final = frozenset({256})
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_TYPES: Final = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
_FOR_EVER: Final = "private, max-age=31536000, immutable"


def screen_response(request: Request, folder: ScreenshotFolder, sha256: str) -> Response:
    """A picture, or a small one of it with `?side=256`."""
    file = folder.file(sha256) if _HASH.fullmatch(sha256) else None
    if file is None:
        return PlainTextResponse("there is no such picture", status_code=404)
    side = request.query_params.get("side", "")
    tag = f'"{sha256}-{side}"' if side else f'"{sha256}"'
    headers = {"cache-control": _FOR_EVER, "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if not side:
        return FileResponse(file, media_type=_TYPES[file.suffix], headers=headers)
    if not side.isdecimal() or int(side) not in SIDES_PX:
        return PlainTextResponse(f"side is {side!r}; expected one of {sorted(SIDES_PX)}", status_code=400)
    small = _small(file, int(side))
    if small is None:
        return PlainTextResponse("the picture is damaged", status_code=404)
    return Response(small, media_type="image/webp", headers=headers)


@lru_cache(maxsize=2048)
def _small(file: Path, side_px: int) -> bytes | None:
    try:
        with Image.open(file) as image:
            picture = image.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    picture.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
