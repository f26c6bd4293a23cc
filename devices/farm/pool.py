"""The farm: devices of several sources, lent one at a time and brought back when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devices.farm.clock import Clock
from devices.farm.deadline import within
from devices.farm.events import EventLog
from devices.farm.guard import GuardedDevice, guard
from devices.farm.member import Member, MemberState
from devices.farm.options import FarmOptions
from devices.farm.recovery import Recovery, WrongDeviceError
from devices.farm.source import DeviceSource, Unit
from devices.farm.statistics import FaultKind, fault_kind
from devices.farm.status import FarmStatus, write_status
from gui_agent.device import Device
from gui_agent.errors import ConfigError, DeviceError, NoDeviceError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lent:
    """A device that is out."""

    member: Member
    device: GuardedDevice
    stack: AsyncExitStack


class DeviceFarm:
    """Lends devices of several sources (implements `gui_agent.device.DeviceFactory`).

        async with DeviceFarm([source]) as farm, farm.lease() as device:
            await device.reset(task)

    A device answers a probe before it is lent, every call has a deadline, and one that failed is brought back
    while others are lent: it is probed, reconnected, restarted, put into quarantine for longer and longer,
    and at last given up and replaced if its source has another. A device that is listed twice is lent once.

    Args:
        sources: where devices come from, at least one.
        options: deadlines and back-off.
        status_path: written every second or so for `gui-agent farm status`; None writes nothing.
        clock: for tests.

    Attributes:
        members: all devices that ever were in the farm, in the order in which they came.
        events: what happened.

    Raises:
        ConfigError: there is no source.
    """

    def __init__(
        self,
        sources: Sequence[DeviceSource],
        *,
        options: FarmOptions | None = None,
        status_path: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is started before `start`."""
        if not sources:
            raise ConfigError("a farm without a source of devices; give at least one")
        self.members: list[Member] = []
        self.events = EventLog()
        self._sources = tuple(sources)
        self._options = options or FarmOptions()
        self._clock = clock or Clock()
        self._status_path = status_path
        self._recovery = Recovery(self._options, self._clock, self.events, on_rest=self._tell_if_none_is_left)
        self._idle: deque[Member] = deque()
        self._waiting: deque[asyncio.Future[Member]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started_at_s = time.time()
        self._is_running = False
        self._failure: NoDeviceError | None = None

    # Lending

    @property
    def capacity(self) -> int:
        """Devices that are not given up; one that is being brought back counts, and a lease waits for it."""
        return sum(member.can_be_lent for member in self.members)

    @property
    def num_healthy(self) -> int:
        """Devices that are lent or could be lent now."""
        return sum(member.state in (MemberState.READY, MemberState.LEASED) for member in self.members)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Device]:
        """A device of one's own until the context ends; waits while none is free but one may come back.

        Raises:
            NoDeviceError: all devices were given up.
            ConfigError: the farm is not running.
        """
        lent = await self._borrow()
        try:
            yield lent.device
        finally:
            await self._take_back(lent)

    async def _borrow(self) -> _Lent:
        while True:
            member = await self._next_member()
            lent = await self._open(member)
            if lent is not None:
                return lent

    async def _next_member(self) -> Member:
        if not self._is_running:
            raise ConfigError("this farm is not running; use it in `async with DeviceFarm(...) as farm:`")
        if self._failure is not None:
            raise self._failure
        if not self.capacity:
            raise self._nothing_left()
        if self._idle:
            member = self._idle.popleft()
            self._recovery.enter(member, MemberState.LEASED)
            return member
        turn: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._offer(turn.result())
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)

    async def _open(self, member: Member) -> _Lent | None:
        """Probe and open a device; None if that failed, and somebody is looking after it."""
        stack, kind = AsyncExitStack(), FaultKind.SILENT
        limit_s = self._options.lease_timeout_s
        try:
            await self._recovery.probe(member)
            kind = FaultKind.OPENING
            opening = stack.enter_async_context(member.unit.lease())
            device = await within(limit_s, opening, f"device {member.name}: opening")
        except WrongDeviceError as error:
            self._failed(member, FaultKind.WRONG_DEVICE, error)
            return None
        except DeviceError as error:
            self._failed(member, kind, error)
            return None
        except BaseException:  # cancelled, or a mistake of the caller: not the device's fault
            self._offer(member)
            raise
        member.statistics.leases += 1
        guarded = guard(
            device,
            name=member.name,
            options=self._options,
            statistics=member.statistics,
            clock=self._clock,
        )
        return _Lent(member=member, device=guarded, stack=stack)

    async def _take_back(self, lent: _Lent) -> None:
        member, fault = lent.member, lent.device.fault
        kind = None if fault is None else fault_kind(fault)
        await lent.device.close()
        limit_s, what = self._options.lease_timeout_s, f"device {member.name}: giving it back"
        is_back = False
        try:
            await within(limit_s, lent.stack.aclose(), what)
            is_back = True
        except DeviceError as error:  # the episode is over and stands
            fault, kind = fault or error, kind or FaultKind.RETURN
        finally:
            if fault is not None and kind is not None:
                self._failed(member, kind, fault)
            elif is_back:
                member.failures = 0
                self._offer(member)
            else:
                self._failed(member, FaultKind.RETURN, DeviceError(f"{what} was interrupted"))

    def _offer(self, member: Member) -> None:
        """Give a healthy device to whoever waits longest."""
        if not self._is_running:
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._recovery.enter(member, MemberState.LEASED)
                turn.set_result(member)
                return
        self._recovery.enter(member, MemberState.READY)
        self._idle.append(member)

    # Bringing back

    def _failed(self, member: Member, kind: FaultKind, error: DeviceError) -> None:
        member.statistics.faults[kind] += 1
        member.failures += 1
        self._recovery.enter(member, MemberState.CHECKING, str(error))
        self.events.add(member.name, "fault", f"{kind}: {error}")
        if self._is_running:
            self._spawn(self._bring_back(member))

    def _tell_if_none_is_left(self, member: Member) -> None:
        if not self.num_healthy:
            warnings.warn(
                f"no device answers; {self.capacity} may come back and are waited for: {member.reason}",
                stacklevel=2,
            )

    async def _bring_back(self, member: Member) -> None:
        if await self._recovery.heal(member):
            self._welcome(member)
        else:
            await self._give_up(member)

    def _welcome(self, member: Member) -> None:
        """Lend a device that answers, unless it is lent under another name."""
        twin = self._twin(member)
        if twin is None:
            self._offer(member)
            return
        self._recovery.enter(member, MemberState.DUPLICATE, f"is the same device as {twin.name}")
        self.events.add(member.name, "duplicate", member.reason)

    def _twin(self, member: Member) -> Member | None:
        """The member that is the same device and has its place in the farm already."""
        mine = member.identity
        for other in self.members:
            theirs = other.identity
            same = mine is not None and theirs is not None and mine.is_same_device(theirs)
            if other is not member and same and other.has_a_place:
                return other
        return None

    async def _give_up(self, member: Member) -> None:
        """Close a device for good; until its source has said whether there is another, it may come back."""
        self.events.add(member.name, "lost", member.reason)
        warnings.warn(f"a device was given up: {member.reason}", stacklevel=2)
        await self._close_unit(member)
        unit = await self._replacement(member)
        self._recovery.enter(member, MemberState.LOST, member.reason)
        if unit is not None:
            self.events.add(member.name, "replaced", f"by {unit.name}")
            self._spawn(self._admit(self._new_member(member.source, unit)))
        for other in self.members:
            if other.state is MemberState.DUPLICATE and self._twin(other) is None:
                self._recovery.enter(other, MemberState.CHECKING)
                self._spawn(self._bring_back(other))
        if not self.capacity:
            self._fail_waiting(self._nothing_left())

    async def _replacement(self, member: Member) -> Unit | None:
        limit_s = self._options.restart_timeout_s
        try:
            return await within(limit_s, member.source.replace(member.unit), f"replacing {member.name}")
        except DeviceError as error:
            self.events.add(member.name, "not replaced", str(error))
            return None

    def _new_member(self, source: DeviceSource, unit: Unit) -> Member:
        member = Member(unit=unit, source=source, since_s=self._clock.now_s())
        self.members.append(member)
        return member

    async def _admit(self, member: Member) -> None:
        """Look at a new device, and lend it."""
        await self._first_look(member)
        if member.state is MemberState.CHECKING and not member.failures:
            self._welcome(member)

    async def _first_look(self, member: Member) -> None:
        try:
            await self._recovery.probe(member)
        except DeviceError as error:
            self._failed(member, FaultKind.SILENT, error)

    def _nothing_left(self) -> NoDeviceError:
        if not self.members:
            names = ", ".join(source.name for source in self._sources)
            return NoDeviceError(f"the farm has no device: its sources ({names}) brought none")
        reasons = "; ".join(
            f"{member.name}: {member.reason.partition(chr(10))[0]}"
            for member in self.members
            if member.state is MemberState.LOST
        )
        return NoDeviceError(
            f"no device is left: all were given up after {self._options.max_failures} failures in a row "
            f"({reasons}); repair or replace them and run the command again"
        )

    def _fail_waiting(self, error: NoDeviceError) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)

    # Running

    async def start(self) -> None:
        """Start the sources and look at every device once; those that do not answer are brought back later.

        Raises:
            ConfigError: a source is impossible, or the farm was started before.
            DependencyError: a program is missing.
            DeviceError: a source has no device.
        """
        if self.members:
            raise ConfigError("this farm was started before; make a new one")
        self._is_running = True
        try:
            for source in self._sources:
                for unit in await source.start():
                    self._new_member(source, unit)
            await asyncio.gather(*map(self._first_look, self.members))
            for member in self.members:
                if member.state is MemberState.CHECKING and not member.failures:
                    self._welcome(member)
        except BaseException:  # a start that is cancelled leaves nothing behind either
            await self.close()
            raise
        self._write_status()
        self._spawn(self._look_for_more())
        if self._status_path is not None:
            self._spawn(self._keep_status())

    async def close(self) -> None:
        """End everything that the farm started; calling it twice is fine."""
        was_running, self._is_running = self._is_running, False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_waiting(NoDeviceError("the farm was closed while somebody waited for a device"))
        self._idle.clear()
        for member in self.members:
            await self._close_unit(member)
        for source in self._sources:
            await source.close()
        if was_running:
            self._write_status()

    async def __aenter__(self) -> Self:
        """The farm, running."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        await self.close()

    async def _close_unit(self, member: Member) -> None:
        try:
            limit_s = self._options.lease_timeout_s
            await within(limit_s, member.unit.close(), f"device {member.name}: closing")
        except DeviceError as error:
            self.events.add(member.name, "not closed", str(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A mistake in a source must end the run, not leave it waiting for a device.
            self.events.add("", "error", f"{type(error).__name__}: {error}")
            self._failure = NoDeviceError(f"the farm failed: {type(error).__name__}: {error}")
            self._failure.__cause__ = error
            self._fail_waiting(self._failure)

    async def _look_for_more(self) -> None:
        while True:
            await self._clock.sleep(self._options.rescan_s)
            for source in self._sources:
                try:
                    units = await within(self._options.reconnect_timeout_s, source.scan(), source.name)
                except DeviceError as error:
                    self.events.add("", "not scanned", str(error))
                    continue
                for unit in units:
                    self.events.add(unit.name, "found")
                    await self._admit(self._new_member(source, unit))

    # Telling

    def status(self) -> FarmStatus:
        """How the farm is doing now."""
        now_s = self._clock.now_s()
        return FarmStatus(
            started_at_s=self._started_at_s,
            written_at_s=time.time(),
            is_running=self._is_running,
            capacity=self.capacity,
            num_healthy=self.num_healthy,
            num_waiting=len(self._waiting),
            devices=tuple(member.to_json(now_s) for member in self.members),
            events=tuple(event.to_json() for event in self.events.newest(50)),
        )

    async def _keep_status(self) -> None:
        while True:
            await self._clock.sleep(self._options.status_interval_s)
            self._write_status()

    def _write_status(self) -> None:
        if self._status_path is None:
            return
        try:
            write_status(self._status_path, self.status())
        except OSError as error:  # a full disk must not end a training for the sake of its status
            self.events.add("", "status not written", str(error))
