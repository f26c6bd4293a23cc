"""One phone under two names: "emulator-5554" is also "127.0.0.1:5555", a phone on USB is also on Wi-Fi."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from devices.android.connection import AdbConnection
from devices.android.server import AdbServer
from gui_agent.errors import DeviceError

_DEADLINE_S: Final = 3.0
_LINE: Final = "getprop ro.serialno; cat /proc/sys/kernel/random/boot_id"


async def read_identity(connection: AdbConnection) -> str:
    """Equal for two names of one phone: its serial number and what it drew when it booted.

    A phone that does not tell is its own name's only one.
    """
    try:
        result = await connection.shell(_LINE, timeout_s=_DEADLINE_S)
    except DeviceError:
        return connection.serial
    words = result.text.split()
    return "/".join(words) if result.exit_code == 0 and len(words) == 2 else connection.serial


def same_phones(serials: Sequence[str], server: AdbServer) -> Mapping[str, str]:
    """The names that mean a phone which an earlier name means too, each with that earlier name.

    Names without a port come first, as a phone on a cable or an emulator of this computer keeps its name.
    """

    async def identities() -> Sequence[str]:
        return await asyncio.gather(
            *(read_identity(AdbConnection(serial, server=server)) for serial in serials)
        )

    # In a loop of its own, since factories are made inside and outside of one; the deadline bounds it.
    with ThreadPoolExecutor(1) as thread:
        found = dict(zip(serials, thread.submit(asyncio.run, identities()).result(), strict=True))
    first: dict[str, str] = {}
    for serial in sorted(serials, key=lambda serial: (":" in serial, serials.index(serial))):
        first.setdefault(found[serial], serial)
    return {serial: first[found[serial]] for serial in serials if first[found[serial]] != serial}
