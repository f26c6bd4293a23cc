"""Settings of a phone that are changed for a while and put back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from devices.android.connection import AdbConnection
from gui_agent.errors import DeviceError

ANIMATION_SCALES: Final = ("window_animation_scale", "transition_animation_scale", "animator_duration_scale")
_STAY_ON_AC_USB_WIRELESS: Final = "7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting that was changed; `before` is None where it was not set at all."""

    table: str
    name: str
    before: str | None
    value: str


class TemporarySettings:
    """Changes settings of one phone, remembers what they were, and puts them back.

    Args:
        connection: the phone.
    """

    def __init__(self, connection: AdbConnection) -> None:
        """Nothing is changed before the first `put`."""
        self._connection = connection
        self._changes: list[Change] = []

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is changed now, in order."""
        return tuple(self._changes)

    async def get(self, table: str, name: str) -> str | None:
        """A setting; None where it is not set.

        Raises:
            DeviceError: the phone does not say.
        """
        text = (await self._connection.check_shell(["settings", "get", table, name])).strip()
        return None if text == "null" else text

    async def put(self, table: str, name: str, value: str) -> bool:
        """Change a setting, unless it has the value already; whether it had to be changed.

        Raises:
            DeviceError: the phone refuses.
        """
        before = await self.get(table, name)
        if before == value:
            return False
        await self._connection.check_shell(["settings", "put", table, name, value])
        self._changes.append(Change(table=table, name=name, before=before, value=value))
        return True

    async def stay_awake(self) -> bool:
        """Keep the screen on while the phone is plugged in."""
        return await self.put("global", "stay_on_while_plugged_in", _STAY_ON_AC_USB_WIRELESS)

    async def stop_animations(self) -> bool:
        """No animations, so that screens rest at once."""
        return any([await self.put("global", name, "0") for name in ANIMATION_SCALES])

    async def hide_error_dialogs(self) -> bool:
        """Apps that do not respond end without a dialog, which slow emulators show in the middle of tasks."""
        return await self.put("global", "hide_error_dialogs", "1")

    async def fix_rotation(self) -> bool:
        """The screen stays as it is when the phone is turned."""
        return await self.put("system", "accelerometer_rotation", "0")

    async def undo(self) -> None:
        """Put everything back, the last change first; what cannot be put back does not keep the rest.

        Raises:
            DeviceError: something could not be put back; the message says what it was.
        """
        failed: list[str] = []
        while self._changes:
            change = self._changes.pop()
            words = ["settings", "delete", change.table, change.name]
            if change.before is not None:
                words = ["settings", "put", change.table, change.name, change.before]
            try:
                await asyncio.shield(self._connection.check_shell(words))
            except DeviceError:
                failed.append(" ".join(words))
        if failed:
            raise DeviceError(
                f"phone {self._connection.serial}: its settings could not be put back; when it is there "
                f"again run: adb -s {self._connection.serial} shell '{'; '.join(failed)}'"
            )
