"""Fixtures of the contract tests: programs that may be missing on this computer, and phones."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devices.android import AdbServer
from devices.android.server import find_adb
from devices.browser import find_chromium
from devices.farm.node import Node
from devices.farm.node_source import NodeSource
from devices.farm.remote import NodeLink, NodeLostError, RemoteNode
from devices.farm.wire import unpack_error
from devices.phone.adb.android import Android
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.debian.daemon import DebianAdbd, find_adbd, find_sandbox
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


@dataclass
class Loopback:
    """Nodes in this process, reached by a wire that carries plain data and can be cut.

    Attributes:
        source: all of them.
        asked: requests with their arguments and answers, in order.
        started: every node that was ever started.
    """

    source: NodeSource
    asked: list[tuple[str, Any, Any]] = field(default_factory=list)
    started: list[Node] = field(default_factory=list)
    _cut: set[int] = field(default_factory=set)

    def cut(self) -> None:
        """End the processes of all nodes."""
        self._cut.update(map(id, self.started))

    async def connect(self, name: str) -> NodeLink:
        self.started.append(Node())
        return _LoopbackLink(name=name, node=self.started[-1], loopback=self)

    def is_cut(self, node: Node) -> bool:
        return id(node) in self._cut


@dataclass
class _LoopbackLink:
    name: str
    node: Node
    loopback: Loopback

    async def ask(self, request: str, *arguments: Any) -> Any:
        if self.loopback.is_cut(self.node):
            raise NodeLostError(f"{self.name}: gone")
        answer = await self.node.ask(request, *arguments)
        self.loopback.asked.append((request, arguments, answer))
        if self.loopback.is_cut(self.node):
            raise NodeLostError(f"{self.name}: gone during {request}")
        if "error" in answer:
            raise unpack_error(answer, node=self.name)
        return answer["value"]

    async def end(self) -> None:
        await self.node.ask("close")


@pytest.fixture
def loopback() -> Callable[..., Loopback]:
    """Makes nodes in this process: `loopback("phone:2", "phone/quickstart", num_nodes=2)`."""

    def make(devices: str, suite: str, *, num_nodes: int = 1) -> Loopback:
        made = Loopback(source=NodeSource(f"loopback+{devices}", []))
        for number in range(num_nodes):
            name = f"lab-{number + 1}"
            node = RemoteNode(name, partial(made.connect, name), devices=devices, suite=suite)
            made.source.nodes.append(node)
        return made

    return make


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes on this computer, joined by this process."""
    ray = pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` installs it")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else it keeps a token in the home folder
        for _ in range(3):
            cluster = Cluster()
            try:
                for _ in range(2):
                    cluster.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)
                break
            except Exception as error:  # Ray raises no other kind where it did not start in 30 s
                cluster.shutdown()
                reason = str(error)
        else:
            pytest.fail(f"Ray does not start: {reason}")
        try:
            ray.init(address=cluster.address, log_to_driver=False)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture(scope="session")
def debian_adbd() -> Callable[[Android], AdbDaemon]:
    """Makes a phone whose side of adb is Debian's adbd in a sandbox; for tests marked `adbd`."""
    find_adbd()
    find_sandbox()
    return DebianAdbd
