"""One phone and the process that works on it: what is asked of AndroidWorld, with deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from devices.android.device import AndroidDevice
from devices.androidworld.adb_calls import answer
from devices.androidworld.catalogue import Description
from devices.androidworld.installation import Installation
from devices.androidworld.process import START_TIMEOUT_S, WorkerProcess
from gui_agent.errors import DeviceError, DeviceTimeoutError

_RECEIVE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long AndroidWorld may work on a phone; a farm's own deadlines stand behind these.

    Attributes:
        set_up_s: some tasks fill an app with a hundred entries first.
        score_s: some checks copy a data base from the phone.
        tear_down_s: the end.
    """

    set_up_s: float = 170.0
    score_s: float = 55.0
    tear_down_s: float = 50.0


class TaskFailedError(Exception):
    """AndroidWorld's code for a task raised something, while the phone did what it was told."""


class PhoneSession:
    """AndroidWorld's code at work on one phone.

    A fault of the phone ends what is being done, whatever AndroidWorld's code makes of it, and is raised
    here; a call that is cancelled or too slow ends the process, and the next one starts another.

    Args:
        installation: which AndroidWorld.
        limits: deadlines.
    """

    def __init__(self, installation: Installation, limits: SessionLimits | None = None) -> None:
        """The process is started when it is needed."""
        self._installation = installation
        self._limits = limits or SessionLimits()
        self._process: WorkerProcess | None = None
        self._at_work = ""

    async def set_up(self, device: AndroidDevice, template: str, seed: int) -> Description:
        """Bring the phone to the start of an instance; what was set up on it before is tidied up first.

        Raises:
            DependencyError: AndroidWorld cannot be imported.
            DeviceError: the phone failed.
            TaskFailedError: AndroidWorld could not set the task up.
        """
        self._at_work = ""
        request = {"do": "set_up", "template": template, "seed": seed}
        done = await self._call(device, request, self._limits.set_up_s)
        self._at_work = f"{template}/{seed}"
        return Description.read(done)

    async def score(self, device: AndroidDevice, template: str, seed: int, said: str) -> float:
        """How much of the task is done, from 0 to 1.

        Args:
            device: the phone.
            template: the task that was set up.
            seed: its instance.
            said: what the agent answered last.

        Raises:
            DeviceError: the phone failed, or was not set up for this task.
            TaskFailedError: AndroidWorld's check raised something.
        """
        self._require(device, template, seed)
        done = await self._call(device, {"do": "score", "answer": said}, self._limits.score_s)
        return float(done["score"])

    async def tear_down(self, device: AndroidDevice) -> None:
        """Tidy up; nothing is done if nothing was set up.

        Raises:
            DeviceError: the phone failed.
            TaskFailedError: AndroidWorld could not tidy up.
        """
        was, self._at_work = self._at_work, ""
        if was and self._process is not None and self._process.alive:
            await self._call(device, {"do": "tear_down"}, self._limits.tear_down_s)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        self._at_work = ""
        if process is not None:
            process.close()

    def _require(self, device: AndroidDevice, template: str, seed: int) -> None:
        if self._at_work != f"{template}/{seed}":
            raise DeviceError(
                f"phone {device.serial}: it is not set up for AndroidWorld's {template} with seed {seed}, "
                f"but for {self._at_work or 'nothing'}; AndroidWorld's tasks keep their state outside of the "
                "phone, so they cannot be judged on another phone or after a restart: begin the episode anew"
            )

    async def _call(self, device: AndroidDevice, request: Mapping[str, Any], limit_s: float) -> Any:
        did = str(request["do"]).replace("_", " ")
        try:
            process = await self._started()
            try:
                async with asyncio.timeout(limit_s):
                    message, fault = await self._converse(process, device, request)
            except TimeoutError as error:
                raise DeviceTimeoutError(
                    f"phone {device.serial}: AndroidWorld did not {did} its task within {limit_s:g} s; a "
                    "phone or computer that is slow needs longer, one that hangs a restart"
                ) from error
        except (
            BaseException
        ):  # cancelled or broken in the middle: what is said next would belong to this call
            self.close()
            raise
        if fault is not None:
            raise fault
        if "failed" in message:
            raise TaskFailedError(f"{message['failed']['error']} ({message['failed']['at']})")
        return message["done"]

    async def _converse(
        self, process: WorkerProcess, device: AndroidDevice, request: Mapping[str, Any]
    ) -> tuple[dict[str, Any], DeviceError | None]:
        """The last message, and the fault of the phone that came before it."""
        fault: DeviceError | None = None
        await self._send(process, request)
        while "phone" in (message := await self._receive(process)):
            reply: Mapping[str, Any] = {"fault": True}
            if fault is None:
                try:
                    reply = await answer(device, message["phone"])
                except DeviceError as error:
                    fault = error
            await self._send(process, reply)
        return message, fault

    async def _started(self) -> WorkerProcess:
        if self._process is None or not self._process.alive:
            self.close()
            process = self._process = await asyncio.to_thread(WorkerProcess, self._installation)
            process.socket.setblocking(False)
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    hello = await self._receive(process)
            except TimeoutError as error:
                raise DeviceError(
                    f"{self._installation.shown} was not imported within {START_TIMEOUT_S:g} s; its last "
                    f"words: {process.last_words()}"
                ) from error
            process.check_hello(hello)
        return self._process

    async def _send(self, process: WorkerProcess, message: Mapping[str, Any]) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(process.socket, process.packed(message))
        except ConnectionError as error:
            raise self._ended(process) from error

    async def _receive(self, process: WorkerProcess) -> dict[str, Any]:
        while (message := process.next_message()) is None:
            try:
                received = await asyncio.get_running_loop().sock_recv(process.socket, _RECEIVE_BYTES)
                process.feed(received)
            except (EOFError, ConnectionError) as error:
                raise self._ended(process) from error
        return message

    def _ended(self, process: WorkerProcess) -> DeviceError:
        return DeviceError(
            f"the Python of {self._installation.shown} ended in the middle of a task; its last words: "
            f"{process.last_words()}"
        )
