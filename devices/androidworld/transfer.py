"""Files to and from a phone: the `sync:` service of its daemon, one request a connection.

Source: AOSP, packages/modules/adb/SYNC.TXT.
"""

from __future__ import annotations

import struct
import time
from typing import Final

from devices.android.connection import AdbConnection
from gui_agent.errors import DeviceError

_HEADER: Final = struct.Struct("<4sI")
_CHUNK_BYTES: Final = 64 << 10
_MODE: Final = 0o100644
_QUIT: Final = _HEADER.pack(b"QUIT", 0)


class TransferRefusedError(Exception):
    """The phone says why it does not take or give a file."""


async def push(
    connection: AdbConnection, content: bytes, remote: str, *, timeout_s: float | None = None
) -> None:
    """Write a file of the phone.

    Raises:
        TransferRefusedError: the phone cannot write it.
        DeviceError: the phone failed.
    """
    place = f"{remote},{_MODE}".encode()
    pieces = [_HEADER.pack(b"SEND", len(place)), place]
    for at in range(0, len(content), _CHUNK_BYTES):
        chunk = content[at : at + _CHUNK_BYTES]
        pieces += [_HEADER.pack(b"DATA", len(chunk)), chunk]
    pieces += [_HEADER.pack(b"DONE", int(time.time())), _QUIT]
    answer = await connection.exchange("sync:", b"".join(pieces), timeout_s=timeout_s)
    if answer[:4] == b"FAIL":
        raise TransferRefusedError(_said(answer))
    if answer[:4] != b"OKAY":
        raise _broken(connection, f"push {remote}", answer)


async def pull(connection: AdbConnection, remote: str, *, timeout_s: float | None = None) -> bytes:
    """Read a file of the phone.

    Raises:
        TransferRefusedError: the phone cannot read it.
        DeviceError: the phone failed, or the file broke off.
    """
    place = remote.encode()
    request = _HEADER.pack(b"RECV", len(place)) + place + _QUIT
    answer = await connection.exchange("sync:", request, timeout_s=timeout_s)
    pieces: list[bytes] = []
    at = 0
    while at + _HEADER.size <= len(answer):
        kind, length = _HEADER.unpack_from(answer, at)
        if kind == b"DONE":
            return b"".join(pieces)
        if kind == b"FAIL":
            raise TransferRefusedError(_said(answer[at:]))
        at += _HEADER.size
        pieces.append(answer[at : at + length])
        at += length
    raise _broken(connection, f"pull {remote}", answer)


def _said(answer: bytes) -> str:
    return answer[_HEADER.size :].decode(errors="replace").strip() or "no reason given"


def _broken(connection: AdbConnection, command: str, answer: bytes) -> DeviceError:
    return DeviceError(connection.message(command, f"the connection broke after {len(answer)} bytes"))
