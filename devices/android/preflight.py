"""What a phone needs before an agent can use it: checks that explain themselves, and what can be repaired.

A failed check would make episodes fail; a warning makes them slower or less reliable. What the phone does
not tell is unknown, which is neither.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from devices.android.capture import CaptureMode, Capturer
from devices.android.connection import AdbConnection
from devices.android.preparation import ANIMATION_SCALES, TemporarySettings
from devices.android.screen import Screen
from devices.android.server import READY, remedy_of
from devices.android.text_input import KEYBOARD_REMEDY, TextInput
from devices.android.touch import send_input
from devices.android.ui_tree import read_ui_tree
from gui_agent.errors import ConfigError, DeviceError

_NEEDED_FREE_MIB: Final = 500
_FIRST_SDK_WITH_SHELL_V2: Final = 24
_INSTALL_DEADLINE_S: Final = 120.0
_INSTALL_FILE: Final = "/data/local/tmp/gui-agent-keyboard.apk"
_DF_LINE: Final = re.compile(r"\s(\d+)\s+(\d+)\s+(\d+)\s+\d+%\s")


class CheckStatus(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check.

    Attributes:
        name: what was looked at.
        status: what was found, in one word.
        found: what was found, for people.
        remedy: what to do about it, "" if nothing.
        fixed: it was repaired a moment ago.
        temporary: the repair is undone at the end.
    """

    name: str
    status: CheckStatus
    found: str
    remedy: str = ""
    fixed: bool = False
    temporary: bool = False


class Preflight:
    """Checks one phone, repairing what can be repaired if asked to.

    Args:
        connection: the phone.
        fix: repair; temporary changes last until `undo`.
        keyboard_apk: a keyboard to install for text beyond ASCII, with `fix`.

    Raises:
        ConfigError: the file of the keyboard does not exist.
    """

    def __init__(
        self, connection: AdbConnection, *, fix: bool = False, keyboard_apk: Path | None = None
    ) -> None:
        """Nothing is asked before `run`."""
        if keyboard_apk is not None and not keyboard_apk.is_file():
            raise ConfigError(f"keyboard_apk {keyboard_apk} is no file; give the path of an .apk")
        self._connection = connection
        self._fix = fix
        self._keyboard_apk = keyboard_apk
        self._screen = Screen(connection)
        self._text = TextInput(connection)
        self.settings = TemporarySettings(connection)

    async def run(self) -> AsyncIterator[CheckResult]:
        """The results, each as soon as it is known; the rest is left out for a phone that does not answer."""
        for check in (self._authorised, self._answers):
            result = await self._tried(check)
            yield result
            if result.status is CheckStatus.FAILED:
                return
        for check in (
            self._version,
            self._awake,
            self._input_allowed,
            self._stays_awake,
            self._keyboard,
            self._animations,
            self._size,
            self._rotation,
            self._storage,
            self._capture,
            self._tree,
        ):
            yield await self._tried(check)

    async def undo(self) -> None:
        """Put temporary changes back."""
        await self.settings.undo()

    async def _tried(self, check: Callable[[], Awaitable[CheckResult]]) -> CheckResult:
        """A phone that fails at one check is still asked the others."""
        try:
            return await check()
        except DeviceError as error:
            name = check.__name__.strip("_").replace("_", " ")
            return CheckResult(name=name, status=CheckStatus.FAILED, found=str(error))

    async def _authorised(self) -> CheckResult:
        state = await asyncio.to_thread(self._connection.server.state_of, self._connection.serial)
        if state == READY:
            return _ok("authorised", "the phone takes commands from this computer")
        found = "the phone is not connected" if state == "absent" else f"the phone is {state}"
        return _failed("authorised", found, remedy_of(state))

    async def _answers(self) -> CheckResult:
        await self._connection.echo()
        start_s = time.perf_counter()
        await self._connection.echo()
        return _ok("answers", f"a command takes {(time.perf_counter() - start_s) * 1000:.0f} ms")

    async def _version(self) -> CheckResult:
        line = "getprop ro.product.model; getprop ro.build.version.release; getprop ro.build.version.sdk"
        words = [word.strip() for word in (await self._connection.check_shell(line)).splitlines()]
        model, release, sdk = (*words, "", "", "")[:3]
        found = f"{model or 'unknown model'}, Android {release or '?'} (SDK {sdk or '?'})"
        if sdk.isdecimal() and int(sdk) < _FIRST_SDK_WITH_SHELL_V2:
            return _warning("Android version", found, "Android 7 or newer tells errors from output")
        return _ok("Android version", found)

    async def _input_allowed(self) -> CheckResult:
        """Wake what is awake: whether the key is let in says whether taps are."""
        name = "taps allowed"
        try:
            await send_input(self._connection, ("keyevent", "KEYCODE_WAKEUP"))
        except DeviceError as error:
            return _failed(name, "the phone refuses injected events", str(error))
        return _ok(name, "events are let in (INJECT_EVENTS)")

    async def _awake(self) -> CheckResult:
        name = "screen on and unlocked"
        awake, locked = await self._screen.is_awake(), await self._screen.is_locked()
        if awake and not locked:
            return _ok(name, "it is")
        found = "the screen is off" if not awake else "the lock screen is shown"
        try:
            await self._screen.wake()
        except DeviceError as error:
            return _failed(name, found, str(error))
        return CheckResult(name=name, status=CheckStatus.OK, found=f"{found}; woken", fixed=True)

    async def _stays_awake(self) -> CheckResult:
        name = "stays awake"
        value = await self.settings.get("global", "stay_on_while_plugged_in")
        if value not in (None, "", "0"):
            return _ok(name, f"while plugged in (stay_on_while_plugged_in={value})")
        found = "the screen goes off by itself, also while a model thinks"
        if self._fix:
            await self.settings.stay_awake()
            return _fixed(name, "on while plugged in", temporary=True)
        return _warning(name, found, "switch on 'Stay awake' in the developer options, or use --fix")

    async def _keyboard(self) -> CheckResult:
        name = "text in any language"
        keyboard = await self._text.installed_keyboard()
        if keyboard is not None:
            return _ok(name, f"{keyboard.component} is installed")
        remedy = KEYBOARD_REMEDY.replace("SERIAL", self._connection.serial)
        if not (self._fix and self._keyboard_apk):
            return _warning(name, "only ASCII: no keyboard takes text by broadcast", remedy)
        await install(self._connection, self._keyboard_apk)
        keyboard = await self._text.installed_keyboard()
        if keyboard is None:
            return _failed(name, f"{self._keyboard_apk.name} brought no keyboard that is known", remedy)
        await self._connection.check_shell(["ime", "enable", keyboard.component])
        return _fixed(name, f"{keyboard.component} was installed", temporary=False)

    async def _animations(self) -> CheckResult:
        name = "animations"
        values = [await self.settings.get("global", scale) for scale in ANIMATION_SCALES]
        if all(value in ("0", "0.0") for value in values):
            return _ok(name, "off")
        if self._fix:
            await self.settings.stop_animations()
            return _fixed(name, "off", temporary=True)
        shown = ", ".join("1" if value is None else value for value in values)
        remedy = "set the three animation scales of the developer options to off, or use --fix"
        return _warning(name, f"on (scales {shown}): screens rest later, the UI tree may fail", remedy)

    async def _size(self) -> CheckResult:
        name = "screen size"
        info = await self._screen.info()
        frame = await Capturer(self._connection, mode=CaptureMode.PNG).frame()
        shown = f"{frame.width_px}x{frame.height_px}"
        found = f"{info.physical} at {info.density_dpi} dpi, pictures of {shown}"
        if sorted((info.width_px, info.height_px)) != sorted((frame.width_px, frame.height_px)):
            return _warning(
                name, f"{found}; taps go to {info.width_px}x{info.height_px}", "they are converted"
            )
        if info.overridden:
            reset = f"adb -s {self._connection.serial} shell wm size reset"
            return _warning(
                name, f"{found}, overridden to {info.width_px}x{info.height_px}", f"undo: {reset}"
            )
        return _ok(name, found)

    async def _rotation(self) -> CheckResult:
        name = "rotation"
        info = await self._screen.info()
        turned = "unknown" if info.rotation is None else f"{info.rotation} degrees"
        if await self.settings.get("system", "accelerometer_rotation") == "0":
            return _ok(name, f"{turned}, fixed")
        if self._fix:
            await self.settings.fix_rotation()
            return _fixed(name, f"{turned}, fixed", temporary=True)
        remedy = "switch auto-rotate off, or use --fix"
        return _warning(name, f"{turned}, follows the sensor: screens may turn in an episode", remedy)

    async def _storage(self) -> CheckResult:
        name = "free storage"
        text = (await self._connection.shell("df -k /data")).text
        line = _DF_LINE.search(text)
        if line is None:
            return CheckResult(name=name, status=CheckStatus.UNKNOWN, found="`df` does not say")
        free_mib = int(line[3]) // 1024
        found = f"{free_mib} MiB"
        if free_mib < _NEEDED_FREE_MIB:
            return _warning(name, found, f"free {_NEEDED_FREE_MIB} MiB: full phones close apps")
        return _ok(name, found)

    async def _capture(self) -> CheckResult:
        took: list[str] = []
        for mode in (CaptureMode.RAW, CaptureMode.PNG):
            capturer = Capturer(self._connection, mode=mode)
            await capturer.frame()
            start_s = time.perf_counter()
            frame = await capturer.frame()
            took.append(f"{mode} {(time.perf_counter() - start_s) * 1000:.0f} ms")
        if not frame.is_black:
            return _ok("screenshots", ", ".join(took))
        if await self._screen.is_secure():
            remedy = "the app in front forbids screenshots; agents see black there"
            return _warning("screenshots", "black: the window is secure", remedy)
        remedy = "open an app and try again; on an emulator try another graphics mode (-gpu)"
        return _warning("screenshots", "black", remedy)

    async def _tree(self) -> CheckResult:
        start_s = time.perf_counter()
        tree = await read_ui_tree(self._connection)
        took = f"{(time.perf_counter() - start_s) * 1000:.0f} ms"
        if tree.known:
            return _ok("UI tree", f"{len(tree.nodes)} nodes in {took}")
        remedy = "agents work without it; end other automation (uiautomator2, Appium) and animations"
        return _warning("UI tree", f"none: {tree.missing}", remedy)


async def install(connection: AdbConnection, apk: Path) -> None:
    """Install an app from a file of this computer.

    Raises:
        DeviceError: the phone refuses; the message has its reason.
    """
    data = await asyncio.to_thread(apk.read_bytes)
    copied = await connection.shell(["dd", f"of={_INSTALL_FILE}"], stdin=data, timeout_s=_INSTALL_DEADLINE_S)
    if copied.exit_code != 0:
        raise DeviceError(connection.message(f"dd of={_INSTALL_FILE}", copied.complaint))
    line = f"pm install -r -g {_INSTALL_FILE}; rm -f {_INSTALL_FILE}"
    result = await connection.shell(line, timeout_s=_INSTALL_DEADLINE_S)
    if "Success" not in result.text:
        remedy = (
            "allow 'Install via USB' in the developer options"
            if "USER_RESTRICTED" in result.text + result.complaint
            else f"check that {apk.name} is an app for this phone"
        )
        raise DeviceError(connection.message(line, result.complaint or "it did not say Success", remedy))


def _ok(name: str, found: str) -> CheckResult:
    return CheckResult(name=name, status=CheckStatus.OK, found=found)


def _warning(name: str, found: str, remedy: str) -> CheckResult:
    return CheckResult(name=name, status=CheckStatus.WARNING, found=found, remedy=remedy)


def _failed(name: str, found: str, remedy: str) -> CheckResult:
    return CheckResult(name=name, status=CheckStatus.FAILED, found=found, remedy=remedy)


def _fixed(name: str, found: str, *, temporary: bool) -> CheckResult:
    return CheckResult(name=name, status=CheckStatus.OK, found=found, fixed=True, temporary=temporary)
