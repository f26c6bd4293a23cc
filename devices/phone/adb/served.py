"""Which virtual phones are being served, and where each is set and judged.

`gui-agent phone serve` writes a list into a folder that only this user can read; a driver that is given a
serial finds the phone's control address there.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil

from gui_agent.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPhone:
    """One phone and how it is reached.

    Attributes:
        serial: as adb lists it.
        adb_server_port: of the adb server that it is connected to; 0 for none yet.
        control_port: where the control channel listens, on the loopback address.
        token: what the control channel asks for.
        pid: of the process that serves the phone.
        width_px: of the screen in upright position.
        height_px: of the screen in upright position.
        status_bar_px: height of the status bar.
        app_packages: packages of the apps by the phone's own names.
    """

    serial: str
    adb_server_port: int
    control_port: int
    token: str
    pid: int
    width_px: int
    height_px: int
    status_bar_px: int
    app_packages: Mapping[str, str]


def list_path(adb_server_port: int) -> Path:
    """The file that lists the phones of an adb server."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(base) / "gui-agent" if base else Path(tempfile.gettempdir()) / f"gui-agent-{user}"
    return folder / f"phones-{adb_server_port}.json"


def publish(phones: Sequence[ServedPhone]) -> None:
    """Add phones of this process, at least one, to their adb server's list, which only this user can read."""
    port = phones[0].adb_server_port
    _write(port, [*_others(port), *phones])


def withdraw(adb_server_port: int) -> None:
    """Take the phones of this process off the list; an empty list is removed."""
    others = _others(adb_server_port)
    if others:
        _write(adb_server_port, others)
    else:
        list_path(adb_server_port).unlink(missing_ok=True)


def _others(adb_server_port: int) -> list[ServedPhone]:
    return [one for one in served_phones(adb_server_port) if one.pid != os.getpid()]


def _write(adb_server_port: int, phones: Sequence[ServedPhone]) -> None:
    path = list_path(adb_server_port)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump([asdict(one) for one in phones], file)
    unfinished.replace(path)


def served_phones(adb_server_port: int) -> Sequence[ServedPhone]:
    """The phones that are served on an adb server now; empty if there are none.

    Raises:
        DataError: the list was written by another version.
    """
    path = list_path(adb_server_port)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return ()
    try:
        entries = [ServedPhone(**entry) for entry in json.loads(text)]
    except (json.JSONDecodeError, TypeError) as error:
        names = ", ".join(one.name for one in fields(ServedPhone))
        raise DataError(f"{path} is no list of phones with {names} ({error}); remove it") from error
    return [one for one in entries if psutil.pid_exists(one.pid)]
