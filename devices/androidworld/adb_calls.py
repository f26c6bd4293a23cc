"""What AndroidWorld asks of adb, done over the driver's connection.

AndroidEnv starts the program `adb` for each call, and when one fails it ends the adb server, with the links
of all other phones. Here a call is one connection to the server that runs.
"""

from __future__ import annotations

import asyncio
import base64
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devices.android.device import AndroidDevice
from devices.android.factory import make_ready
from devices.androidworld.transfer import TransferRefusedError, pull, push
from devices.farm.console import EmulatorConsole
from gui_agent.observation import Screenshot

_PATIENCE: Final = 5.0
"""AndroidEnv gives most calls two minutes; the driver's deadline is for commands that answer at once."""
_APK: Final = "/data/local/tmp/gui-agent-install.apk"
_EMULATOR: Final = "emulator-"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdbOutput:
    """What `adb` would print, and its exit code."""

    code: int = 0
    output: bytes = b""


async def answer(device: AndroidDevice, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the worker is told about its phone.

    Args:
        device: the phone.
        request: `{"adb": ARGUMENTS, "timeout_s": …}`, `{"ui_tree": True}` or `{"screenshot": True}`.

    Raises:
        DeviceError: the phone failed.
    """
    if "ui_tree" in request:
        tree = await device.ui_tree()
        return {"xml": tree.xml, "missing": tree.missing}
    if "screenshot" in request:
        frame = await device.capturer.frame()
        shot = await asyncio.to_thread(lambda: Screenshot.from_image(frame.image()))
        return {"png": base64.b64encode(shot.data).decode()}
    timeout_s = request["timeout_s"] or _PATIENCE * device.settings.timeout_s
    found = await run_adb(device, request["adb"], timeout_s=timeout_s)
    return {"code": found.code, "output": base64.b64encode(found.output).decode()}


async def run_adb(device: AndroidDevice, words: Sequence[str], *, timeout_s: float) -> AdbOutput:
    """What `adb -s SERIAL WORDS` would have done.

    Args:
        device: the phone.
        words: "shell", "push", …, and what follows.
        timeout_s: for the call.

    Raises:
        DeviceError: the phone failed; a command of the phone that fails is an exit code.
    """
    connection = device.connection
    match list(words):
        case ["shell", *rest]:
            # As adb does: the words become one line, quoted as the caller did.
            done = await connection.shell(" ".join(rest), timeout_s=timeout_s)
            return AdbOutput(code=done.exit_code, output=done.stdout + done.stderr)
        case ["exec-out", *rest]:
            return AdbOutput(output=bytes(await connection.exec_out(" ".join(rest), timeout_s=timeout_s)))
        case ["root" | "unroot" as service]:
            said = await connection.exchange(f"{service}:", timeout_s=timeout_s)
            if b"restarting" in said:
                await make_ready(connection, was_seen=True, timeout_s=timeout_s)
            return AdbOutput(output=said)
        case ["wait-for-device"]:
            await make_ready(connection, was_seen=True, timeout_s=timeout_s)
            return AdbOutput()
        case ["push", local, remote]:
            return await _push(device, Path(local), remote, timeout_s)
        case ["pull", remote, local]:
            return await _pull(device, remote, Path(local), timeout_s)
        case ["install", *options, local]:
            pushed = await _push(device, Path(local), _APK, timeout_s)
            line = f"pm install {shlex.join(options)} {_APK}; code=$?; rm -f {_APK}; exit $code"
            return pushed if pushed.code else await run_adb(device, ["shell", line], timeout_s=timeout_s)
        case ["uninstall", *options]:
            return await run_adb(device, ["shell", "pm", "uninstall", *options], timeout_s=timeout_s)
        case ["emu", *rest]:
            return await _tell_emulator(device.serial, " ".join(rest), timeout_s)
        case _:
            return AdbOutput(code=1, output=f"adb {shlex.join(words)} is not done here".encode())


async def _push(device: AndroidDevice, local: Path, remote: str, timeout_s: float) -> AdbOutput:
    content = await asyncio.to_thread(local.read_bytes)
    try:
        await push(device.connection, content, remote, timeout_s=timeout_s)
    except TransferRefusedError as error:
        return AdbOutput(code=1, output=f"adb: error: failed to copy to {remote!r}: {error}".encode())
    return AdbOutput(output=f"{local}: 1 file pushed, 0 skipped.".encode())


async def _pull(device: AndroidDevice, remote: str, local: Path, timeout_s: float) -> AdbOutput:
    try:
        content = await pull(device.connection, remote, timeout_s=timeout_s)
    except TransferRefusedError as error:
        return AdbOutput(code=1, output=f"adb: error: failed to copy {remote!r}: {error}".encode())
    await asyncio.to_thread(local.write_bytes, content)
    return AdbOutput(output=f"{remote}: 1 file pulled, 0 skipped.".encode())


async def _tell_emulator(serial: str, command: str, timeout_s: float) -> AdbOutput:
    port = serial.removeprefix(_EMULATOR)
    if not (serial.startswith(_EMULATOR) and port.isdecimal()):
        return AdbOutput(code=1, output=f"error: {serial} is no emulator: it has no console".encode())
    said = await EmulatorConsole(int(port)).send(command, timeout_s=timeout_s)
    return AdbOutput(output=said.encode())
