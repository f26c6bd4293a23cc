"""From a fault back to health: probe, reconnect, restart, and rest longer after each vain try."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from devices.farm.clock import Clock
from devices.farm.deadline import within
from devices.farm.events import EventLog
from devices.farm.member import Member, MemberState
from devices.farm.options import FarmOptions
from gui_agent.errors import DeviceError

Remedy = Callable[[Member], Awaitable[bool]]
"""Does something about a device; false if that is not possible with this kind of device."""


class WrongDeviceError(DeviceError):
    """Another device answers under this name."""


class Recovery:
    """Brings members of a farm back.

    Args:
        options: deadlines and back-off.
        clock: for quarantines.
        events: told what happens.
        on_rest: called with a member that begins a quarantine.
    """

    def __init__(
        self, options: FarmOptions, clock: Clock, events: EventLog, *, on_rest: Callable[[Member], None]
    ) -> None:
        """Nothing happens before the first call."""
        self._on_rest = on_rest
        self._options = options
        self._clock = clock
        self._events = events

    def enter(self, member: Member, state: MemberState, reason: str = "") -> None:
        """Note what a member is doing from now on."""
        member.state, member.since_s, member.reason = state, self._clock.now_s(), reason

    async def probe(self, member: Member) -> None:
        """Ask the device whether it answers, and who it is.

        Raises:
            WrongDeviceError: it is not the one that it was.
            DeviceError: it does not answer.
        """
        limit_s = self._options.probe_timeout_s
        identity = await within(limit_s, member.unit.probe(), f"device {member.name}: probe")
        known = member.identity
        if known is not None and known.device and identity.device != known.device:
            raise WrongDeviceError(
                f"device {member.name} says it is {identity.device!r}, but was {known.device!r} before; give "
                "each device an address of its own"
            )
        member.identity = identity

    async def heal(self, member: Member) -> bool:
        """Work on a member that failed until it answers again.

        Returns:
            False if it was tried often enough: `max_failures` in a row.
        """
        while member.failures <= self._options.max_failures:
            if rest_s := self._options.quarantine_s(member.failures):
                await self._quarantine(member, rest_s)
            async with self._failure_noted(member):
                await self._remedy(member)
                self._events.add(member.name, "recovered")
                return True
        return False

    async def _quarantine(self, member: Member, rest_s: float) -> None:
        self.enter(member, MemberState.QUARANTINED, member.reason)
        self._events.add(member.name, "quarantined", f"{rest_s:g} s: {member.reason}")
        self._on_rest(member)
        try:
            await self._clock.sleep(rest_s)
        finally:
            member.statistics.quarantined_s += self._clock.now_s() - member.since_s
            self.enter(member, MemberState.CHECKING, member.reason)

    async def _remedy(self, member: Member) -> None:
        """The gentlest thing after which the device answers; the error of the last one if it does not."""
        gentle: list[Remedy] = [self._nothing, self._reconnect, self._restart]
        # A device that answers and fails all the same is started anew first.
        thorough: list[Remedy] = [self._restart, self._reconnect]
        remedies = gentle if member.failures <= self._options.free_faults else thorough
        last: DeviceError | None = None
        for remedy in remedies:
            try:
                if await remedy(member):
                    await self.probe(member)
                    return
            except DeviceError as error:
                last = error
        assert last is not None, "reconnecting is always tried"
        raise last

    async def _nothing(self, member: Member) -> bool:
        return True

    async def _reconnect(self, member: Member) -> bool:
        limit_s = self._options.reconnect_timeout_s
        await within(limit_s, member.unit.reconnect(), f"device {member.name}: reconnecting")
        member.statistics.reconnects += 1
        return True

    async def _restart(self, member: Member) -> bool:
        limit_s = self._options.restart_timeout_s
        restarted = await within(limit_s, member.unit.restart(), f"device {member.name}: restarting")
        if restarted:
            member.statistics.restarts += 1
            self._events.add(member.name, "restarted")
        return restarted

    @asynccontextmanager
    async def _failure_noted(self, member: Member) -> AsyncIterator[None]:
        try:
            yield
        except DeviceError as error:
            member.failures += 1
            member.reason = str(error)
            self._events.add(member.name, "not recovered", member.reason)
