"""The side of a farm across computers that is where the devices are.

A node has the units of one `DeviceSource` and does with each what it is asked: probe, lend, act, restart.
When and how often is decided by the farm that asks, so there is one pool with one record, wherever the
devices are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from devices.farm.guard import Labels
from devices.farm.opening import source_for
from devices.farm.source import DeviceSource, Unit
from devices.farm.wire import WIRE_VERSION, pack, pack_error, unpack
from devices.registry import resolve_suite
from gui_agent.device import Demonstrator, Device, Restorable, Task, TaskSource
from gui_agent.errors import ConfigError, DataError, DeviceError, GuiAgentError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lent:
    """A device that is out.

    Attributes:
        number: tells its lease from others of the same place.
        device: what was lent.
        stack: its end gives the device back.
        snapshots: those that were taken; they stay here, because only the device understands them.
    """

    number: int
    device: Device
    stack: AsyncExitStack
    snapshots: list[Any] = field(default_factory=list)


class Node:
    """The devices of one computer.

    Places number its units from 0 on, in the order in which they came.
    """

    def __init__(self) -> None:
        """There is no device before the request "start"."""
        self._source: DeviceSource | None = None
        self._suite: TaskSource | None = None
        self._units: list[Unit] = []
        self._lent: dict[int, _Lent] = {}
        self._num_leases = 0

    async def ask(self, request: str, *arguments: Any) -> dict[str, Any]:
        """Do what is asked.

        Args:
            request: one of `REQUESTS`.
            arguments: plain data.

        Returns:
            `{"value": …}`, or `{"error": kind, "message": text}` for an error of this project.
        """
        try:
            return {"value": await REQUESTS[request](self, *arguments)}
        except GuiAgentError as error:
            return pack_error(error)

    async def _start(self, wire_version: int, devices: str, suite: str) -> list[str]:
        if wire_version != WIRE_VERSION:
            raise ConfigError(
                f"this computer speaks version {WIRE_VERSION} to devices elsewhere, the one that asks "
                f"{wire_version}; install the same gui-agent on all"
            )
        self._suite = resolve_suite(suite)
        self._source = source_for(devices, self._suite)
        self._units = list(await self._source.start())
        return [unit.name for unit in self._units]

    async def _probe(self, place: int) -> list[str]:
        identity = await self._unit(place).probe()
        return [identity.device, identity.boot]

    async def _open(self, place: int) -> dict[str, Any]:
        await self._end_lease(place)  # of somebody whose request was cut off
        stack = AsyncExitStack()
        device = await stack.enter_async_context(self._unit(place).lease())
        self._num_leases += 1
        self._lent[place] = _Lent(number=self._num_leases, device=device, stack=stack)
        return {
            "number": self._num_leases,
            "kind": type(device).__name__,
            "actions": sorted(cls.__name__ for cls in device.action_space),
            "saves": isinstance(device, Restorable),
            "demonstrates": isinstance(device, Demonstrator),
            "labels": isinstance(device, Labels),
        }

    async def _reset(self, place: int, number: int, task: dict[str, Any]) -> None:
        await self._lease(place, number).device.reset(self._task(**task))

    async def _call(self, place: int, number: int, call: str, *arguments: Any) -> Any:
        method: Callable[..., Awaitable[Any]] = getattr(self._lease(place, number).device, _CALLS[call])
        return pack(await method(*map(unpack, arguments)))

    async def _snapshot(self, place: int, number: int) -> list[int]:
        lent = self._lease(place, number)
        assert isinstance(lent.device, Restorable), "a device that does not save is not asked to"
        lent.snapshots.append(await lent.device.snapshot())
        return [number, len(lent.snapshots) - 1]

    async def _restore(self, place: int, number: int, snapshot: list[int]) -> None:
        lent = self._lease(place, number)
        assert isinstance(lent.device, Restorable), "a device that does not save is not asked to"
        taken_in, index = snapshot
        if taken_in != number or not 0 <= index < len(lent.snapshots):
            raise DataError(
                f"device {self._unit(place).name}: the snapshot was not taken in this lease; on other "
                "computers snapshots last as long as the lease"
            )
        await lent.device.restore(lent.snapshots[index])

    async def _give_back(self, place: int, number: int) -> None:
        lent = self._lent.get(place)
        if lent is not None and lent.number == number:
            await self._end_lease(place)

    async def _reconnect(self, place: int) -> None:
        await self._unit(place).reconnect()

    async def _restart(self, place: int) -> bool:
        return await self._unit(place).restart()

    async def _close_unit(self, place: int) -> None:
        await self._end_lease(place)
        await self._unit(place).close()

    async def _scan(self) -> list[list[Any]]:
        return [self._added(unit) for unit in await self._running().scan()]

    async def _replace(self, place: int) -> list[Any] | None:
        unit = await self._running().replace(self._unit(place))
        return None if unit is None else self._added(unit)

    async def _close(self) -> None:
        for place in list(self._lent):
            await self._end_lease(place)
        source, self._source = self._source, None
        if source is not None:
            await source.close()

    def _added(self, unit: Unit) -> list[Any]:
        self._units.append(unit)
        return [len(self._units) - 1, unit.name]

    def _running(self) -> DeviceSource:
        if self._source is None:
            raise DeviceError("this node was not started, or is closed")
        return self._source

    def _unit(self, place: int) -> Unit:
        if not 0 <= place < len(self._units):
            raise DeviceError(f"there is no device {place} here; there are {len(self._units)}")
        return self._units[place]

    def _lease(self, place: int, number: int) -> _Lent:
        lent = self._lent.get(place)
        if lent is None or lent.number != number:
            raise DeviceError(f"device {self._unit(place).name}: the lease is over; lease a device again")
        return lent

    def _task(self, template: str, seed: int, task_id: str) -> Task:
        assert self._suite is not None, "a device was lent, so the node was started"
        task = self._suite.task(template, seed)
        if task.task_id != task_id:
            raise ConfigError(
                f"task {task_id!r} is none of suite {self._suite.suite!r}, whose {template} with seed {seed} "
                f"is {task.task_id!r}; devices on other computers take tasks of suites"
            )
        return task

    async def _end_lease(self, place: int) -> None:
        lent = self._lent.pop(place, None)
        if lent is not None:
            await lent.stack.aclose()


_CALLS: Final = {
    "observe": "observe",
    "execute": "execute",
    "check": "check",
    "expert": "next_expert_action",
    "elements": "elements",
}
"""Calls of a lent device by the name on the wire; nothing else of it can be reached."""

REQUESTS: Final[dict[str, Callable[..., Awaitable[Any]]]] = {
    "start": Node._start, "probe": Node._probe, "open": Node._open, "reset": Node._reset,
    "call": Node._call, "snapshot": Node._snapshot, "restore": Node._restore,
    "give_back": Node._give_back, "reconnect": Node._reconnect, "restart": Node._restart,
    "close_unit": Node._close_unit, "scan": Node._scan, "replace": Node._replace, "close": Node._close,
}  # fmt: skip
"""What a node can be asked."""
