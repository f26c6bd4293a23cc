"""The channel by which a virtual phone's tasks are set and checked, beside adb: `PhoneControl`.

One request is one connection to the loopback address: a line of JSON with the token there, a line of JSON
back. The agent acts through the screen; nothing that it can do on the phone reaches this port, because
the phone's shell and sockets never leave the phone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, Final

from devices.phone.adb.faults import Fault
from devices.phone.adb.served import ServedPhone, served_phones
from gui_agent.actions import Action, Scroll, Swipe, action_from_dict, action_to_dict
from gui_agent.device import ExpertAction, Outcome, Task, Verdict
from gui_agent.errors import ConfigError, DataError, DeviceError, DeviceTimeoutError
from gui_agent.observation import Box

HOST: Final = "127.0.0.1"
MAX_LINE_BYTES: Final = 64 << 20
"""Longest request or answer: a snapshot with files."""

_ERRORS: Final = {"ConfigError": ConfigError, "DataError": DataError}
_DEADLINE_S: Final = 10.0


class PhoneControl:
    """Sets and judges one virtual phone from outside (implements `devices.android.tasks.TaskChannel`).

    Args:
        phone: where it is served.
        timeout_s: for each request.
    """

    draws_at_once = True

    def __init__(self, phone: ServedPhone, *, timeout_s: float = _DEADLINE_S) -> None:
        """Nothing is connected before the first request."""
        self.phone = phone
        self.timeout_s = timeout_s

    @property
    def status_bar_px(self) -> int:
        """Height of the status bar in pixels."""
        return self.phone.status_bar_px

    @property
    def app_packages(self) -> Mapping[str, str]:
        """What the phone calls its apps, with their packages."""
        return self.phone.app_packages

    # Tasks

    async def reset(self, task: Task) -> None:
        """Set the phone to the start of the task: its apps, the screen on and upright.

        Settings of Android, files and faults stay as they are.

        Raises:
            ConfigError: the task is not one of the virtual phone.
        """
        await self._ask("reset", task_id=task.task_id)

    async def check(self) -> Outcome:
        """Judge the task of the last `reset`; changes nothing."""
        found = await self._ask("check")
        return Outcome(verdict=Verdict(found["verdict"]), progress=found["progress"], detail=found["detail"])

    async def next_expert_action(self) -> ExpertAction | None:
        """What an expert would do now."""
        found = await self._ask("expert")
        if found is None:
            return None
        return ExpertAction(
            action=action_from_dict(found["action"]),
            boxes=tuple(Box(**box) for box in found["boxes"]),
            thought=found["thought"],
            subgoal=found["subgoal"],
        )

    async def note(self, action: Action) -> None:
        """Perform an action that no command carries: waiting, an answer, the end."""
        await self._ask("note", action=action_to_dict(action))

    async def scroll_path(self, action: Scroll) -> Swipe | None:
        """The finger's way that scrolls as far as the phone in process does."""
        found = await self._ask("scroll_path", direction=str(action.direction))
        return Swipe(**found)

    async def state(self) -> dict[str, Any]:
        """Everything the phone remembers: "phone" the apps, "android" what is around them."""
        found: dict[str, Any] = await self._ask("state")
        return found

    async def snapshot(self) -> str:
        """The whole phone as text, to be restored on any phone with the same screen."""
        found: str = await self._ask("snapshot")
        return found

    async def restore(self, snapshot: str) -> None:
        """Go back to a state that `snapshot` returned.

        Raises:
            DataError: the text is no snapshot.
        """
        await self._ask("restore", snapshot=snapshot)

    async def wipe(self) -> None:
        """Settings, files and packages as on a new phone, and no faults; the apps stay as they are."""
        await self._ask("wipe")

    async def close(self) -> None:
        """Let go of the phone; there is nothing to give back."""

    # Faults and delays

    async def hold(self, *faults: Fault) -> None:
        """Let faults happen at every occasion until they are cleared."""
        await self._ask("hold", faults=[str(fault) for fault in faults])

    async def once(self, fault: Fault) -> None:
        """Let a fault happen at the next occasion."""
        await self._ask("once", fault=str(fault))

    async def inject(self, rate: float, kinds: Collection[Fault] = tuple(Fault), *, seed: int = 0) -> None:
        """Let faults happen by chance before each call of adb; see `FaultInjector.at_rate`."""
        await self._ask("inject", rate=rate, kinds=[str(kind) for kind in kinds], seed=seed)

    async def tune_faults(
        self,
        *,
        drop_after_bytes: int | None = None,
        slow_bytes_per_s: float | None = None,
        hang_s: float | None = None,
        outage_s: float | None = None,
    ) -> None:
        """Change how faults go, see `FaultInjector`; None leaves a number as it is."""
        await self._ask(
            "tune",
            drop_after_bytes=drop_after_bytes,
            slow_bytes_per_s=slow_bytes_per_s,
            hang_s=hang_s,
            outage_s=outage_s,
        )

    async def clear(self) -> None:
        """No more faults, and the phone held upright."""
        await self._ask("clear")

    async def fault_counts(self) -> Mapping[Fault, int]:
        """How often each fault has happened since the phone started."""
        return {Fault(name): number for name, number in (await self._ask("counts")).items()}

    # The wire

    async def _ask(self, request: str, **arguments: Any) -> Any:
        line = {"token": self.phone.token, "serial": self.phone.serial, "request": request, **arguments}
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await self._exchange(json.dumps(line).encode() + b"\n")
        except TimeoutError as error:
            raise DeviceTimeoutError(
                f"phone {self.phone.serial}: control request {request!r} was not answered in "
                f"{self.timeout_s:g} s; is the process {self.phone.pid} that serves it busy or stopped?"
            ) from error
        except OSError as error:
            raise DeviceError(
                f"phone {self.phone.serial}: control request {request!r} failed ({error}); the process "
                f"{self.phone.pid} that served it is gone; start `gui-agent phone serve` again"
            ) from error
        if "error" in answer:
            kind = _ERRORS.get(answer["error"], DeviceError)
            raise kind(f"phone {self.phone.serial}: {answer['message']}")
        return answer["value"]

    async def _exchange(self, line: bytes) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection(HOST, self.phone.control_port, limit=MAX_LINE_BYTES)
        try:
            writer.write(line)
            await writer.drain()
            received = await reader.readline()
            if not received.endswith(b"\n"):
                raise ConnectionResetError("it hung up")
            answer: dict[str, Any] = json.loads(received)
            return answer
        finally:
            writer.close()


def find_control(serial: str, *, adb_server_port: int) -> PhoneControl | None:
    """The control of a phone that `gui-agent phone serve` serves on this adb server; None for others."""
    for phone in served_phones(adb_server_port):
        if phone.serial == serial:
            return PhoneControl(phone)
    return None


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """What `PhoneControl.check` reads."""
    return {"verdict": str(outcome.verdict), "progress": outcome.progress, "detail": outcome.detail}


def expert_to_json(expert: ExpertAction | None) -> dict[str, Any] | None:
    """What `PhoneControl.next_expert_action` reads."""
    if expert is None:
        return None
    return {
        "action": action_to_dict(expert.action),
        "boxes": [asdict(box) for box in expert.boxes],
        "thought": expert.thought,
        "subgoal": expert.subgoal,
    }
