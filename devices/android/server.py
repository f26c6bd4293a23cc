"""The adb server of this computer: where it listens, how it is started, which devices it knows.

One server holds the connections to all phones. Questions to the server itself are answered from its own
memory, so they are asked with a plain socket and a short deadline; what goes to a phone is in
`devices.android.connection`.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from gui_agent.errors import ConfigError, DependencyError, DeviceError, DeviceTimeoutError

READY: Final = "device"
"""The state of a phone that takes commands."""

_START_DEADLINE_S: Final = 20.0
_QUERY_DEADLINE_S: Final = 5.0

_REMEDIES: Final = {
    "unauthorized": (
        "unlock the phone and accept 'Allow USB debugging' on its screen; if no question appears, revoke "
        "the authorisations in the developer options and connect again"
    ),
    "authorizing": "unlock the phone and accept 'Allow USB debugging' on its screen",
    "offline": (
        "unplug and plug the cable, or `adb disconnect` and `adb connect` a phone on the network; restart "
        "an emulator"
    ),
    "no permissions": (
        "this user may not open the USB device: on Linux add the udev rules of your distribution "
        "(package android-sdk-platform-tools-common or android-udev) and connect again"
    ),
    "bootloader": "start Android on the phone (`fastboot reboot`)",
    "recovery": "start Android on the phone (`adb reboot`)",
    "sideload": "start Android on the phone (`adb reboot`)",
    "still booting": "wait until the phone has started",
    "absent": (
        "plug the phone in with USB debugging switched on, or `adb connect HOST:PORT`; `gui-agent devices "
        "list` shows what is connected"
    ),
}


def remedy_of(state: str) -> str:
    """What to do about a phone in this state ("absent" for one that the server does not list)."""
    for name, remedy in _REMEDIES.items():
        if state.startswith(name):
            return remedy
    return "wait until `gui-agent devices list` shows the state 'device'"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEntry:
    """One line of the server's list.

    Attributes:
        serial: how the phone is addressed: a USB serial, "emulator-5554" or "host:port".
        state: "device" if it takes commands, else "offline", "unauthorized", ….
        model: as the phone says, "" if unknown.
    """

    serial: str
    state: str
    model: str = ""

    @property
    def ready(self) -> bool:
        """Whether the phone takes commands."""
        return self.state == READY


@dataclass(frozen=True, slots=True, kw_only=True)
class AdbServer:
    """The address of an adb server.

    Attributes:
        host: this computer, unless the phones hang on another one.
        port: 5037 is adb's own; a server of one's own on another port cannot be ended by other programs.

    Raises:
        ConfigError: the port is none.
    """

    host: str = "127.0.0.1"
    port: int = 5037

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ConfigError(f"adb server port {self.port} is none; expected 1 to 65535 (adb's own is 5037)")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The server that adb itself would use: ANDROID_ADB_SERVER_ADDRESS and ANDROID_ADB_SERVER_PORT.

        Raises:
            ConfigError: the port is no number.
        """
        environ = os.environ if environ is None else environ
        port = environ.get("ANDROID_ADB_SERVER_PORT") or "5037"
        if not port.isdecimal():
            raise ConfigError(f"ANDROID_ADB_SERVER_PORT={port!r} is no port; unset it, or write a number")
        return cls(host=environ.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1", port=int(port))

    def start(self) -> None:
        """Start the server if none listens; the program is the one that adbutils brings, or ADB's own.

        Raises:
            DependencyError: there is no adb program.
            DeviceError: the server cannot be started, or is on another computer and does not answer.
        """
        if self.host not in ("127.0.0.1", "localhost", "::1"):
            raise DeviceError(
                f"no adb server answers at {self.host}:{self.port}; start one there with "
                f"`adb -a -P {self.port} nodaemon server`"
            )
        adb = find_adb()
        command = [str(adb), "-P", str(self.port), "start-server"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_START_DEADLINE_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceTimeoutError(
                f"`{' '.join(command)}` did not come back within {_START_DEADLINE_S:.0f} s; end a server "
                f"that hangs with `adb -P {self.port} kill-server`"
            ) from error
        except OSError as error:
            raise DependencyError(f"{adb} does not start: {error}; install adb again") from error
        if done.returncode != 0 and not self._answers():  # another program may have started it meanwhile
            words = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
            raise DeviceError(
                f"`{' '.join(command)}` failed with exit code {done.returncode}: {words[-1]}; is port "
                f"{self.port} taken by another program?"
            )

    def _answers(self) -> bool:
        try:
            self._query("host:version", _QUERY_DEADLINE_S)
        except (DeviceError, OSError):
            return False
        return True

    def query(self, request: str, *, timeout_s: float = _QUERY_DEADLINE_S) -> str:
        """Ask the server itself, starting it if it does not run.

        Args:
            request: such as "host:devices-l".
            timeout_s: for the whole exchange.

        Raises:
            DeviceError: the server refuses, with its words.
            DeviceTimeoutError: it does not answer in time.
        """
        try:
            return self._query(request, timeout_s)
        except ConnectionRefusedError:
            self.start()
        try:
            return self._query(request, timeout_s)
        except OSError as error:
            raise DeviceError(
                f"the adb server at {self.host}:{self.port} does not answer: {error}"
            ) from error

    def _query(self, request: str, timeout_s: float) -> str:
        try:
            with socket.create_connection((self.host, self.port), timeout=timeout_s) as connection:
                connection.sendall(frame(request))
                status = _read(connection, 4)
                if status not in (b"OKAY", b"FAIL"):
                    raise DeviceError(
                        f"what listens at {self.host}:{self.port} is no adb server: it answered {status!r}"
                    )
                answer = _read(connection, int(_read(connection, 4) or b"0", 16)).decode(errors="replace")
        except TimeoutError as error:
            raise DeviceTimeoutError(
                f"the adb server at {self.host}:{self.port} did not answer {request!r} in {timeout_s:g} s; "
                f"`adb -P {self.port} kill-server` ends one that hangs"
            ) from error
        except ConnectionRefusedError:
            raise
        except OSError as error:
            raise DeviceError(
                f"the adb server at {self.host}:{self.port} broke off at {request!r}: {error}; try again"
            ) from error
        if status == b"FAIL":
            raise DeviceError(f"the adb server at {self.host}:{self.port} refused {request!r}: {answer}")
        return answer

    def devices(self) -> tuple[DeviceEntry, ...]:
        """Everything that is connected, in whatever state."""
        found = []
        for line in self.query("host:devices-l").splitlines():
            if not line.strip():
                continue
            serial, _, rest = line.partition(" ")
            words = rest.split()
            details = {key: value for word in words for key, colon, value in [word.partition(":")] if colon}
            state = "no permissions" if words[:2] == ["no", "permissions"] else (words or ["unknown"])[0]
            model = details.get("model", "").replace("_", " ")
            found.append(DeviceEntry(serial=serial, state=state, model=model))
        return tuple(found)

    def state_of(self, serial: str) -> str:
        """The state of one phone; "absent" if the server does not list it."""
        return next((entry.state for entry in self.devices() if entry.serial == serial), "absent")

    def connect(self, address: str, *, timeout_s: float = 10.0) -> str:
        """Connect a phone over the network; the server's words, which say whether it worked."""
        return self.query(f"host:connect:{address}", timeout_s=timeout_s)

    def disconnect(self, address: str) -> None:
        """Forget a phone of the network; one that is not connected is fine."""
        try:
            self.query(f"host:disconnect:{address}")
        except DeviceTimeoutError:
            raise
        except DeviceError:
            return  # "no such device"


def find_adb() -> Path:
    """The adb program: adbutils' own, or what ADBUTILS_ADB_PATH or PATH name.

    Raises:
        DependencyError: there is none.
    """
    try:
        from adbutils import adb_path
    except ImportError as error:
        raise DependencyError(
            "the Python package adbutils is missing, and with it adb; pip install adbutils"
        ) from error
    try:
        path = Path(adb_path())
    except RuntimeError as error:  # adbutils has no program for this system, and PATH has none
        raise DependencyError(
            f"no adb program was found ({error}); install the Android platform tools and put adb on the PATH "
            "or set ADBUTILS_ADB_PATH"
        ) from error
    if not path.is_file():
        raise DependencyError(
            f"{path} is no adb program; pip install --force-reinstall adbutils, or set ADBUTILS_ADB_PATH"
        )
    return path


def frame(request: str) -> bytes:
    """A request as the server reads it: four hexadecimal digits of length, then the text."""
    data = request.encode()
    return b"%04x%b" % (len(data), data)


def _read(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        chunk = connection.recv(length - len(data))
        if not chunk:
            break
        data += chunk
    return data
