"""Work in the background that steps aside while somebody waits for a page."""

from __future__ import annotations

import threading
from types import TracebackType

from starlette.types import ASGIApp, Receive, Scope, Send


class Requests:
    """Counts the requests that are being answered; a context manager for each of them."""

    def __init__(self) -> None:
        """None runs."""
        self._running = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._running += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def wait_until_none(self) -> None:
        """Wait for a moment at which nobody waits: two busy threads slow each other down several times."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0)


class Counted:
    """ASGI middleware that counts requests."""

    def __init__(self, app: ASGIApp, *, requests: Requests) -> None:
        """Count those that go to `app`."""
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        with self._requests:
            await self._app(scope, receive, send)
