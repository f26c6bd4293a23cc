"""`pm`, and `cmd package`: what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from devices.phone.adb.android import Android
from devices.phone.adb.apk import read_apk
from devices.phone.adb.packages import APP_PACKAGES, Package
from devices.phone.adb.shell.activity import stop_app
from devices.phone.adb.shell.call import Call, Command
from devices.phone.adb.shell.options import read_options
from devices.phone.apps.launcher import HOME_SCREEN
from devices.phone.apps.registry import APP_DATA_TYPES
from gui_agent.errors import DataError

_ERROR: Final = 255
_OPTIONS_WITH_VALUE: Final = frozenset({"--user", "-i", "--install-location", "-S", "--abi", "-p"})
_FEATURES: Final = (
    "android.hardware.touchscreen", "android.hardware.wifi", "android.hardware.bluetooth",
    "android.hardware.screen.portrait", "android.software.input_methods",
)  # fmt: skip


async def pm(call: Call) -> int:
    """`pm list|path|clear|install|uninstall|enable|disable|grant|revoke|…`."""
    action, *words = call.args or ("",)
    command = _PM_COMMANDS.get(action)
    if command is None:
        return await call.fail(f"Unknown command: {action}\n", _ERROR)
    return await command(call, words)


def _operands(words: Sequence[str]) -> list[str]:
    """The words that are no options and no values of options."""
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _OPTIONS_WITH_VALUE:
            skip = True
        elif not word.startswith("-"):
            found.append(word)
    return found


async def _list(call: Call, words: Sequence[str]) -> int:
    subject, *rest = words or ("",)
    match subject:
        case "packages" | "package":
            return await call.out("".join(_lines_of_packages(call.android, rest)))
        case "features":
            return await call.out("".join(f"feature:{name}\n" for name in _FEATURES))
        case "users":
            return await call.out("Users:\n\tUserInfo{0:Owner:c13} running\n")
        case "permissions" | "permission-groups" | "libraries" | "instrumentation":
            return 0
        case _:
            return await call.fail(f"Error: unknown list type '{subject}'\n", _ERROR)


def _lines_of_packages(android: Android, words: Sequence[str]) -> list[str]:
    flags = read_options([word for word in words if not word.startswith("--user")]).flags
    filters = _operands(words)
    lines: list[str] = []
    for one in android.packages.values():
        off = one.name in android.disabled
        hidden = ("d" in flags and not off) or ("e" in flags and off)
        hidden = hidden or ("s" in flags and not one.system) or ("3" in flags and one.system)
        if hidden or (filters and filters[0] not in one.name):
            continue
        lines.append(f"package:{one.path}={one.name}\n" if "f" in flags else f"package:{one.name}\n")
    return lines


async def _path(call: Call, words: Sequence[str]) -> int:
    package = call.android.packages.get((_operands(words) or [""])[0])
    return 1 if package is None else await call.out(f"package:{package.path}\n")


async def _clear(call: Call, words: Sequence[str]) -> int:
    android = call.android
    package = android.packages.get((_operands(words) or [""])[0])
    if package is None:
        await call.out("Failed\n")
        return 1
    stop_app(android, package)
    if package.app in android.state.apps and package.app in APP_PACKAGES and package.activity:
        empty = APP_DATA_TYPES[package.app]()
        android.change(replace(android.state, apps={**android.state.apps, package.app: empty}))
    return await call.out("Success\n")


async def _install(call: Call, words: Sequence[str]) -> int:
    """From a file of the phone, or with `-S SIZE` from standard input."""
    options, files = list(words), _operands(words)
    if "-S" in options[:-1] and (not files or files[0] == "-"):
        data = await _read_exactly(call, int(options[options.index("-S") + 1]))
    elif files:
        path = call.path(files[0])
        if not call.android.files.exists(path):
            return await call.fail(
                f"Error: Unable to open file: {files[0]}\nConsider using a file under /data/local/tmp/\n", 1
            )
        data = call.android.files.read(path)
    else:
        return await call.fail("Error: must either specify a package size or an APK file\n", 1)
    return await _install_data(call, data)


async def _read_exactly(call: Call, num_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < num_bytes and (piece := await call.stdin.read()):
        data += piece
    return bytes(data[:num_bytes])


async def _install_data(call: Call, data: bytes) -> int:
    android = call.android
    try:
        apk = read_apk(data)
    except DataError as error:
        return await call.fail(f"Failure [INSTALL_PARSE_FAILED_NOT_APK: {error}]\n", 1)
    known = next((one for one in APP_PACKAGES.values() if one.name == apk.package), None)
    android.removed.discard(apk.package)
    if known is None:
        android.added[apk.package] = Package(name=apk.package, system=False, version=apk.version)
    elif known.app not in HOME_SCREEN.get(android.state).order and known.app:
        order = (*HOME_SCREEN.get(android.state).order, known.app)
        android.change(HOME_SCREEN.change(android.state, order=order))
    return await call.out("Success\n")


async def _uninstall(call: Call, words: Sequence[str]) -> int:
    android = call.android
    name = (_operands(words) or [""])[0]
    package = android.packages.get(name)
    if package is None or package.system:
        await call.out("Failure [DELETE_FAILED_INTERNAL_ERROR]\n")
        return 1
    stop_app(android, package)
    if android.added.pop(name, None) is None and not package.app:
        android.removed.add(name)
    if package.app:
        order = tuple(app for app in HOME_SCREEN.get(android.state).order if app != package.app)
        android.change(HOME_SCREEN.change(android.state, order=order))
    return await call.out("Success\n")


async def _enable(call: Call, words: Sequence[str]) -> int:
    return await _switch(call, words, enabled=True)


async def _disable(call: Call, words: Sequence[str]) -> int:
    return await _switch(call, words, enabled=False)


async def _switch(call: Call, words: Sequence[str], *, enabled: bool) -> int:
    name = (_operands(words) or [""])[0]
    if name not in call.android.packages:
        return await call.fail(
            f"\nException occurred while executing:\njava.lang.IllegalArgumentException: Unknown package: "
            f"{name}\n",
            _ERROR,
        )
    if enabled:
        call.android.disabled.discard(name)
    else:
        call.android.disabled.add(name)
    return await call.out(f"Package {name} new state: {'enabled' if enabled else 'disabled-user'}\n")


async def _resolve(call: Call, words: Sequence[str]) -> int:
    operands = _operands(words)
    package = call.android.packages.get(operands[-1] if operands else "")
    if package is None or not package.activity:
        return await call.out("No activity found\n")
    if "--brief" in words:
        first = "priority=0 preferredOrder=0 match=0x108000 specificIndex=-1 isDefault=true\n"
        return await call.out(f"{first}{package.component}\n")
    return await call.out(_activity_info(package))


def _activity_info(package: Package) -> str:
    return (
        "priority=0 preferredOrder=0 match=0x108000 specificIndex=-1 isDefault=true\nActivityInfo:\n"
        f"  name={package.activity}\n  packageName={package.name}\n"
        f"  labelRes=0x0 nonLocalizedLabel={package.app} icon=0x0 banner=0x0\n"
        f"  enabled=true exported=true directBootAware=false\n"
    )


async def _query(call: Call, words: Sequence[str]) -> int:
    """`cmd package query-activities`: everything that the launcher can start."""
    found = [one for one in call.android.packages.values() if one.activity]
    if "--components" in words:
        return await call.out("".join(f"{one.component}\n" for one in found))
    lines = f"{len(found)} activities found:\n"
    for number, one in enumerate(found):
        info = _activity_info(one).replace("\n", "\n    ").rstrip(" ")
        lines += f"  Activity #{number}:\n    {info}"
    return await call.out(lines)


async def _nothing(call: Call, words: Sequence[str]) -> int:
    return 0


async def _success(call: Call, words: Sequence[str]) -> int:
    return await call.out("Success\n")


_PM_COMMANDS: Final = {
    "list": _list, "path": _path, "clear": _clear, "install": _install, "uninstall": _uninstall,
    "enable": _enable, "disable": _disable, "disable-user": _disable, "hide": _disable, "unhide": _enable,
    "grant": _nothing, "revoke": _nothing, "reset-permissions": _nothing, "trim-caches": _nothing,
    "resolve-activity": _resolve, "query-activities": _query, "suspend": _nothing, "unsuspend": _nothing,
    "set-install-location": _nothing, "compile": _success, "install-create": _nothing,
}  # fmt: skip

PACKAGE_COMMANDS: Final[dict[str, Command]] = {"pm": pm}
