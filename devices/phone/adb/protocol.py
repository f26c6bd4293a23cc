"""Packets of the ADB transport, as both sides write them.

A packet is a header of six little-endian 32-bit words (command, two arguments, length of the data, sum
of its bytes, command with all bits flipped) and the data.

Source: the protocol as documented in AOSP, packages/modules/adb/docs/dev/protocol.md and services.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gui_agent.errors import DeviceError


class Command(IntEnum):
    """What a packet says: four ASCII letters read as a little-endian number."""

    CNXN = int.from_bytes(b"CNXN", "little")
    """Who I am: (protocol version, largest data I take, banner)."""
    AUTH = int.from_bytes(b"AUTH", "little")
    """Prove who you are: (kind, 0, token, signature or public key)."""
    OPEN = int.from_bytes(b"OPEN", "little")
    """Open a stream: (my id, 0, name of the service)."""
    OKAY = int.from_bytes(b"OKAY", "little")
    """The stream is open, or your data has been taken: (my id, your id)."""
    WRTE = int.from_bytes(b"WRTE", "little")
    """Data of a stream: (my id, your id, data)."""
    CLSE = int.from_bytes(b"CLSE", "little")
    """The stream is over: (my id or 0, your id)."""


class Auth(IntEnum):
    """Kinds of an AUTH packet."""

    TOKEN = 1
    SIGNATURE = 2
    PUBLIC_KEY = 3


class ProtocolError(DeviceError):
    """The other side does not speak ADB; the link is closed."""


HEADER: Final = struct.Struct("<6I")
VERSION_WITH_SUMS: Final = 0x01000000
VERSION: Final = 0x01000001
"""From this version on the sums of the data are neither filled in nor checked."""
MAX_DATA_BYTES: Final = 1 << 20
"""Most data in a packet, as of adb 1.0.39; the smaller of the two sides' limits holds."""
FEATURES: Final = (
    "shell_v2",
    "cmd",
    "stat_v2",
    "ls_v2",
    "fixed_push_mkdir",
    "fixed_push_symlink_timestamp",
    "abb_exec",
    "apex",
    "remount_shell",
    "track_app",
    "sendrecv_v2",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The fixed part of a packet; `command` is a number because the peer may send anything."""

    command: int
    arg0: int
    arg1: int
    num_bytes: int
    data_sum: int


def encode_header(command: Command, arg0: int, arg1: int, data: bytes | memoryview, *, sums: bool) -> bytes:
    """The 24 bytes in front of the data; the sum is 0 unless the peer's version wants it."""
    data_sum = sum(data) & 0xFFFFFFFF if sums else 0
    return HEADER.pack(command, arg0, arg1, len(data), data_sum, command ^ 0xFFFFFFFF)


def decode_header(raw: bytes) -> Header:
    """Read 24 bytes.

    Raises:
        ProtocolError: these are not the first bytes of a packet, or it is larger than was agreed.
    """
    command, arg0, arg1, num_bytes, data_sum, magic = HEADER.unpack(raw)
    if magic != command ^ 0xFFFFFFFF:
        raise ProtocolError(f"not an ADB packet: {raw!r}; expected the command's complement at its end")
    if num_bytes > MAX_DATA_BYTES:
        raise ProtocolError(f"an ADB packet of {num_bytes} bytes; at most {MAX_DATA_BYTES} were agreed on")
    return Header(command=command, arg0=arg0, arg1=arg1, num_bytes=num_bytes, data_sum=data_sum)


def banner(*, product: str, model: str, device: str, features: tuple[str, ...] = FEATURES) -> bytes:
    """What a phone says about itself when it is connected."""
    properties = {
        "ro.product.name": product,
        "ro.product.model": model,
        "ro.product.device": device,
        "features": ",".join(features),
    }
    return ("device::" + "".join(f"{name}={value};" for name, value in properties.items())).encode()
