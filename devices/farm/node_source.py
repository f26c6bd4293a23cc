"""The devices of several computers as one source of a farm."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Sequence
from typing import Final

from devices.farm.deadline import within
from devices.farm.remote import NodeLostError, RemoteNode, RemoteUnit
from devices.farm.source import Unit
from gui_agent.errors import DependencyError, DeviceError

_CLOSE_TIMEOUT_S: Final = 60.0


class NodeSource:
    """All devices of some nodes (implements `devices.farm.source.DeviceSource`).

    A node without devices, or without a program that they need, is left out with a warning, unless none has
    any.

    Args:
        name: for people.
        nodes: where the devices are.
        start_timeout_s: for the process and the devices of each node; they start side by side.
    """

    def __init__(self, name: str, nodes: Sequence[RemoteNode], *, start_timeout_s: float = 300.0) -> None:
        """Nothing is started yet."""
        self.name = name
        self.nodes = list(nodes)
        self._start_timeout_s = start_timeout_s

    async def start(self) -> Sequence[Unit]:
        """Start every node.

        Raises:
            ConfigError: the devices are impossible.
            DeviceError: no node has a device.
        """
        what = "opening its devices (is another run using them?)"
        starts = (within(self._start_timeout_s, node.start(), f"{node.name}: {what}") for node in self.nodes)
        results = await asyncio.gather(*starts, return_exceptions=True)
        units: list[Unit] = []
        failures: list[DeviceError | DependencyError] = []
        for node, result in zip(self.nodes, results, strict=True):
            if isinstance(result, (DeviceError, DependencyError)):
                failures.append(result)
                warnings.warn(f"{node.name} has no device for this run: {result}", stacklevel=2)
            elif isinstance(result, BaseException):
                raise result
            else:
                units.extend(result)
        if not units:
            reasons = "; ".join(map(str, failures)) or "there is no computer"
            raise DeviceError(f"devices {self.name!r}: no computer has a device: {reasons}")
        return units

    async def scan(self) -> Sequence[Unit]:
        """Devices that were plugged in on some node; one that is gone has none."""
        found: list[Unit] = []
        for node in self.nodes:
            with contextlib.suppress(NodeLostError):
                found.extend(await node.scan())
        return found

    async def replace(self, unit: Unit) -> Unit | None:
        """Another device of the same node, if it has one."""
        assert isinstance(unit, RemoteUnit), "units come from this source"
        return await unit.node.replace(unit)

    async def close(self) -> None:
        """End the devices and the processes; calling it twice is fine."""
        closing = (within(_CLOSE_TIMEOUT_S, node.close(), f"{node.name}: closing") for node in self.nodes)
        for result in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(result, DeviceError):  # a run that is over must not fail
                warnings.warn(str(result), stacklevel=2)
            elif isinstance(result, BaseException):
                raise result
