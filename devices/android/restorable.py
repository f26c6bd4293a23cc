"""Phones that can be saved and restored whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from devices.android.device import AndroidDevice
from gui_agent.device import Restorable, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class AndroidSnapshot:
    """A saved phone, and the task it was on."""

    phone: Any
    task: Task | None


class RestorableAndroidDevice(AndroidDevice):
    """A phone whose channel saves and restores its whole state (implements `Restorable`)."""

    async def snapshot(self) -> AndroidSnapshot:
        """The phone and its task, to be restored on any phone with the same screen."""
        return AndroidSnapshot(phone=await self._restorable().snapshot(), task=self._current_task())

    async def restore(self, snapshot: AndroidSnapshot) -> None:
        """Go back to a saved phone.

        Raises:
            DataError: the saved state cannot be read.
        """
        self._refuse_if_closed()
        await self._restorable().restore(snapshot.phone)
        self._task = snapshot.task
        self._observer.forget_picture()
        self._touched()

    def _restorable(self) -> Restorable:
        assert isinstance(self._channel, Restorable), (
            "the factory gives such a device to such a channel alone"
        )
        return self._channel
