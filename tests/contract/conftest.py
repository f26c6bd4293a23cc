"""Fixtures of the contract tests: programs that may be missing on this computer, and phones."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.android import AdbServer
from devices.android.server import find_adb
from devices.browser import find_chromium
from gui_agent.errors import DependencyError

_NO_SEARCH = {"ADB_USB": "0", "ADB_MDNS": "0", "ADB_EMU": "0", "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554"}
"""The server lists what is connected to it, and looks for no other phones."""


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program; tests that need one are skipped where there is none."""
    try:
        return find_chromium()
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def adb_server() -> Iterator[AdbServer]:
    """A real adb server of one's own, on a free port; tests that need one are skipped without adb."""
    try:
        adb = find_adb()
    except DependencyError as error:
        pytest.skip(str(error))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = AdbServer(port=probe.getsockname()[1])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _NO_SEARCH.items():
            patch.setenv(name, value)
        server.start()
    yield server
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run([adb, "-P", str(server.port), "kill-server"], check=False, timeout=10)
