"""Who may see a local page: a token, the right host name, and no other site's pages.

A page binds to the loopback address and prints one address with a token that is drawn for this run. The
first visit puts the token into a cookie and takes it out of the address. That alone would leave three ways
in for a web page that the user has open elsewhere, and each is closed:

* its host name may be made to point to 127.0.0.1 (DNS rebinding): the Host header must name this computer;
* it may send requests that carry the cookie: what a browser marks as coming from another site is refused,
  unless the user followed a link, and nothing but GET and HEAD is taken from an Origin that is not ours;
* it may frame the page, or read it: headers forbid both.

With a password, other computers may come too; they sign in by a form. There is no encryption here: what is
served to a network belongs behind a tunnel or a proxy that speaks TLS.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_FIELD: Final = "token"
SIGN_IN_PATH: Final = "/sign-in"
CONTENT_POLICY: Final = (
    "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_OUR_HEADERS: Final = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_LONGEST_ADDRESS: Final = 8192
_LONGEST_FORM_BYTES: Final = 4096
_SIGN_IN: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>gui-agent</title>
<form method="post" action="/sign-in"><p>{}</p>
<p><label>Password <input type="password" name="password" autocomplete="current-password" autofocus></label>
<button>Sign in</button></p></form></html>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What opens a page.

    Attributes:
        port: that it listens on; its cookie is named after it, because cookies know no ports.
        token: drawn anew for every run.
        password: lets other computers in; None keeps them out.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token."""
        return f"gui_agent_{self.port}"


class Guard:
    """ASGI middleware that lets in who brings the token, and gives answers the headers of a private page."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        """Stand before `app`."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refusal = self._refusal(connection)
        if refusal is None and not self._has_token(connection):
            refusal = await self._welcome(connection, receive)
        if scope["type"] == "websocket":
            if refusal is not None:
                await receive()
                await send({"type": "websocket.close", "code": 4403})
                return
            await self._app(scope, receive, send)
            return
        answer = self._app if refusal is None else refusal
        await answer(scope, receive, _with_headers(send))

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        """Why nobody gets in this way, token or not."""
        headers, scope = connection.headers, connection.scope
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _LONGEST_ADDRESS:
            return PlainTextResponse("the address is too long", status_code=414)
        if self._access.password is None and not _names_this_computer(headers.get("host", "")):
            return PlainTextResponse(
                "this page is served to this computer only, as 127.0.0.1", status_code=421
            )
        reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not reads and not _same_origin(headers):
            return PlainTextResponse("requests of other sites are refused", status_code=403)
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        if site in ("cross-site", "same-site") and mode != "navigate":
            return PlainTextResponse("requests of other sites are refused", status_code=403)
        return None

    def _has_token(self, connection: HTTPConnection) -> bool:
        if TOKEN_FIELD in connection.query_params:
            return False  # it moves from the address to the cookie first
        try:
            cookies = SimpleCookie(connection.headers.get("cookie", ""))
        except CookieError:
            return False
        found = cookies.get(self._access.cookie)
        return found is not None and _equal(found.value, self._access.token)

    async def _welcome(self, connection: HTTPConnection, receive: Receive) -> Response:
        """Let in who brings the token in the address, or the password in a form."""
        scope = connection.scope
        given = connection.query_params.get(TOKEN_FIELD)
        if given is not None and _equal(given, self._access.token):
            pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            rest = urlencode([(name, value) for name, value in pairs if name != TOKEN_FIELD])
            # One slash: two would name another host.
            path = "/" + connection.url.path.lstrip("/\\")
            return self._let_in(path + (f"?{rest}" if rest else ""))
        if self._access.password is None:
            return PlainTextResponse(
                "open the address that gui-agent printed when it started: it holds the token of this run",
                status_code=403,
            )
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == SIGN_IN_PATH:
            if _equal(await _password(Request(scope, receive)), self._access.password):
                return self._let_in("/")
            return HTMLResponse(_SIGN_IN.format("That is not the password."), status_code=403)
        return HTMLResponse(_SIGN_IN.format("Who are you?"), status_code=401)

    def _let_in(self, address: str) -> Response:
        answer = RedirectResponse(address, status_code=303, headers={"cache-control": "no-store"})
        answer.set_cookie(self._access.cookie, self._access.token, httponly=True, samesite="lax", path="/")
        return answer


async def _password(request: Request) -> str:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM_BYTES:
            return ""
    return parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_OUR_HEADERS)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


def _names_this_computer(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname if host else None
    return name in ("127.0.0.1", "localhost", "::1")


def _same_origin(headers: Headers) -> bool:
    """Browsers send an Origin with everything but plain reading; other programs send none."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
