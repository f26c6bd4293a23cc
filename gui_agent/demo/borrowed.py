"""The device of a session: borrowed, looked at while nothing else uses it, taken up again after a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from gui_agent.actions import Wait, action_type_name
from gui_agent.agent import Steerable
from gui_agent.demo.directed_device import HIDDEN, can_undo
from gui_agent.demo.events import Event, NoticeEvent
from gui_agent.demo.screen import ScreenFeed
from gui_agent.demo.world import SessionSettings, World
from gui_agent.errors import CaptureError, DeviceError
from gui_agent.safety.device import SafeDevice
from gui_agent.safety.verdict import Confirm


class BorrowedDevice:
    """One device behind its safety rules, and what is seen of it.

    Attributes:
        feed: its screens.
        lock: held by whoever uses it.
        device: None before it is borrowed, and where it could not be had again.
        can_undo: it, and the agent with it, can be taken back.
        can_hint: the agent takes hints.
        actions: names of the actions that it performs and the agent has words for.
    """

    def __init__(
        self,
        world: World,
        settings: SessionSettings,
        *,
        confirm: Confirm,
        halted: Callable[[], bool],
        tell: Callable[[Event], None],
        on_fault: Callable[[DeviceError], None],
    ) -> None:
        """Nothing is borrowed yet; `confirm` and `halted` are those of the `SafeDevice`."""
        self.feed = ScreenFeed()
        self.lock = asyncio.Lock()
        self.device: SafeDevice | None = None
        self.can_undo = self.can_hint = False
        self.actions: tuple[str, ...] = ()
        self._world = world
        self._settings = settings
        self._confirm = confirm
        self._halted = halted
        self._tell = tell
        self._on_fault = on_fault
        self._lease = AsyncExitStack()
        self._missing: type[DeviceError] | None = None

    async def open(self) -> None:
        """Borrow it and show its first screen.

        Raises:
            DeviceError: there is no such device, or it does not answer.
            ConfigError: it cannot be used so.
        """
        async with AsyncExitStack() as opening:
            leased = await opening.enter_async_context(self._world.open_device())
            device = SafeDevice(
                leased,
                judge=self._settings.judge,
                confirm=self._confirm,
                secrets=self._settings.secrets,
                ends_when_denied=False,
                halted=self._halted,
            )
            await device.reset(self._world.home)
            self.feed.show(await device.observe())
            await device.preview(Wait())  # rules are read once; the first action is not to wait for that
            agent = self._world.agent_for(leased)
            self.can_undo, self.can_hint = can_undo(leased, agent), isinstance(agent, Steerable)
            known = leased.action_space & (self._world.words or leased.action_space)
            self.actions = tuple(sorted(map(action_type_name, known)))
            self._lease = opening.pop_all()
            self.device = device
            self._missing = None

    async def close(self) -> None:
        """Give it back.

        Raises:
            DeviceError: it broke on the way.
        """
        self.device = None
        await self._lease.aclose()

    async def reopen(self) -> None:
        """Give it back and borrow it again; errors as of `open`."""
        async with self.lock:
            try:
                await self.close()
            except DeviceError as error:
                text = f"giving the device back: {error}"
                self._tell(NoticeEvent(level="warning", code="device", text=text))
            await self.open()

    async def watch(self, *, rests: Callable[[], bool]) -> None:
        """Look at it from time to time, for ever, while nobody uses it and `rests` does not say no."""
        interval_s = self._settings.poll_interval_s
        while interval_s:
            await asyncio.sleep(interval_s)
            device = self.device
            if device is None or self.lock.locked() or not rests():
                continue
            async with self.lock:
                await self.look(device)

    async def look(self, device: SafeDevice) -> None:
        """Show what is on it now; tell what is missing, a picture or the device. The lock is held."""
        was_hidden = self.feed.hidden
        try:
            self.feed.show(await device.observe())
        except CaptureError as error:
            await self._look_for(device, error)
            return
        except DeviceError as error:
            self._miss(error)
            return
        self._missing = None
        if self.feed.hidden and not was_hidden:
            self._tell(HIDDEN)

    async def _look_for(self, device: SafeDevice, error: CaptureError) -> None:
        """There is no picture: of a screen that is dark, or because the device is gone."""
        try:
            await device.preview(Wait())
        except DeviceError as gone:
            self._miss(gone)
        else:
            self._miss(error)

    def _miss(self, error: DeviceError) -> None:
        """Say once what is missing: a picture, or the device."""
        before, self._missing = self._missing, type(error)
        if before is type(error):
            return
        if isinstance(error, CaptureError):
            text = f"no picture of the screen: {error}"
            self._tell(NoticeEvent(level="warning", code="no_picture", text=text))
        else:
            self._on_fault(error)
