"""An adb server that belongs to one farm: a child process on a port of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Final

from devices.android.server import AdbServer, find_adb, frame
from gui_agent.errors import DeviceError, DeviceTimeoutError

HOST: Final = "127.0.0.1"
_START_DEADLINE_S: Final = 20.0
_LOOK_AGAIN_S: Final = 0.02
_TERMINATE_DEADLINE_S: Final = 5.0
_NUM_PORTS_TRIED: Final = 3
_NO_SEARCH: Final = {"ADB_USB": "0", "ADB_MDNS": "0", "ADB_EMU": "0", "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554"}
"""Keeps an adb server from looking for devices: it would list other people's, and takes seconds."""
_LOG_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class OwnAdbServer:
    """An adb server as a child process; ends with its farm.

    Args:
        log_path: where it writes its log; None throws it away.

    Attributes:
        server: its address, once it runs.
    """

    def __init__(self, *, log_path: Path | None = None) -> None:
        """Not started yet."""
        self.server = AdbServer(port=free_port())
        self._log_path = log_path
        self._process: asyncio.subprocess.Process | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None  # adb leaves keys and a file per port

    @property
    def pid(self) -> int:
        """Of the server's process; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it on a free port and wait until it answers; again on the same port after it ended.

        Raises:
            DependencyError: there is no adb program.
            DeviceError: it ended at once, also on other ports.
            DeviceTimeoutError: it does not answer.
        """
        for attempt in range(1, _NUM_PORTS_TRIED + 1):
            try:
                await self._start()
                return
            except DeviceTimeoutError:
                await self.close()
                raise
            except DeviceError:
                await self.close()
                if attempt == _NUM_PORTS_TRIED:
                    raise
                self.server = AdbServer(port=free_port())  # somebody else took the port meanwhile

    async def _start(self) -> None:
        command = [*_tied_to_us(), str(find_adb()), "-P", str(self.server.port), "nodaemon", "server"]
        self._home = self._home or tempfile.TemporaryDirectory(prefix="gui-agent-adb-")
        environment = {**os.environ, **_NO_SEARCH, "HOME": self._home.name}
        log = asyncio.subprocess.DEVNULL if self._log_path is None else os.open(self._log_path, _LOG_FLAGS)
        try:
            # A session of its own: Ctrl-C must end the phones first, or the server would see them vanish.
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        finally:
            if log >= 0:
                os.close(log)
        end_s = time.monotonic() + _START_DEADLINE_S
        while not answers(self.server.port):
            if self._process.returncode is not None:
                raise DeviceError(f"`{' '.join(command)}` ended with exit code {self._process.returncode}")
            if time.monotonic() > end_s:
                raise DeviceTimeoutError(f"`{' '.join(command)}` did not listen in {_START_DEADLINE_S:.0f} s")
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def close(self) -> None:
        """End it, and whatever a client started in its place after it died; calling it twice is fine."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_TERMINATE_DEADLINE_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        elif process is not None and answers(self.server.port):
            tell(self.server.port, "host:kill")
        if self._home is not None:
            self._home.cleanup()
            self._home = None


def _tied_to_us() -> list[str]:
    """Words in front of a command that end it with this process, even if that is killed (on Linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def answers(port: int) -> bool:
    """Whether somebody listens on a port of the loopback address."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def tell(port: int, request: str) -> None:
    """Send an adb server a request whose answer does not matter."""
    with socket.create_connection((HOST, port), timeout=_TERMINATE_DEADLINE_S) as connection:
        connection.sendall(frame(request))
