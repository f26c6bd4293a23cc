"""A demo from Python: what a page does, without a browser, for programs, benchmarks and tests.

async with page_at(address) as page:
    await page.do("run", goal="turn on wifi")
    await page.of("episode")
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws

from gui_agent.demo.frames import Frame, decode_frame
from gui_agent.demo.protocol import ProtocolError

_PATIENCE_S: Final = 60.0


class RefusedError(Exception):
    """The server did not accept the WebSocket; the argument is the HTTP status."""


class Page:
    """Sends commands, and keeps every event and frame that comes; made by `page_at`.

    Attributes:
        events: all so far, as they came.
        frames: all so far.
        closed: the code with which the server has ended the connection, or None.
        acknowledges: each frame is answered, as a page does that has drawn it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Nothing is sent yet."""
        self._reader = reader
        self._writer = writer
        self._socket = WSConnection(ConnectionType.CLIENT)
        self._changed = asyncio.Event()
        self._ids = iter(range(1, 10_000))
        self.events: list[dict[str, Any]] = []
        self.frames: list[Frame] = []
        self.closed: int | None = None
        self.acknowledges = True
        self.accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None

    def begin(self, host: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Ask for the WebSocket."""
        request = ws.Request(host=host, target="/socket", extra_headers=headers)
        self._writer.write(self._socket.send(request))
        self._reading = asyncio.ensure_future(self._read())

    async def close(self) -> None:
        """Hang up."""
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()

    def send_text(self, text: str) -> None:
        """Send a text message as it is."""
        self._writer.write(self._socket.send(ws.TextMessage(data=text)))

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self._writer.write(self._socket.send(ws.BytesMessage(data=data)))

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a command; returns its answer, `done` or `error`."""
        number = next(self._ids)
        self.send_text(json.dumps({"type": kind, "id": number, **fields}))
        return await self.event(
            lambda event: event["type"] in ("done", "error") and event.get("id") == number
        )

    async def do(self, kind: str, **fields: Any) -> None:
        """Send a command that must be taken; `ProtocolError` if it is not."""
        answer = await self.ask(kind, **fields)
        if answer["type"] != "done":
            raise ProtocolError(f"{kind}: {answer['text']}", code=answer["code"])

    async def event(self, wanted: Callable[[dict[str, Any]], bool], *, after: int = 0) -> dict[str, Any]:
        """The first event from number `after` on that is wanted."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for event in self.events[after:]:
                    if wanted(event):
                        return event
                if self.closed is not None:
                    raise ConnectionError(f"the server has closed the connection with code {self.closed}")
                await self.change()

    async def of(self, kind: str, *, after: int = 0, **fields: Any) -> dict[str, Any]:
        """The first event of a type, with these values."""
        return await self.event(
            lambda event: (
                event["type"] == kind and all(event.get(name) == value for name, value in fields.items())
            ),
            after=after,
        )

    async def change(self) -> None:
        """Wait until something comes."""
        self._changed.clear()
        await self._changed.wait()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until what has come makes this true."""
        async with asyncio.timeout(_PATIENCE_S):
            while not holds():
                await self.change()

    def last(self, kind: str) -> dict[str, Any]:
        """The newest event of a type."""
        return [event for event in self.events if event["type"] == kind][-1]

    async def _read(self) -> None:
        parts: list[bytes] = []
        words: list[str] = []
        while data := await self._reader.read(65_536):
            self._socket.receive_data(data)
            for event in self._socket.events():
                match event:
                    case ws.AcceptConnection():
                        self.accepted.set_result(True)
                    case ws.RejectConnection(status_code=status):
                        self.accepted.set_exception(RefusedError(status))
                        return
                    case ws.TextMessage():
                        words.append(event.data)
                        if event.message_finished:
                            self.events.append(json.loads("".join(words)))
                            words = []
                    case ws.BytesMessage():
                        parts.append(bytes(event.data))
                        if event.message_finished:
                            self._take_frame(decode_frame(b"".join(parts)))
                            parts = []
                    case ws.Ping():
                        self._writer.write(self._socket.send(event.response()))
                    case ws.CloseConnection(code=code):
                        self.closed = code
                self._changed.set()
        self.closed = self.closed or 1006
        self._changed.set()

    def _take_frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        if self.acknowledges:
            self.send_text(json.dumps({"type": "seen", "frame": frame.number}))


async def cookie_of(address: str) -> str:
    """What the first visit puts into the browser."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(address)
    if answer.status_code != 303:
        raise RefusedError(answer.status_code)
    return answer.headers["set-cookie"].partition(";")[0]


@asynccontextmanager
async def page_at(
    address: str,
    *,
    cookie: str | None = None,
    host: str | None = None,
    origin: str | None = "own",
    **headers: str,
) -> AsyncIterator[Page]:
    """A page of the server whose address was printed; raises `RefusedError` if it is not let in."""
    where = urlsplit(address)
    assert where.hostname is not None
    assert where.port is not None
    if cookie is None:
        cookie = await cookie_of(address)
    own = f"{where.hostname}:{where.port}"
    said = [(b"cookie", cookie.encode())] if cookie else []
    if origin:
        said.append((b"origin", (f"http://{own}" if origin == "own" else origin).encode()))
    said += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    page = Page(reader, writer)
    page.begin(host or own, said)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await page.accepted
        yield page
    finally:
        await page.close()
