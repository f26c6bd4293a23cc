"""`gui-agent devices`: which phones are connected, and what keeps one from being used."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from devices.android.connection import AdbConnection
from devices.android.preflight import CheckResult, CheckStatus, Preflight
from devices.android.server import AdbServer, remedy_of
from gui_agent.cli.config import option
from gui_agent.cli.signals import run_holding_devices
from gui_agent.errors import ConfigError, DeviceError


@dataclass(frozen=True, kw_only=True)
class DevicesList:
    """List the phones and emulators that the adb server knows, with what to do about those not ready.

    The server is started if none runs. ANDROID_ADB_SERVER_PORT and ANDROID_ADB_SERVER_ADDRESS choose
    another one.

    Examples:
        gui-agent devices list
        gui-agent devices list --json

    Attributes:
        json: print one JSON list instead of lines.
    """

    json: bool = False

    def run(self) -> int:
        """Print the list.

        Raises:
            DependencyError: there is no adb program.
            DeviceError: the adb server does not answer.
        """
        server = AdbServer.from_environment()
        entries = server.devices()
        if self.json:
            print(json.dumps([asdict(entry) for entry in entries], indent=2))
            return 0
        if not entries:
            print(f"no phone is connected (adb server {server.host}:{server.port}); {remedy_of('absent')}")
        width = max((len(entry.serial) for entry in entries), default=0)
        for entry in entries:
            remedy = "" if entry.ready else f"  -> {remedy_of(entry.state)}"
            print(f"{entry.serial:<{width}}  {entry.state:<12}  {entry.model}{remedy}".rstrip())
        return 0


@dataclass(frozen=True, kw_only=True)
class DevicesDoctor:
    """Check what a phone needs for an agent to use it, and say what to do about what is missing.

    Checked are: authorisation, answers to commands, Android version, permission to inject taps ("USB
    debugging (Security settings)"), screen on and unlocked, staying awake, a keyboard for text in any
    language, animations, screen size and override, rotation, free storage, screenshots, UI tree.

    With --fix, settings are changed for as long as the command runs: until Ctrl-C, or --hold-s seconds. They
    are put back when it ends, unless --keep is given. A keyboard that was installed stays.

    Examples:
        gui-agent devices doctor emulator-5554
        gui-agent devices doctor R58M123ABC --fix
        gui-agent devices doctor R58M123ABC --fix --keep --keyboard-apk ADBKeyboard.apk

    Attributes:
        serial: the phone, as `gui-agent devices list` shows it.
        fix: repair what can be repaired.
        keep: leave the changes in place when the command ends.
        hold_s: with --fix, how long to hold the changes; by default until Ctrl-C.
        keyboard_apk: a keyboard app to install with --fix, for text beyond ASCII.
        json: print one JSON object instead of lines; nothing is held then.
    """

    serial: str = option(positional=True)
    fix: bool = False
    keep: bool = False
    hold_s: float | None = None
    keyboard_apk: Path | None = None
    json: bool = False

    def __post_init__(self) -> None:
        if self.hold_s is not None and self.hold_s < 0:
            raise ConfigError(f"hold_s is {self.hold_s}; expected 0 or more seconds")
        holds = self.hold_s is not None
        for name, value in (("keep", self.keep), ("keyboard_apk", self.keyboard_apk), ("hold_s", holds)):
            if value and not self.fix:
                raise ConfigError(f"{name} has no effect without --fix; add --fix, or leave it out")
        if holds and (self.keep or self.json):
            raise ConfigError("hold_s has no effect with --keep or --json, which hold nothing; leave it out")

    def run(self) -> int:
        """Print the checks; exit code 4 if one failed.

        Raises:
            DeviceError: changes could not be put back.
        """
        return run_holding_devices(self._run())

    async def _run(self) -> int:
        connection = AdbConnection(self.serial, server=AdbServer.from_environment())
        preflight = Preflight(connection, fix=self.fix, keyboard_apk=self.keyboard_apk)
        results: list[CheckResult] = []
        try:
            async for result in preflight.run():
                results.append(result)
                if not self.json:
                    print(_as_lines(result), flush=True)
            if self.json:
                print(
                    json.dumps({"serial": self.serial, "checks": [asdict(one) for one in results]}, indent=2)
                )
            if preflight.settings.changes and not self.keep and not self.json:
                await self._hold()
        finally:
            if not self.keep:
                await preflight.undo()
        num_failed = sum(one.status is CheckStatus.FAILED for one in results)
        if num_failed:
            raise DeviceError(
                f"phone {self.serial}: {num_failed} of {len(results)} checks failed; see what to do above"
            )
        return 0

    async def _hold(self) -> None:
        until = "Ctrl-C" if self.hold_s is None else f"{self.hold_s:g} s have passed"
        print(f"\nThe changes hold until {until}, then they are put back (--keep leaves them).", flush=True)
        try:
            async with asyncio.timeout(self.hold_s):
                await asyncio.Event().wait()
        except TimeoutError:
            return


def _as_lines(result: CheckResult) -> str:
    fixed = ""
    if result.fixed:
        fixed = " (changed for now)" if result.temporary else " (changed)"
    line = f"{result.status.value:<8} {result.name}: {result.found}{fixed}"
    return f"{line}\n         -> {result.remedy}" if result.remedy else line
