"""`getprop`, `settings`, `svc`, `ime`: what is switched how."""

from __future__ import annotations

from typing import Final

from devices.phone.adb.android import SWITCH_SETTINGS
from devices.phone.adb.shell.call import Call, Command
from devices.phone.apps.settings import with_switch

_ERROR: Final = 255


async def get_property(call: Call) -> int:
    """`getprop [NAME [DEFAULT]]`."""
    properties = call.android.properties
    if call.args:
        default = call.args[1] if len(call.args) > 1 else ""
        return await call.out(properties.get(call.args[0], default) + "\n")
    return await call.out("".join(f"[{name}]: [{value}]\n" for name, value in sorted(properties.items())))


async def set_property(call: Call) -> int:
    """`setprop NAME VALUE`; what begins with "ro." was decided at the start."""
    if len(call.args) != 2:
        return await call.fail("usage: setprop NAME VALUE\n")
    name, value = call.args
    if name.startswith("ro."):
        return await call.fail(
            f"Failed to set property '{name}' to '{value}'.\nSee dmesg for error reason.\n"
        )
    call.android.properties[name] = value
    return 0


async def settings(call: Call) -> int:
    """`settings get|put|delete|reset|list TABLE [NAME [VALUE]]`."""
    words = list(call.args)
    if words[:1] == ["--user"]:
        words = words[2:]
    action, table, *rest = [*words, "", ""][: max(2, len(words))]
    android = call.android
    if action not in ("get", "put", "delete", "reset", "list") or table not in android.settings:
        return await call.fail(
            f"Invalid command or namespace: {' '.join(words)}\nSettings provider (settings) commands: get, "
            "put, delete, reset, list; namespaces: system, secure, global\n",
            _ERROR,
        )
    match action, rest:
        case "get", [name]:
            value = android.setting(table, name)
            return await call.out(f"{'null' if value is None else value}\n")
        case "put", [name, value, *_]:
            android.put_setting(table, name, value)
            return 0
        case "delete", [name]:
            found = name in android.settings[table]
            android.put_setting(table, name, None)
            return await call.out(f"Deleted {int(found)} rows\n")
        case "reset", [_, *_]:
            return 0
        case "list", []:
            names = sorted({*android.settings[table], *_switch_names(table)})
            return await call.out("".join(f"{name}={android.setting(table, name)}\n" for name in names))
        case _:
            return await call.fail(f"Bad arguments for settings {action}\n", _ERROR)


def _switch_names(table: str) -> list[str]:
    return [name for owner, name in SWITCH_SETTINGS if owner == table]


_SERVICES: Final = {"wifi": "wifi", "data": "mobile data", "bluetooth": "bluetooth"}


async def svc(call: Call) -> int:
    """`svc wifi|data|bluetooth enable|disable`, `svc power stayon|reboot|shutdown`."""
    android = call.android
    match call.args:
        case (name, "enable" | "disable" as value) if name in _SERVICES:
            android.change(with_switch(android.state, _SERVICES[name], value == "enable"))
            return 0
        case ("power", "stayon", value):
            numbers = {"true": "7", "false": "0", "usb": "2", "ac": "1", "wireless": "4"}
            android.put_setting("global", "stay_on_while_plugged_in", numbers.get(value, "0"))
            if value != "false":
                android.awake = True
            return 0
        case ("power", "reboot" | "shutdown", *_):
            android.reboot()
            return 0
        case ("nfc" | "usb", *_):
            return 0
        case _:
            return await call.fail(
                "Available commands:\n    help     Show information about the subcommands\n"
                "    power    Control the power manager\n    data     Control mobile data connectivity\n"
                "    wifi     Control the Wi-Fi manager\n    bluetooth Control Bluetooth service\n",
                1,
            )


async def ime(call: Call) -> int:
    """`ime list [-a] [-s]`, `ime enable|disable|set ID`, `ime reset`."""
    android = call.android
    match call.args:
        case ("list", *options):
            listed = android.keyboards if "-a" in options else android.enabled_keyboards
            if "-s" in options:
                return await call.out("".join(f"{one}\n" for one in listed))
            return await call.out("".join(_described(one) for one in listed))
        case ("enable" | "disable" | "set" as action, *_, name):
            return await _keyboard(call, action, name)
        case ("reset",):
            android.reset_keyboards()
            return await call.out("Reset current and enabled IMEs for user #0\n")
        case _:
            return await call.fail("Usage: ime list|enable|disable|set|reset\n", 1)


def _described(keyboard: str) -> str:
    package, _, service = keyboard.partition("/")
    return (
        f"{keyboard}:\n  mId={keyboard} mSettingsActivityName=null mIsVrOnly=false\n  Service:\n"
        f"    name={package}{service}\n    packageName={package}\n    enabled=true exported=true\n"
    )


async def _keyboard(call: Call, action: str, name: str) -> int:
    android = call.android
    if name not in android.keyboards:
        verb = "selected" if action == "set" else f"{action}d"
        return await call.fail(f"Unknown input method {name} cannot be {verb} for user #0\n", 0)
    enabled = android.enabled_keyboards
    if action == "enable":
        android.set_enabled_keyboards((*enabled, *(() if name in enabled else (name,))))
        state = "already enabled" if name in enabled else "now enabled"
        return await call.out(f"Input method {name}: {state} for user #0\n")
    if action == "disable":
        android.set_enabled_keyboards(tuple(one for one in enabled if one != name))
        state = "now disabled" if name in enabled else "already disabled"
        return await call.out(f"Input method {name}: {state} for user #0\n")
    if name not in enabled:
        return await call.fail(f"Unknown input method {name} cannot be selected for user #0\n", 0)
    android.settings["secure"]["default_input_method"] = name
    return await call.out(f"Input method {name} selected for user #0\n")


SETTINGS_COMMANDS: Final[dict[str, Command]] = {
    "getprop": get_property,
    "setprop": set_property,
    "settings": settings,
    "svc": svc,
    "ime": ime,
}
