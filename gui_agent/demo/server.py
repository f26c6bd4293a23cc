"""The demo over HTTP and one WebSocket; who may come in is decided before, by `gui_agent.web.access`.

/                  the page
/static/NAME       its script and style
/socket            commands and events, see `gui_agent.demo.protocol`
/pictures/SHA256   a screen; ?small is a thumbnail
/exports/NAME.zip  what was exported
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
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from gui_agent.demo.clients import Client, Clients, TooSlowError
from gui_agent.demo.protocol import DoneEvent, ErrorEvent, ProtocolError, Request, request_from_json
from gui_agent.observation import Screenshot

_STATIC: Final = {
    "demo.css": ("gui_agent.demo.page", "text/css"),
    "demo.js": ("gui_agent.demo.page", "text/javascript"),
    "page.css": ("trajectories.viewer", "text/css"),
}
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SMALL_SIDE_PX: Final = 256
_TRY_AGAIN_LATER: Final = 1013


def create_demo(clients: Clients) -> Starlette:
    """The application, without any guard."""
    site = Site(clients)
    return Starlette(
        routes=[
            Route("/", site.page),
            Route("/static/{name}", site.static),
            Route("/pictures/{sha256}", site.picture),
            Route("/exports/{name}", site.export),
            WebSocketRoute("/socket", site.socket),
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
        name = request.path_params["name"]
        if name not in _STATIC:
            return PlainTextResponse("there is no such file", status_code=404)
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
        file = self._session.export_file(request.path_params["name"])
        if file is None:
            return PlainTextResponse("there is no such export", status_code=404)
        return FileResponse(file, media_type="application/zip", filename=file.name)

    async def socket(self, websocket: WebSocket) -> None:
        """One tab, as long as it stays."""
        await websocket.accept()
        client = self._clients.join()
        sending = asyncio.ensure_future(self._send(websocket, client))
        try:
            await self._receive(websocket, client)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
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

    async def _receive(self, websocket: WebSocket, client: Client) -> None:
        with suppress(WebSocketDisconnect):
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._answer(client, message)

    async def _answer(self, client: Client, message: Any) -> None:
        request: Request | None = None
        try:
            text = message.get("text")
            if text is None:
                raise ProtocolError("commands are text messages")
            request = request_from_json(text)
            await self._clients.handle(client, request.command)
        except ProtocolError as error:
            number = error.id if request is None else request.id
            client.put(ErrorEvent(code=error.code, text=str(error), id=number))
            return
        if request.id is not None:
            client.put(DoneEvent(id=request.id))


def _read(package: str, name: str) -> bytes:
    return (files(package) / name).read_bytes()


def _small(screenshot: Screenshot) -> bytes:
    image = screenshot.image()
    image.thumbnail((_SMALL_SIDE_PX, _SMALL_SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
