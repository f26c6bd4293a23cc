"""The phones' side of the control channel: one port for all phones of a process, with a token."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from devices.phone.adb.control import HOST, MAX_LINE_BYTES, expert_to_json, outcome_to_json
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.faults import fault_named
from devices.phone.adb.screen import letterbox
from devices.phone.adb.snapshots import restore_snapshot, summary, take_snapshot
from devices.phone.goal import phone_goal
from devices.phone.state import to_jsonable
from devices.phone.suites import phone_task
from devices.phone.transition import scroll_distance_dp
from gui_agent.actions import Direction, Swipe, action_from_dict
from gui_agent.errors import ConfigError, GuiAgentError


class ControlServer:
    """Answers `PhoneControl`.

    Args:
        daemons: the phones by serial; may still change while the server runs.

    Attributes:
        port: where it listens on the loopback address; 0 before `start`.
        token: what every request must bring; drawn anew for each server.
    """

    def __init__(self, daemons: Mapping[str, AdbDaemon]) -> None:
        """Nothing listens before `start`."""
        self.port = 0
        self.token = secrets.token_urlsafe(24)
        self._daemons = daemons
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on any free port of the loopback address."""
        self._server = await asyncio.start_server(self._connected, HOST, 0, limit=MAX_LINE_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError):
            pass  # it hung up, or its line is longer than any request
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            given = str(request.pop("token")).encode()
            serial, name = request.pop("serial"), request.pop("request")
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError):
            return {"error": "ConfigError", "message": "not a request to a virtual phone"}
        if not hmac.compare_digest(given, self.token.encode()):
            return {"error": "ConfigError", "message": "the control channel was given a wrong token"}
        daemon, handler = self._daemons.get(serial), _REQUESTS.get(name)
        if daemon is None or handler is None:
            what = f"phone {serial!r}" if daemon is None else f"control request {name!r}"
            return {"error": "ConfigError", "message": f"there is no {what} here"}
        try:
            return {"value": await handler(daemon, **request)}
        except GuiAgentError as error:
            return {"error": type(error).__name__, "message": str(error)}
        except (TypeError, ValueError, KeyError) as error:
            return {"error": "ConfigError", "message": f"control request {name!r}: bad arguments ({error})"}


async def _reset(daemon: AdbDaemon, task_id: str) -> None:
    await daemon.android.reset(phone_goal(task_id) or phone_task(task_id))


async def _wipe(daemon: AdbDaemon) -> None:
    daemon.android.boot()
    await _clear(daemon)


async def _check(daemon: AdbDaemon) -> Any:
    return outcome_to_json(await daemon.android.phone.check())


async def _expert(daemon: AdbDaemon) -> Any:
    expert = await daemon.android.phone.next_expert_action()
    return expert_to_json(None if expert is None else letterbox(daemon.android).expert(expert))


async def _note(daemon: AdbDaemon, action: dict[str, Any]) -> None:
    await daemon.android.phone.execute(action_from_dict(action))


async def _scroll_path(daemon: AdbDaemon, direction: str) -> dict[str, Any]:
    """From the middle of the list, as far as a scroll of the phone in process goes."""
    android = daemon.android
    display, view = android.display, android.phone.shown().viewport
    way = display.px(scroll_distance_dp(android.phone.shown(), display))
    across = (view.right - view.left) // 4
    shift = {
        Direction.DOWN: (0, -way),
        Direction.UP: (0, way),
        Direction.RIGHT: (-across, 0),
        Direction.LEFT: (across, 0),
    }[Direction(direction)]
    x, y = view.center
    x, y = x - shift[0] // 2, y - shift[1] // 2
    path = Swipe(x=x, y=y, to_x=x + shift[0], to_y=y + shift[1])
    return asdict(letterbox(android).action(path))


async def _state(daemon: AdbDaemon) -> dict[str, Any]:
    android = daemon.android
    return {"phone": to_jsonable(android.state), "android": summary(android)}


async def _snapshot(daemon: AdbDaemon) -> str:
    return await take_snapshot(daemon.android)


async def _restore(daemon: AdbDaemon, snapshot: str) -> None:
    await restore_snapshot(daemon.android, snapshot)


async def _hold(daemon: AdbDaemon, faults: list[str]) -> None:
    daemon.android.faults.hold(*map(fault_named, faults))
    await daemon.faults_changed()


async def _once(daemon: AdbDaemon, fault: str) -> None:
    daemon.android.faults.once(fault_named(fault))


async def _inject(daemon: AdbDaemon, rate: float, kinds: list[str], seed: int) -> None:
    daemon.android.faults.at_rate(rate, [fault_named(kind) for kind in kinds], seed=seed)


async def _tune(daemon: AdbDaemon, **numbers: float | None) -> None:
    for name, number in numbers.items():
        if name not in ("drop_after_bytes", "slow_bytes_per_s", "hang_s", "outage_s"):
            raise ConfigError(f"faults have no number {name!r}")
        if number is not None:
            if number < 0:
                raise ConfigError(f"{name} is {number}; expected no negative number")
            setattr(daemon.android.faults, name, number)


async def _clear(daemon: AdbDaemon) -> None:
    daemon.android.faults.clear()
    daemon.android.sensor_rotation = 0
    daemon.android.secure_app = ""
    await daemon.end_outage()


async def _counts(daemon: AdbDaemon) -> Mapping[str, int]:
    return daemon.android.faults.counted()


_REQUESTS: Final[dict[str, Callable[..., Awaitable[Any]]]] = {
    "reset": _reset, "wipe": _wipe, "check": _check, "expert": _expert, "note": _note,
    "scroll_path": _scroll_path, "state": _state, "snapshot": _snapshot, "restore": _restore,
    "hold": _hold, "once": _once, "inject": _inject, "tune": _tune, "clear": _clear,
    "counts": _counts,
}  # fmt: skip
