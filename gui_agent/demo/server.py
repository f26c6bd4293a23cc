"""The demo over HTTP and one WebSocket; who may come in is decided before, by `gui_agent.web.access`.

/                  the page
/static/NAME       its script and style
/socket            commands and events, see `gui_agent.demo.protocol`
/pictures/SHA256   a screen; ?small is a thumbnail
/exports/NAME.zip  what was exported
/episode/0/ID      an episode in the viewer, and its other pages, see `gui_agent.viewer`
"""

from __future__ import annotations

import asyncio
import io
import re
from contextlib import suppress
from importlib.resources import files
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from gui_agent.demo.clients import Client, Clients, TooSlowError
from gui_agent.demo.commands import Seen, Stop
from gui_agent.demo.events import DoneEvent, ErrorEvent
from gui_agent.demo.protocol import ProtocolError, Request, request_from_json
from gui_agent.observation import Screenshot
from gui_agent.viewer.app import create_viewer
from gui_agent.viewer.runs import RunSource

_STATIC: Final = {
    "demo.css": ("gui_agent.demo.page", "text/css"),
    "demo.js": ("gui_agent.demo.page", "text/javascript"),
}
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SMALL_SIDE_PX: Final = 256
_TRY_AGAIN_LATER: Final = 1013
_MOST_ORDERS: Final = 100
"""Commands of one tab that may wait while another one is done."""


def create_demo(clients: Clients) -> Starlette:
    """The application, without any guard."""
    site = Site(clients)
    store = clients.session.store.path
    viewer = create_viewer([RunSource(name=str(store), store=store)])
    return Starlette(
        routes=[
            Route("/", site.page),
            *(Route(f"/static/{name}", site.static) for name in _STATIC),
            Route("/pictures/{sha256}", site.picture),
            Route("/exports/{name}", site.export),
            WebSocketRoute("/socket", site.socket),
            Mount("/", viewer),  # its addresses are others than those above
        ]
    )


class Site:
    """Answers requests."""

    def __init__(self, clients: Clients) -> None:
        """Serve these tabs and their session."""
        self._clients = clients
        self._session = clients.session

    async def page(self, request: HttpRequest) -> Response:
        """The one page."""
        return Response(_read("gui_agent.demo.page", "demo.html"), media_type="text/html")

    async def static(self, request: HttpRequest) -> Response:
        """Script and styles."""
        name = request.url.path.rpartition("/")[2]
        package, media_type = _STATIC[name]
        return Response(_read(package, name), media_type=media_type)

    async def picture(self, request: HttpRequest) -> Response:
        """A screen, by its hash: it never changes."""
        sha256 = request.path_params["sha256"]
        found = self._session.picture(sha256) if _HASH.fullmatch(sha256) else None
        if found is None:
            return PlainTextResponse("there is no such picture", status_code=404)
        data, media_type = found.data, found.media_type
        if "small" in request.query_params:
            data, media_type = await asyncio.to_thread(_small, found), "image/webp"
        headers = {"cache-control": "private, max-age=31536000, immutable"}
        return Response(data, media_type=media_type, headers=headers)

    async def export(self, request: HttpRequest) -> Response:
        """A zip."""
        file = self._session.archive.exported(request.path_params["name"])
        if file is None:
            return PlainTextResponse("there is no such export", status_code=404)
        return FileResponse(file, media_type="application/zip", filename=file.name)

    async def socket(self, websocket: WebSocket) -> None:
        """One tab, as long as it stays."""
        await websocket.accept()
        client = self._clients.join()
        orders: asyncio.Queue[Request | None] = asyncio.Queue(_MOST_ORDERS)
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send(websocket, client))
                working = tasks.create_task(self._work(client, orders))
                await self._receive(websocket, client, orders)
                sending.cancel()
                await orders.put(None)
                await working  # what was ordered before the tab went away is done
        finally:
            self._clients.leave(client)

    async def _send(self, websocket: WebSocket, client: Client) -> None:
        try:
            async for message in client.messages(self._session.feed):
                if isinstance(message, str):
                    await websocket.send_text(message)
                else:
                    await websocket.send_bytes(message)
        except TooSlowError:
            await websocket.close(_TRY_AGAIN_LATER, "this page does not take its messages")
        except WebSocketDisconnect:
            return  # whoever receives is told, too

    async def _receive(
        self, websocket: WebSocket, client: Client, orders: asyncio.Queue[Request | None]
    ) -> None:
        """Take commands until the tab goes away: the others in order, a stop at once and in place of what
        still waits."""
        with suppress(WebSocketDisconnect):
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                request = _request(client, message)
                if request is None:
                    continue
                if isinstance(request.command, Stop):
                    while not orders.empty():
                        _refuse(client, orders.get_nowait(), "stopped before it was done")
                if isinstance(request.command, Stop | Seen):
                    await self._answer(client, request)
                elif orders.full():
                    _refuse(client, request, "too many commands wait for the one that is being done")
                else:
                    orders.put_nowait(request)

    async def _work(self, client: Client, orders: asyncio.Queue[Request | None]) -> None:
        while (request := await orders.get()) is not None:
            await self._answer(client, request)

    async def _answer(self, client: Client, request: Request) -> None:
        try:
            await self._clients.handle(client, request.command)
        except ProtocolError as error:
            client.put(ErrorEvent(code=error.code, text=str(error), id=request.id))
            return
        if request.id is not None:
            client.put(DoneEvent(id=request.id))


def _refuse(client: Client, request: Request | None, why: str) -> None:
    if request is not None:
        client.put(ErrorEvent(code="not_now", text=why, id=request.id))


def _request(client: Client, message: Any) -> Request | None:
    """The command that a message is; one that is none is answered."""
    try:
        text = message.get("text")
        if text is None:
            raise ProtocolError("commands are text messages")
        return request_from_json(text)
    except ProtocolError as error:
        client.put(ErrorEvent(code=error.code, text=str(error), id=error.id))
        return None


def _read(package: str, name: str) -> bytes:
    return (files(package) / name).read_bytes()


def _small(screenshot: Screenshot) -> bytes:
    image = screenshot.image()
    image.thumbnail((_SMALL_SIDE_PX, _SMALL_SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
