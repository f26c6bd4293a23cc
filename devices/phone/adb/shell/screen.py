"""`screencap`, `uiautomator`, `wm`: what can be seen, and on what."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import Final

from devices.phone.adb.faults import Fault
from devices.phone.adb.screen import capture, hierarchy, raw_header, rgba
from devices.phone.adb.shell.call import Call, Command
from devices.phone.display import PhoneDisplay
from gui_agent.errors import ConfigError

DISPLAY_ID: Final = "4619827259835644672"
"""Number of the only display, as SurfaceFlinger counts."""

_SEVERAL_DISPLAYS: Final = (
    "[Warning] Multiple displays were found, but no display id was specified! Defaulting to the first "
    "display found, however this default is not guaranteed to be consistent across captures. A "
    "display id should be specified.\nA display ID can be specified with the [-d display-id] option.\n"
    'See "dumpsys SurfaceFlinger --display-id" for valid display IDs.\n'
)
_SCREENCAP_USAGE: Final = (
    "usage: screencap [-hp] [-d display-id] [FILENAME]\n   -h: this message\n   -p: save the file as a png.\n"
    "   -d: specify the display ID to capture (If the id is not given, it defaults to 0)\n"
    'See "dumpsys SurfaceFlinger --display-id" for valid display IDs.\n'
    "If FILENAME ends with .png it will be saved as a png.\n"
    "If FILENAME is not given, the results will be printed to stdout.\n"
)


async def screencap(call: Call) -> int:
    """`screencap [-p] [-d DISPLAY] [FILE]`: a PNG, or a header and RGBA rows."""
    words = list(call.args)
    display = ""
    if "-d" in words:
        position = words.index("-d")
        display = "".join(words[position + 1 : position + 2])
        del words[position : position + 2]
    files = [word for word in words if not word.startswith("-")]
    if "-h" in words or len(files) > 1:
        return await call.fail(_SCREENCAP_USAGE)
    if display and display not in (DISPLAY_ID, "0"):
        return await call.fail(f"Display Id '{display}' is not valid.\n{_SCREENCAP_USAGE}")
    android = call.android
    if android.faults.take(Fault.MULTI_DISPLAY) and not display:
        await call.stderr.write(_SEVERAL_DISPLAYS.encode())
    as_png = "-p" in words or (files and files[0].endswith(".png"))
    await android.delay(android.profile.png_ms if as_png else android.profile.frame_ms)
    if as_png:
        pieces = [(await capture(android)).data]
    else:
        screenshot = await capture(android)
        pieces = [raw_header(screenshot), rgba(screenshot)]
    if files:
        android.files.write(call.path(files[0]), b"".join(pieces))
        return 0
    for piece in pieces:
        await call.out(piece)
    return 0


async def uiautomator(call: Call) -> int:
    """`uiautomator dump [--compressed] [FILE]`; it fails with exit code 0, as on phones."""
    if call.args[:1] != ("dump",):
        return await call.fail(
            "Usage: uiautomator <subcommand> [options]\n\nAvailable subcommands:\n\nhelp: displays help "
            "message\n\ndump: creates an XML dump of current UI hierarchy\n",
            1,
        )
    android = call.android
    await android.delay(android.profile.dump_ms)
    if android.faults.take(Fault.IDLE_STATE):
        return await call.fail("ERROR: could not get idle state.\n", 0)
    if android.faults.take(Fault.NULL_ROOT) or not android.awake:
        return await call.fail("ERROR: null root node returned by UiTestAutomationBridge.\n", 0)
    files = [word for word in call.args[1:] if not word.startswith("-")]
    file = files[0] if files else "/sdcard/window_dump.xml"
    dump = hierarchy(android)
    if file == "/dev/tty":
        await call.out(dump)
    else:
        android.files.write(call.path(file), dump.encode())
    return await call.out(f"UI hierchary dumped to: {file}\n")


async def wm(call: Call) -> int:
    """`wm size|density [VALUE|reset]`."""
    subject, *values = call.args or ("",)
    android = call.android
    made, shown = android.physical_display, android.display
    match subject, values:
        case "size", []:
            text = f"Physical size: {made.width_px}x{made.height_px}\n"
            if (shown.width_px, shown.height_px) != (made.width_px, made.height_px):
                text += f"Override size: {shown.width_px}x{shown.height_px}\n"
            return await call.out(text)
        case "size", ["reset"]:
            return await _show_on(call, replace_size(shown, width_px=made.width_px, height_px=made.height_px))
        case "size", [value] if match := re.fullmatch(r"(\d+)x(\d+)", value):
            return await _show_on(call, replace_size(shown, width_px=int(match[1]), height_px=int(match[2])))
        case "density", []:
            text = f"Physical density: {round(made.density * 160)}\n"
            if shown.density != made.density:
                text += f"Override density: {android.density_dpi}\n"
            return await call.out(text)
        case "density", ["reset"]:
            return await _show_on(call, replace_size(shown, density=made.density))
        case "density", [value] if value.isdecimal():
            return await _show_on(call, replace_size(shown, density=int(value) / 160))
        case _:
            return await call.fail(f"Error: bad argument for wm: {' '.join(call.args)}\n", 255)


def replace_size(display: PhoneDisplay, **changes: float) -> PhoneDisplay | str:
    """The display with another size or density, or why the apps cannot be laid out on it."""
    try:
        return replace(display, **changes)  # type: ignore[arg-type]
    except ConfigError as error:
        return str(error)


async def _show_on(call: Call, display: PhoneDisplay | str) -> int:
    if isinstance(display, str):
        return await call.fail(f"Error: {display}\n", 255)
    call.android.set_display(display)
    return 0


async def screenrecord(call: Call) -> int:
    """`screenrecord FILE`: not on this phone; says so as screenrecord does when it cannot encode."""
    name = posixpath.basename(call.args[-1]) if call.args else ""
    return await call.fail(f"Unable to create encoder for {name}: no video encoder on this phone\n")


SCREEN_COMMANDS: Final[dict[str, Command]] = {
    "screencap": screencap,
    "uiautomator": uiautomator,
    "wm": wm,
    "screenrecord": screenrecord,
}
