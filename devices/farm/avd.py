"""Emulators of one AVD, started from a snapshot and put back to it, never cloned.

Written against the documented options of the Android emulator and its console protocol, and tested with a
program that behaves as documented. It was not tried with the emulator itself: there was none at hand.

All emulators of a farm run the same AVD read-only, each with changes of its own that are thrown away; so
starting one costs a boot from the snapshot and no copy of a disk. A restart loads the snapshot into the
running emulator over its console, and starts a new process only where that does not help.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from devices.android.connection import AdbConnection
from devices.android.factory import make_ready
from devices.android.server import AdbServer
from devices.android.settings import AndroidSettings
from devices.farm.android import AndroidUnit
from devices.farm.console import EmulatorConsole
from devices.farm.source import Identity, Unit
from devices.phone.adb.own_server import answers, free_port, tell
from gui_agent.device import Device
from gui_agent.errors import ConfigError, DependencyError, DeviceError, DeviceTimeoutError

FIRST_PORT: Final = 5554
LAST_PORT: Final = 5682
"""Console ports that the emulator takes: even ones; its adb port is the next odd one."""
_TERMINATE_DEADLINE_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class AvdSettings:
    """What emulators to run, and how.

    Attributes:
        avd: name of the AVD, as `emulator -list-avds` shows it.
        num_emulators: how many.
        snapshot: what each starts from and is put back to.
        first_port: console port of the first, even; the others follow in steps of two.
        executable: the emulator program; None searches ANDROID_HOME, ANDROID_SDK_ROOT and the PATH.
        gpu: how it draws; software works without a display.
        memory_mb: of each emulator; 0 leaves it to the AVD.
        cores: of each emulator; 0 leaves it to the AVD.
        extra: further options of the emulator.
        boot_timeout_s: from the start to a phone that takes commands.
        snapshot_timeout_s: loading the snapshot.
        start_at_once: so many emulators boot side by side; more than the machine has cores slow each other.

    Raises:
        ConfigError: a name is missing or a number is out of range.
    """

    avd: str
    num_emulators: int = 1
    snapshot: str = "default_boot"
    first_port: int = FIRST_PORT
    executable: Path | None = None
    gpu: str = "swiftshader_indirect"
    memory_mb: int = 0
    cores: int = 0
    extra: tuple[str, ...] = ()
    boot_timeout_s: float = 300.0
    snapshot_timeout_s: float = 60.0
    start_at_once: int = 2

    def __post_init__(self) -> None:
        if not self.avd:
            raise ConfigError(
                "emulators of which AVD? `emulator -list-avds` shows their names; write avd:NAME:COUNT"
            )
        if self.num_emulators < 1 or self.start_at_once < 1:
            raise ConfigError(
                f"num_emulators={self.num_emulators}, start_at_once={self.start_at_once}: both need 1 or more"
            )
        last = self.first_port + 2 * (self.num_emulators - 1)
        if self.first_port % 2 or not FIRST_PORT <= self.first_port <= last <= LAST_PORT:
            raise ConfigError(
                f"{self.num_emulators} emulators from console port {self.first_port} on: expected even ports "
                f"from {FIRST_PORT} to {LAST_PORT}"
            )

    def command(self, executable: Path, port: int) -> list[str]:
        """The command line of one emulator.

        Args:
            executable: the emulator program.
            port: console port.
        """
        sizes = [
            *(["-memory", str(self.memory_mb)] if self.memory_mb else []),
            *(["-cores", str(self.cores)] if self.cores else []),
        ]
        return [
            str(executable), "-avd", self.avd, "-port", str(port),
            "-read-only",  # several instances of one AVD, each with its own changes
            "-snapshot", self.snapshot, "-no-snapshot-save",
            "-no-window", "-no-audio", "-no-boot-anim", "-gpu", self.gpu, *sizes, *self.extra,
        ]  # fmt: skip


def find_emulator(settings: AvdSettings) -> Path:
    """The emulator program.

    Raises:
        DependencyError: there is none.
    """
    if settings.executable is not None:
        if not os.access(settings.executable, os.X_OK):
            raise DependencyError(f"{settings.executable} is no program; give the emulator of an Android SDK")
        return settings.executable
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        if home := os.environ.get(variable):
            found = Path(home) / "emulator" / "emulator"
            if os.access(found, os.X_OK):
                return found
    if on_path := shutil.which("emulator"):
        return Path(on_path)
    raise DependencyError(
        "the Android emulator was not found; install it with the SDK manager (`sdkmanager emulator`) and set "
        "ANDROID_HOME, or put `emulator` on the PATH"
    )


class Emulator:
    """One process of the emulator (implements `devices.farm.source.Unit`).

    Args:
        settings: which AVD, and how.
        executable: the emulator program.
        port: console port.
        server: the adb server that it reports to.
        booting: entered while it boots.
        driver: how the phone is driven.
        log_path: where it writes its output.
    """

    def __init__(
        self,
        settings: AvdSettings,
        *,
        executable: Path,
        port: int,
        server: AdbServer,
        booting: asyncio.Semaphore,
        driver: AndroidSettings | None = None,
        log_path: Path | None = None,
    ) -> None:
        """Not started yet."""
        self.name = f"emulator-{port}"
        self._settings = settings
        self._command = settings.command(executable, port)
        self._server = server
        self._booting = booting
        self._log_path = log_path
        self._console = EmulatorConsole(port)
        self._process: asyncio.subprocess.Process | None = None
        self._phone = AndroidUnit(self.name, server, settings=driver)

    @property
    def pid(self) -> int:
        """Of its process; 0 while there is none."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Start the process and wait until the phone takes commands.

        Raises:
            DeviceError: it ended, with its last words.
            DeviceTimeoutError: it does not boot in time.
        """
        await self.stop()
        environment = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(self._server.port)}
        async with self._booting, AsyncExitStack() as opened:
            log: int = asyncio.subprocess.DEVNULL
            if self._log_path is not None:
                log = opened.enter_context(self._log_path.open("ab")).fileno()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
            await self._booted(self._process)

    async def _booted(self, process: asyncio.subprocess.Process) -> None:
        connection = AdbConnection(self.name, server=self._server)
        limit_s = self._settings.boot_timeout_s
        ready = asyncio.ensure_future(make_ready(connection, was_seen=True, timeout_s=limit_s))
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise DeviceError(
                    f"`{' '.join(self._command)}` ended with exit code {ended.result()} while it booted"
                    f"{self._last_words()}"
                )
            await ready
        finally:
            for task in (ready, ended):
                task.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    def _last_words(self) -> str:
        if self._log_path is None:
            return "; run it by hand to see why"
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"; its last words in {self._log_path}: {' / '.join(lines[-3:])}"

    async def stop(self) -> None:
        """End the process; calling it twice is fine."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(DeviceError):
            await self._console.send("kill")
        try:
            async with asyncio.timeout(_TERMINATE_DEADLINE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def probe(self) -> Identity:
        """An echo with the phone's id."""
        if not self.pid:
            raise DeviceError(f"{self.name}: the emulator's process has ended{self._last_words()}")
        return await self._phone.probe()

    def lease(self) -> AbstractAsyncContextManager[Device]:
        """The phone; tasks set themselves up, the snapshot is for what is broken."""
        return self._phone.lease()

    async def reconnect(self) -> None:
        """Let the adb server take up the link anew."""
        if not self.pid:
            raise DeviceError(f"{self.name}: the emulator's process has ended{self._last_words()}")
        await self._phone.reconnect()

    async def restart(self) -> bool:
        """Load the snapshot into the running emulator; start a new one where that does not help."""
        if self.pid:
            limit_s = self._settings.snapshot_timeout_s
            try:
                await self._console.send(f"avd snapshot load {self._settings.snapshot}", timeout_s=limit_s)
                await make_ready(
                    AdbConnection(self.name, server=self._server), was_seen=True, timeout_s=limit_s
                )
                return True
            except DeviceError:
                pass  # a console that does not answer, or a phone that does not come back
        await self.start()
        return True

    async def close(self) -> None:
        """End the emulator; its changes are thrown away."""
        with contextlib.suppress(DeviceError):
            await self._phone.close()
        await self.stop()


class AvdSource:
    """Emulators of one AVD on an adb server of their own.

    Args:
        settings: which AVD, how many, from which snapshot.
        driver: how the phones are driven.
        log_dir: where each emulator writes a log; None throws their output away.

    Attributes:
        server: the adb server that the emulators report to.
    """

    def __init__(
        self, settings: AvdSettings, *, driver: AndroidSettings | None = None, log_dir: Path | None = None
    ) -> None:
        """Nothing is started yet."""
        self.name = f"avd:{settings.avd}"
        self._settings = settings
        self._driver = driver
        self._log_dir = log_dir
        # Started as anybody starts one, so that it has this user's key, which emulators trust.
        self.server = AdbServer(port=free_port())
        self._booting = asyncio.Semaphore(settings.start_at_once)
        self._emulators: list[Emulator] = []

    async def start(self) -> Sequence[Unit]:
        """Start the adb server and boot all emulators; one that does not boot is tried again by the farm.

        Raises:
            DependencyError: there is no emulator program, or no adb.
            DeviceError: none of the emulators boots.
        """
        executable = find_emulator(self._settings)
        await asyncio.to_thread(self.server.start)
        ports = range(self._settings.first_port, LAST_PORT + 1, 2)[: self._settings.num_emulators]
        self._emulators = list(map(partial(self._new, executable), ports))
        booted = await asyncio.gather(*(one.start() for one in self._emulators), return_exceptions=True)
        failures = [result for result in booted if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, DeviceError) or len(failures) == len(booted):
                raise failure
        return self._emulators

    def _new(self, executable: Path, port: int) -> Emulator:
        log_path = None if self._log_dir is None else self._log_dir / f"emulator-{port}.log"
        return Emulator(
            self._settings,
            executable=executable,
            port=port,
            server=self.server,
            booting=self._booting,
            driver=self._driver,
            log_path=log_path,
        )

    async def scan(self) -> Sequence[Unit]:
        """No emulator comes by itself."""
        return ()

    async def replace(self, unit: Unit) -> Unit | None:
        """A new process on the same port; `DeviceError` if that does not boot either."""
        assert isinstance(unit, Emulator), "only units of this source are given back to it"
        await unit.start()
        return unit

    async def close(self) -> None:
        """End all emulators and the adb server.

        Raises:
            DeviceTimeoutError: the server does not end.
        """
        await asyncio.gather(*(one.stop() for one in self._emulators))
        if answers(self.server.port):
            tell(self.server.port, "host:kill")
        end_s = time.monotonic() + _TERMINATE_DEADLINE_S
        while answers(self.server.port):
            if time.monotonic() > end_s:
                raise DeviceTimeoutError(f"the adb server at port {self.server.port} does not end")
            await asyncio.sleep(_LOOK_AGAIN_S)
