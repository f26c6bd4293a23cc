"""Where a local page listens, and serving it until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Final

from starlette.types import ASGIApp

from gui_agent import addresses
from gui_agent.errors import ConfigError
from gui_agent.web.access import TOKEN_FIELD, Access, Guard

_SHORTEST_PASSWORD: Final = 12


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """Where a page is served, and to whom.

    Attributes:
        host: address to listen on; another than this computer's own needs `allow_remote` and a password.
        port: port to listen on; 0 takes any that is free.
        allow_remote: let other computers come. Nothing is encrypted: use a tunnel or a TLS proxy.
        password_env: environment variable with the password that they sign in with, 12 characters or more.
    """

    host: str = "127.0.0.1"
    port: int = 0
    allow_remote: bool = False
    password_env: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}; expected 0 to 65535")
        if not self.allow_remote and not addresses.is_loopback(self.host):
            raise ConfigError(
                f"host {self.host} can be reached from other computers; listen on 127.0.0.1, or say "
                "--allow-remote and give a password with --password-env"
            )
        if self.allow_remote and not self.password_env:
            raise ConfigError(
                "allow_remote needs a password: put one into an environment variable and name it with "
                "--password-env"
            )

    def password(self) -> str | None:
        """The password, or None if only this computer may come.

        Raises:
            ConfigError: the variable is not set, or the password is short.
        """
        if not self.password_env:
            return None
        found = os.environ.get(self.password_env, "")
        if len(found) < _SHORTEST_PASSWORD:
            raise ConfigError(
                f"the environment variable {self.password_env} holds {len(found)} characters; a password has "
                f"at least {_SHORTEST_PASSWORD}"
            )
        return found

    def listen(self) -> socket.socket:
        """A socket that listens there.

        Raises:
            ConfigError: the address is taken, or is none of this computer's.
        """
        return addresses.listen(self.host, self.port)


def address_of(listener: socket.socket, access: Access, path: str = "/") -> str:
    """The address to open, token included."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{path}?{TOKEN_FIELD}={access.token}"


def serve(app: ASGIApp, options: ServingOptions, *, title: str, path: str = "/") -> None:
    """Serve until interrupted; says where before it begins.

    Args:
        app: the application, without any guard.
        options: where and to whom.
        title: what is served, for the line that is printed.
        path: the page that the printed address opens.

    Raises:
        ConfigError: as `listen` and `password`.
    """
    asyncio.run(serve_here(app, options, title=title, path=path))


async def serve_here(
    app: ASGIApp,
    options: ServingOptions,
    *,
    title: str,
    path: str = "/",
    max_message_bytes: int = 65_536,
    on_interrupt: Callable[[], None] | None = None,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve on the running event loop until interrupted; arguments and errors as of `serve`, and

    Args:
        max_message_bytes: longest WebSocket message that is taken; a longer one ends its connection.
        on_interrupt: called at once on the first Ctrl-C, before connections are closed.
        on_listening: told the address.
    """
    import uvicorn  # imported here: the help of a command needs no server

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if on_interrupt is not None:
                loop.call_soon_threadsafe(on_interrupt)
            # SIGTERM as Ctrl-C: it is raised again at the end, and would end this program before it has
            # put its things away.
            super().handle_exit(signal.SIGINT, frame)

    password = options.password()
    listener = options.listen()
    loop = asyncio.get_running_loop()
    try:
        access = Access(port=listener.getsockname()[1], password=password)
        address = address_of(listener, access, path)
        print(f"{title}: {address}", flush=True)
        print("the address holds the token of this run; Ctrl-C ends it", flush=True)
        if on_listening is not None:
            on_listening(address)
        config = uvicorn.Config(
            Guard(app, access=access),
            log_level="warning",
            access_log=False,  # addresses may hold the token
            lifespan="off",
            server_header=False,
            ws_max_size=max_message_bytes,
            ws_per_message_deflate=False,  # pictures are compressed already
            timeout_graceful_shutdown=5,
        )
        await Server(config).serve(sockets=[listener])
    finally:
        listener.close()
