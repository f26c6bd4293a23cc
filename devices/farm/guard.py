"""A lent device: every call has a deadline, and faults and times are counted."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from devices.farm.clock import Clock
from devices.farm.deadline import within
from devices.farm.options import FarmOptions
from devices.farm.statistics import DeviceStatistics
from gui_agent.actions import Action, ParseError
from gui_agent.device import ActionResult, Demonstrator, Device, ExpertAction, Outcome, Restorable, Task
from gui_agent.errors import DeviceError
from gui_agent.observation import Observation, UiElement
from gui_agent.safety.scene import Inspectable, Scene

T = TypeVar("T")


@runtime_checkable
class Labels(Protocol):
    """A device that can say what is on its screen."""

    async def elements(self) -> Sequence[UiElement]:
        """The named widgets that can be seen."""
        ...


class GuardedDevice:
    """A `Device` that hands every call on to another one, with a deadline; made by `guard`.

    A call that overruns its deadline is cancelled and becomes a `DeviceTimeoutError`. The first fault is kept
    in `fault`, whoever swallows the error.

    Args:
        device: the one that is lent.
        name: of the device, for messages.
        options: the deadlines.
        statistics: counted into.
        clock: for the times.
    """

    def __init__(
        self,
        device: Device,
        *,
        name: str,
        options: FarmOptions,
        statistics: DeviceStatistics,
        clock: Clock,
    ) -> None:
        """Nothing is called yet."""
        self._device: Any = device
        self._name = name
        self._options = options
        self._statistics = statistics
        self._clock = clock
        self._ended = False
        self.fault: DeviceError | None = None

    @property
    def action_space(self) -> frozenset[type]:
        """The types of `Action` that the device can perform."""
        return cast("frozenset[type]", self._device.action_space)

    async def reset(self, task: Task) -> None:
        """Bring the device to the start of the task."""
        self._statistics.episodes += 1
        await self._call("reset", self._device.reset(task), self._options.reset_timeout_s)

    async def observe(self) -> Observation:
        """Look, without changing anything."""
        return await self._call("observe", self._device.observe(), self._options.observe_timeout_s)

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform the action, or record why it could not be performed."""
        return await self._call("execute", self._device.execute(action), self._options.execute_timeout_s)

    async def check(self) -> Outcome:
        """Judge the task."""
        return await self._call("check", self._device.check(), self._options.check_timeout_s)

    async def close(self) -> None:
        """Do no more with the device; the farm takes it back when the lease ends."""
        self._ended = True

    async def _call(self, call: str, work: Awaitable[T], limit_s: float) -> T:
        if self._ended:
            cast(Any, work).close()  # a coroutine that is never awaited
            raise DeviceError(f"device {self._name}: {call}: the lease is over; lease a device again")
        began_s = self._clock.now_s()
        try:
            found = await within(limit_s, work, f"device {self._name}: {call}")
        except DeviceError as error:
            self.fault = self.fault or error
            raise
        self._statistics.called(call, self._clock.now_s() - began_s)
        return found


class _Saves(GuardedDevice):
    async def snapshot(self) -> Any:
        """The whole state, as an opaque value."""
        return await self._call("snapshot", self._device.snapshot(), self._options.check_timeout_s)

    async def restore(self, snapshot: Any) -> None:
        """Go back to a state that `snapshot` returned."""
        await self._call("restore", self._device.restore(snapshot), self._options.reset_timeout_s)


class _Demonstrates(GuardedDevice):
    async def next_expert_action(self) -> ExpertAction | None:
        """The expert's action at the current state."""
        return await self._call("expert", self._device.next_expert_action(), self._options.check_timeout_s)


class _Labels(GuardedDevice):
    async def elements(self) -> Sequence[UiElement]:
        """The named widgets that can be seen."""
        return await self._call("elements", self._device.elements(), self._options.observe_timeout_s)


class _Inspects(GuardedDevice):
    async def scene(self, action: Action) -> Scene:
        """What an action would hit now."""
        return await self._call("scene", self._device.scene(action), self._options.observe_timeout_s)


@cache
def _guard_class(
    kind: type[Device], saves: bool, demonstrates: bool, labels: bool, inspects: bool
) -> type[GuardedDevice]:
    """A guard promises what its device can, and no more; it is called like the device in messages."""
    wanted = {_Saves: saves, _Demonstrates: demonstrates, _Labels: labels, _Inspects: inspects}
    bases = tuple(base for base, wants in wanted.items() if wants) or (GuardedDevice,)
    return type(kind.__name__, bases, {})


def guard(
    device: Device, *, name: str, options: FarmOptions, statistics: DeviceStatistics, clock: Clock
) -> GuardedDevice:
    """The guarded device; it is `Restorable` and a `Demonstrator` where `device` is."""
    kind = _guard_class(
        type(device),
        isinstance(device, Restorable),
        isinstance(device, Demonstrator),
        isinstance(device, Labels),
        isinstance(device, Inspectable),
    )
    return kind(device, name=name, options=options, statistics=statistics, clock=clock)
