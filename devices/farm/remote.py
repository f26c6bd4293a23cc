"""The side of a farm across computers that asks: units and devices that are elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Protocol

from devices.farm.source import Identity
from devices.farm.wire import ACTION_TYPES, WIRE_VERSION, pack, unpack
from gui_agent.actions import Action, ParseError
from gui_agent.device import ActionResult, Device, ExpertAction, Outcome, Task
from gui_agent.errors import DeviceError
from gui_agent.observation import Observation, UiElement


class NodeLostError(DeviceError):
    """The process with the devices is gone; it may be started anew."""


class NodeLink(Protocol):
    """The way to one `devices.farm.node.Node`. A request that is cancelled here is cancelled there."""

    async def ask(self, request: str, *arguments: Any) -> Any:
        """The value of the node's answer.

        Raises:
            NodeLostError: the node is gone.
            GuiAgentError: what the node answered with.
        """
        ...

    async def end(self) -> None:
        """End the node's process."""
        ...


Connect = Callable[[], Awaitable[NodeLink]]
"""Starts a node's process; `DeviceError` if that is not possible."""


class RemoteNode:
    """The devices of another computer, or of another process.

    Args:
        name: of the computer, for people.
        connect: starts its process.
        devices: what to open there: "phone:4", "android:all".
        suite: name of the suite that runs there.
    """

    def __init__(self, name: str, connect: Connect, *, devices: str, suite: str) -> None:
        """Nothing is started yet."""
        self.name = name
        self._connect = connect
        self._devices = devices
        self._suite = suite
        self._link: NodeLink | None = None
        self._is_closed = False
        self._units: list[RemoteUnit] = []
        self._reviving = asyncio.Lock()

    async def start(self) -> Sequence[RemoteUnit]:
        """Start the process and its devices.

        Raises:
            GuiAgentError: the process or the devices cannot be started; no process is left.
        """
        return [self._add(place, name) for place, name in enumerate(await self._open())]

    async def ask(self, request: str, *arguments: Any) -> Any:
        """What the node answers.

        Raises:
            NodeLostError: it is gone.
        """
        link = self._link
        if link is None:
            raise NodeLostError(f"{self.name}: the process with the devices is gone")
        try:
            return await link.ask(request, *arguments)
        except NodeLostError:
            if self._link is link:
                self._link = None
            raise

    async def revive(self) -> bool:
        """Start the process anew if it is gone.

        Returns:
            False if it runs.

        Raises:
            DeviceError: it does not start.
        """
        async with self._reviving:
            if self._link is not None:
                return False
            if self._is_closed:
                raise DeviceError(f"{self.name} is closed")
            names = await self._open()
            known = {names.index(unit.local_name) for unit in self._units if unit.local_name in names}
            for unit in self._units:
                if unit.local_name in names:
                    unit.place = names.index(unit.local_name)
                elif unit.place in known or unit.place >= len(names):
                    unit.place = -1  # what was there has not come back
            return True

    async def scan(self) -> list[RemoteUnit]:
        """Devices that were plugged in there."""
        if self._link is None:
            return []
        return [self._add(place, name) for place, name in await self.ask("scan")]

    async def replace(self, unit: RemoteUnit) -> RemoteUnit | None:
        """Another device there for one that was given up."""
        found = await self.ask("replace", unit.place)
        return None if found is None else self._add(*found)

    async def close(self) -> None:
        """End the devices and the process; calling it twice is fine.

        Raises:
            DeviceError: the devices did not end; the process did.
        """
        self._is_closed = True
        link, self._link = self._link, None
        if link is None:
            return
        try:
            await link.ask("close")
        except NodeLostError:
            return
        finally:
            await link.end()

    async def _open(self) -> list[str]:
        link = await self._connect()
        try:
            names: list[str] = await link.ask("start", WIRE_VERSION, self._devices, self._suite)
        except BaseException:  # also cancelled: a process that nobody knows would stay
            await link.end()
            raise
        self._link = link
        return names

    def _add(self, place: int, name: str) -> RemoteUnit:
        self._units.append(RemoteUnit(self, place, name))
        return self._units[-1]


class RemoteUnit:
    """One device of a node (implements `devices.farm.source.Unit`).

    Args:
        node: where it is.
        place: its number there.
        local_name: how it is called there.

    Attributes:
        name: with the node in front: "lab-2/emulator-5554".
    """

    def __init__(self, node: RemoteNode, place: int, local_name: str) -> None:
        """Nothing is asked yet."""
        self.name = f"{node.name}/{local_name}"
        self.local_name = local_name
        self.place = place
        self.node = node

    async def probe(self) -> Identity:
        """The device's own answer, through its computer."""
        device, boot = await self.node.ask("probe", self.place)
        return Identity(device=device, boot=boot)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Device]:
        """The device, until the context ends."""
        opened = await self.node.ask("open", self.place)
        place, number = self.place, opened["number"]
        kind = _device_class(opened["kind"], opened["saves"], opened["demonstrates"], opened["labels"])
        action_space = frozenset(ACTION_TYPES[name] for name in opened["actions"])
        try:
            yield kind(self.node, place, number, action_space)
        finally:
            await self.node.ask("give_back", place, number)

    async def reconnect(self) -> None:
        """Start the process with the device anew if it is gone, else take up the device's connection."""
        if not await self.node.revive():
            await self.node.ask("reconnect", self.place)

    async def restart(self) -> bool:
        """Start the device anew where it is, or with its process."""
        if await self.node.revive():
            return True
        return bool(await self.node.ask("restart", self.place))

    async def close(self) -> None:
        """Give it up; with a process that is gone there is nothing to give up."""
        try:
            await self.node.ask("close_unit", self.place)
        except NodeLostError:
            return


class RemoteDevice:
    """A `Device` that is elsewhere.

    Args:
        node: where it is.
        place: its number there.
        number: of the lease.
        action_space: the types of `Action` that it can perform.
    """

    def __init__(self, node: RemoteNode, place: int, number: int, action_space: frozenset[type]) -> None:
        """Nothing is asked yet."""
        self._node = node
        self._lease = (place, number)
        self.action_space = action_space

    async def reset(self, task: Task) -> None:
        """Bring the device to the start of the task, which is drawn again from its suite there."""
        named = {"template": task.template, "seed": task.seed, "task_id": task.task_id}
        await self._node.ask("reset", *self._lease, named)

    async def observe(self) -> Observation:
        """Look, without changing anything."""
        seen: Observation = await self._call("observe")
        return seen

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform the action, or record why it could not be performed."""
        result: ActionResult = await self._call("execute", action)
        return result

    async def check(self) -> Outcome:
        """Judge the task."""
        outcome: Outcome = await self._call("check")
        return outcome

    async def close(self) -> None:
        """The end of the lease closes it."""

    async def _call(self, call: str, *arguments: object) -> Any:
        return unpack(await self._node.ask("call", *self._lease, call, *map(pack, arguments)))


class _Saves(RemoteDevice):
    async def snapshot(self) -> Any:
        """The whole state, which stays there; a name for it, good for this lease."""
        return await self._node.ask("snapshot", *self._lease)

    async def restore(self, snapshot: Any) -> None:
        """Go back to a state that `snapshot` returned in this lease."""
        await self._node.ask("restore", *self._lease, snapshot)


class _Demonstrates(RemoteDevice):
    async def next_expert_action(self) -> ExpertAction | None:
        """The expert's action at the current state."""
        expert: ExpertAction | None = await self._call("expert")
        return expert


class _Labels(RemoteDevice):
    async def elements(self) -> Sequence[UiElement]:
        """The named widgets that can be seen."""
        found: Sequence[UiElement] = await self._call("elements")
        return found


@cache
def _device_class(name: str, saves: bool, demonstrates: bool, labels: bool) -> type[RemoteDevice]:
    """It promises what the device there can, and no more; it is called like that one in messages."""
    wanted = {_Saves: saves, _Demonstrates: demonstrates, _Labels: labels}
    bases = tuple(base for base, wants in wanted.items() if wants) or (RemoteDevice,)
    return type(name, bases, {})
