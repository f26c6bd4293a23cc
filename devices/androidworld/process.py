"""One process of AndroidWorld's Python, with a socket to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from devices.androidworld.installation import Installation, explain_broken
from gui_agent.errors import DependencyError

_WORKER: Final = Path(__file__).parent / "worker.py"
_SHOWN_LOG_BYTES: Final = 1500
START_TIMEOUT_S: Final = 120.0
"""Importing AndroidWorld takes a second, and much longer the first time on a slow disk."""


class WorkerProcess:
    """Runs `worker.py`; ends with this object, with this process, or when `close` is called.

    Messages are JSON objects, one a line. How they are awaited is the caller's business: `socket` is what to
    wait on.

    Args:
        installation: whose Python, and whose tasks.

    Attributes:
        socket: the connection.
        installation: as given.

    Raises:
        DependencyError: the interpreter does not start.
    """

    def __init__(self, installation: Installation) -> None:
        """Starts the process; it says hello when AndroidWorld is imported."""
        if sys.platform == "win32":
            raise DependencyError(
                "AndroidWorld's tasks run in a process that gets a socket from this one, which Windows does "
                "not do; use Linux (WSL is one) or macOS"
            )
        self.installation = installation
        self.socket, theirs = socket.socketpair()
        # AndroidWorld writes files of fixed names into the temporary folder; those of two processes must
        # not meet.
        folder = Path(tempfile.mkdtemp(prefix="gui-agent-androidworld-"))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        with theirs:
            try:
                process = subprocess.Popen(
                    [installation.python, "-P", _WORKER, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    pass_fds=[theirs.fileno()],
                    env=_environment(installation, folder),
                    start_new_session=True,  # Ctrl-C is for this process, which ends the other one
                )
            except OSError as error:
                _end(None, self.socket, self._log, folder)
                raise DependencyError(
                    f"{installation.python} does not start ({error.strerror}); it is the Python of "
                    f"{installation.shown}"
                ) from error
        self.close = weakref.finalize(self, _end, process, self.socket, self._log, folder)
        self._process = process
        self._received = bytearray()

    @property
    def alive(self) -> bool:
        """Whether requests can be sent."""
        return self.close.alive and self._process.poll() is None

    @staticmethod
    def packed(message: Mapping[str, Any]) -> bytes:
        """A message as it goes over the socket."""
        return json.dumps(message).encode() + b"\n"

    def feed(self, data: bytes) -> None:
        """Take what came over the socket.

        Raises:
            EOFError: nothing: the process has ended.
        """
        if not data:
            raise EOFError
        self._received += data

    def next_message(self) -> dict[str, Any] | None:
        """A message that is whole, or None."""
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        message: dict[str, Any] = json.loads(line)
        return message

    def check_hello(self, message: Mapping[str, Any]) -> None:
        """The first message says whether AndroidWorld could be imported.

        Raises:
            DependencyError: it could not.
        """
        broken = message.get("broken")
        if broken is not None:
            self.close()
            raise DependencyError(
                explain_broken(self.installation, broken["error"], broken["at"], broken["module"])
            )

    def last_words(self) -> str:
        """The end of what the process wrote to standard error, for messages."""
        if self._log.closed:
            return "it was ended"
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), _SHOWN_LOG_BYTES, max(0, size - _SHOWN_LOG_BYTES))
        return text.decode(errors="replace").strip() or "it said nothing"


def _environment(installation: Installation, folder: Path) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    if installation.checkout is not None:
        found["PYTHONPATH"] = str(installation.checkout)
    return found | {
        "TMPDIR": str(folder),
        "PYTHONHASHSEED": "0",  # what is drawn from a set is drawn alike
        "PYTHONDONTWRITEBYTECODE": "1",  # the checkout stays as it is
        "GRPC_VERBOSITY": "ERROR",
    }


def _end(
    process: subprocess.Popen[bytes] | None, connection: socket.socket, log: IO[bytes], folder: Path
) -> None:
    connection.close()
    if process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    log.close()
    shutil.rmtree(folder, ignore_errors=True)
