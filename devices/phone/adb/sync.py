"""The `sync:` service: push, pull, list and stat, in both versions of the protocol.

Source: AOSP, packages/modules/adb/file_sync_protocol.h and SYNC.TXT.
"""

from __future__ import annotations

import struct
from typing import Final

from devices.phone.adb.connection import LinkLostError, Stream
from devices.phone.adb.filesystem import FileSystem, Node

_HEADER: Final = struct.Struct("<4sI")
_STAT: Final = struct.Struct("<4s3I")
_STAT_V2: Final = struct.Struct("<4sIQQIIIIQqqq")
_ENTRY: Final = struct.Struct("<4s4I")
_ENTRY_V2: Final = struct.Struct("<4sIQQIIIIQqqqI")
_SEND_SETUP: Final = struct.Struct("<4sII")
_MAX_CHUNK_BYTES: Final = 64 << 10
_MAX_PATH_BYTES: Final = 1024
_DEVICE_NUMBER: Final = 0xFD02
_ROOT_ID: Final = 0


class SyncSession:
    """One stream of requests."""

    def __init__(self, stream: Stream, files: FileSystem) -> None:
        """On the files of the phone."""
        self._stream = stream
        self._files = files

    async def run(self) -> None:
        """Answer requests one after the other."""
        while header := await self._stream.read_exactly(_HEADER.size):
            request, num_bytes = _HEADER.unpack(header)
            if request == b"QUIT":
                return
            if num_bytes > _MAX_PATH_BYTES:
                await self._fail("path too long")
                return
            path = (await self._exactly(num_bytes)).decode(errors="surrogateescape")
            try:
                if not await self._answer(request, path):
                    await self._fail(f"unknown command {request!r}")
                    return
            except OSError as error:
                if error.filename is None:
                    raise  # the link broke
                await self._fail(str(error.strerror))

    async def _answer(self, request: bytes, path: str) -> bool:
        match request:
            case b"STAT":
                await self._stat(path)
            case b"STA2" | b"LST2":
                await self._stat_v2(request, path)
            case b"LIST":
                await self._list(path)
            case b"LIS2":
                await self._list_v2(path)
            case b"RECV":
                await self._send_file(path)
            case b"RCV2":
                await self._exactly(_HEADER.size)  # flags: no compression was offered
                await self._send_file(path)
            case b"SEND":
                name, _, mode = path.rpartition(",")
                await self._take_file(name, int(mode) if mode.isdecimal() else 0o644)
            case b"SND2":
                _, mode_bits, _ = _SEND_SETUP.unpack(await self._exactly(_SEND_SETUP.size))
                await self._take_file(path, mode_bits)
            case _:
                return False
        return True

    async def _exactly(self, num_bytes: int) -> bytes:
        data = await self._stream.read_exactly(num_bytes)
        if data is None:
            raise LinkLostError("the host hung up in the middle of a request")
        return data

    async def _fail(self, message: str) -> None:
        await self._stream.write(_HEADER.pack(b"FAIL", len(message.encode())) + message.encode())

    def _node(self, path: str) -> Node | None:
        return self._files.node(path) if self._files.exists(path) else None

    async def _stat(self, path: str) -> None:
        node = self._node(path)
        values = (0, 0, 0) if node is None else (node.mode, len(node.data), node.modified_s)
        await self._stream.write(_STAT.pack(b"STAT", *values))

    async def _stat_v2(self, request: bytes, path: str) -> None:
        node = self._node(path)
        if node is None:
            await self._stream.write(_STAT_V2.pack(request, 2, *(0,) * 10))  # 2 is ENOENT
        else:
            await self._stream.write(_STAT_V2.pack(request, 0, *_numbers(node)))

    def _entries(self, path: str) -> list[tuple[bytes, Node]]:
        if not self._files.is_folder(path):
            return []
        folder = self._files.resolve(path).rstrip("/")
        return [
            (name.encode(errors="surrogateescape"), self._files.node(f"{folder}/{name}"))
            for name in self._files.names(path)
        ]

    async def _list(self, path: str) -> None:
        entries = b"".join(
            _ENTRY.pack(b"DENT", node.mode, len(node.data), node.modified_s, len(name)) + name
            for name, node in self._entries(path)
        )
        await self._stream.write(entries + _ENTRY.pack(b"DONE", *(0,) * 4))

    async def _list_v2(self, path: str) -> None:
        entries = b"".join(
            _ENTRY_V2.pack(b"DNT2", 0, *_numbers(node), len(name)) + name
            for name, node in self._entries(path)
        )
        await self._stream.write(entries + _ENTRY_V2.pack(b"DONE", *(0,) * 12))

    async def _send_file(self, path: str) -> None:
        data = memoryview(self._files.read(path))
        for start in range(0, len(data), _MAX_CHUNK_BYTES * 15):  # as many chunks as fill a packet
            part = data[start : start + _MAX_CHUNK_BYTES * 15]
            chunks = [part[at : at + _MAX_CHUNK_BYTES] for at in range(0, len(part), _MAX_CHUNK_BYTES)]
            await self._stream.write(b"".join(_HEADER.pack(b"DATA", len(one)) + one for one in chunks))
        await self._stream.write(_HEADER.pack(b"DONE", 0))

    async def _take_file(self, path: str, mode: int) -> None:
        """Write a file once all of it has come; one whose transfer breaks off leaves nothing."""
        data = bytearray()
        while True:
            kind, number = _HEADER.unpack(await self._exactly(_HEADER.size))
            if kind == b"DONE":
                break
            if kind != b"DATA" or number > _MAX_CHUNK_BYTES:
                await self._fail(f"unexpected {kind!r} of {number} bytes in a file")
                raise LinkLostError("the host does not keep to the protocol")
            data += await self._exactly(number)
        name = self._files.resolve(path)
        self._files.make_folders(name.rpartition("/")[0] or "/")
        self._files.write(name, bytes(data), mode=mode)
        self._files.node(name).modified_s = number
        await self._stream.write(_HEADER.pack(b"OKAY", 0))


def _numbers(node: Node) -> tuple[int, ...]:
    """Device, inode, mode, links, user, group, size and the three times."""
    links = 2 if node.is_folder else 1
    times = (node.modified_s,) * 3
    return (_DEVICE_NUMBER, node.number, node.mode, links, _ROOT_ID, _ROOT_ID, len(node.data), *times)
