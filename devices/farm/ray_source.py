"""Devices of several computers as one farm, with Ray: one actor with the devices of each computer.

Needs `pip install "gui-agent[ray]"` and the same gui-agent on every computer of the cluster. The farm stays
where the training is: actors lend and act, and decide nothing. What passes is plain data, see `wire.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from devices.farm.deadline import within
from devices.farm.node import Node
from devices.farm.node_source import NodeSource
from devices.farm.remote import NodeLink, NodeLostError, RemoteNode
from devices.farm.source import Unit
from devices.farm.wire import unpack_error
from gui_agent.errors import ConfigError, DependencyError, DeviceError, DeviceTimeoutError

_ADDRESS_TIMEOUT_S: Final = 10.0
RESOURCE: Final = "devices"
"""Computers that declare this resource of Ray have the devices; where none does, all have."""


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise DependencyError(
            "devices on other computers need Ray; `pip install 'gui-agent[ray]'` here and there"
        ) from error
    return ray


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A computer of the cluster.

    Attributes:
        name: for people; different from those of the others.
        address: by which it is found again when it comes back.
        declares: whether it declares the resource `RESOURCE`.
        node_id: as Ray calls it now.
    """

    name: str
    address: str
    declares: bool
    node_id: str


def device_hosts(nodes: Sequence[dict[str, Any]]) -> list[Host]:
    """The computers that have devices.

    Args:
        nodes: as `ray.nodes()` lists them.

    Returns:
        Those that declare `RESOURCE` and are there, or all that are there if none declares it; in the order
        of their names. Two of one name are told apart by numbers: "lab", "lab#2".
    """
    alive = [node for node in nodes if node["Alive"]]
    declaring = [node for node in alive if node["Resources"].get(RESOURCE, 0) >= 1]
    chosen = sorted(declaring or alive, key=lambda node: (node["NodeManagerHostname"], node["NodeID"]))
    counted: Counter[str] = Counter()
    found = []
    for node in chosen:
        host = node["NodeManagerHostname"]
        counted[host] += 1
        found.append(
            Host(
                name=host if counted[host] == 1 else f"{host}#{counted[host]}",
                address=f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}",
                declares=bool(declaring),
                node_id=node["NodeID"],
            )
        )
    return found


async def check_address(address: str) -> None:
    """Refuse an address of a cluster that nobody answers at: Ray itself would try it for many minutes.

    Raises:
        ConfigError: it is none, or nobody answers.
    """
    if "://" in address:
        raise ConfigError(
            f"RAY_ADDRESS={address}: devices are not reached through Ray Client; let this computer join the "
            "cluster (`ray start --address=HOST:PORT`) and set RAY_ADDRESS=HOST:PORT"
        )
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        return  # none, "auto" or "local"
    try:
        what = f"RAY_ADDRESS={address}: connecting"
        _, writer = await within(_ADDRESS_TIMEOUT_S, asyncio.open_connection(host, int(port)), what)
    except (OSError, DeviceTimeoutError) as error:
        raise ConfigError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error}); `ray start --head` starts one "
            "and says its address"
        ) from error
    writer.close()


class RaySource(NodeSource):
    """The devices of a Ray cluster.

    A Ray that this process is connected to is used, and stays. Otherwise the cluster is the one that
    `RAY_ADDRESS` names, else one that runs on this computer, else one that is started for the time of the
    farm.

    Args:
        devices: what to open on each computer: "phone:4", "android:all".
        suite: name of the suite that runs there.
        start_timeout_s: for the actor and the devices of a computer.
    """

    def __init__(self, devices: str, suite: str, *, start_timeout_s: float = 300.0) -> None:
        """Nothing is started yet.

        Raises:
            DependencyError: Ray is not installed.
        """
        super().__init__(f"ray+{devices}", [], start_timeout_s=start_timeout_s)
        self._ray = _ray()
        self._devices = devices
        self._suite = suite
        self._ends_ray = False

    async def start(self) -> Sequence[Unit]:
        """Start an actor with its devices on every computer that has some.

        Raises:
            ConfigError: the cluster is not there, or the devices are impossible.
            DeviceError: no computer has a device.
        """
        await self._join_cluster()
        self.nodes = [self._node(host) for host in device_hosts(await asyncio.to_thread(self._ray.nodes))]
        return await super().start()

    async def _join_cluster(self) -> None:
        if self._ray.is_initialized():
            return
        address = os.environ.get("RAY_ADDRESS", "")
        await check_address(address)
        # A cluster that is started here tells nobody about itself, unless somebody wants that.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ends_ray = True
        try:
            self._ray.init(include_dashboard=False, logging_level=logging.WARNING, log_to_driver=False)
        except Exception as error:  # Ray raises nothing narrower where its processes do not start
            raise DeviceError(
                f"the Ray cluster {address or 'of this computer'!r} cannot be joined: {error}; this computer "
                "must be part of it (`ray start --address=HOST:PORT`), or have none (`ray stop`)"
            ) from error

    def _node(self, host: Host) -> RemoteNode:
        connect = partial(self._connect, host)
        return RemoteNode(host.name, connect, devices=self._devices, suite=self._suite)

    async def _connect(self, host: Host) -> NodeLink:
        """A new actor on a computer, which may have left the cluster and come back meanwhile."""
        hosts = device_hosts(await asyncio.to_thread(self._ray.nodes))
        here = next((one for one in hosts if one.node_id == host.node_id), None)
        here = here or next((one for one in hosts if one.address == host.address), None)
        if here is None:
            raise NodeLostError(f"{host.name} has left the Ray cluster")
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            self._ray.remote(Node)
            .options(
                num_cpus=0,  # it waits for devices most of the time
                resources={RESOURCE: 1} if here.declares else None,
                scheduling_strategy=NodeAffinitySchedulingStrategy(here.node_id, soft=False),
                max_restarts=0,  # a Node that begins anew has no devices; `RemoteNode` starts another
                max_task_retries=0,
            )
            .remote()
        )
        return RayLink(self._ray, actor, host.name)

    async def close(self) -> None:
        """End the devices and the actors, and a Ray that was joined here; calling it twice is fine."""
        await super().close()
        if self._ends_ray:
            self._ends_ray = False
            await asyncio.to_thread(self._ray.shutdown)


class RayLink:
    """The way to an actor (implements `devices.farm.remote.NodeLink`).

    Args:
        ray: the package.
        actor: of the class `Node`.
        node: its computer, for messages.
    """

    def __init__(self, ray: Any, actor: Any, node: str) -> None:
        """Nothing is asked yet."""
        self._ray = ray
        self._actor = actor
        self._node = node

    async def ask(self, request: str, *arguments: Any) -> Any:
        """The value of the actor's answer."""
        answer = self._actor.ask.remote(request, *arguments)
        lost = self._ray.exceptions
        try:
            found = await answer
        except asyncio.CancelledError:
            self._ray.cancel(answer)
            raise
        except (lost.ActorDiedError, lost.ActorUnschedulableError, lost.NodeDiedError) as error:
            first_line = str(error).strip().partition("\n")[0]
            raise NodeLostError(
                f"{self._node}: the process with the devices is gone, during {request!r}: {first_line}"
            ) from error
        except lost.RayTaskError:
            raise  # a mistake in the program there, with its traceback
        except lost.RayError as error:
            raise DeviceError(f"{self._node}: {request!r} got no answer: {error}") from error
        if "error" in found:
            raise unpack_error(found, node=self._node)
        return found["value"]

    async def end(self) -> None:
        """End the actor's process."""
        self._ray.kill(self._actor, no_restart=True)
