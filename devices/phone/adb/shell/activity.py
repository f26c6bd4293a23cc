"""`am` and `monkey`: apps started, stopped and told things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from devices.phone.adb.android import Android
from devices.phone.adb.packages import LAUNCHER_PACKAGE, Package
from devices.phone.adb.shell.call import Call, Command
from devices.phone.adb.shell.intent import Intent, read_intent
from devices.phone.adb.shell.keyboard import keyboard_broadcast
from devices.phone.state import LAUNCHER, Page, go_home, push
from gui_agent.actions import Button, OpenApp, SystemButton

_ERROR: Final = 255
_NO_ACTIVITY: Final = 252
_TASK_ID: Final = 14
_APPS_BY_ACTION: Final = {
    "android.settings.SETTINGS": "settings",
    "android.intent.action.SHOW_ALARMS": "clock",
    "android.intent.action.SET_ALARM": "clock",
    "android.intent.action.MUSIC_PLAYER": "music",
    "android.intent.action.SENDTO": "chats",
    "android.intent.action.DIAL": "contacts",
    "android.intent.action.CALL": "contacts",
}
_SETTINGS_PAGES: Final = {
    "android.settings.WIFI_SETTINGS": "network",
    "android.settings.BLUETOOTH_SETTINGS": "network",
    "android.settings.WIRELESS_SETTINGS": "network",
    "android.settings.AIRPLANE_MODE_SETTINGS": "network",
    "android.settings.DISPLAY_SETTINGS": "display",
    "android.settings.SOUND_SETTINGS": "sound",
    "android.settings.LOCATION_SOURCE_SETTINGS": "privacy",
    "android.settings.DEVICE_INFO_SETTINGS": "about",
}
_SCHEMES: Final = {"tel:": "contacts", "sms:": "chats", "smsto:": "chats"}


async def am(call: Call) -> int:
    """`am start|force-stop|broadcast|stack|…`."""
    action, *words = call.args or ("",)
    command = _AM_COMMANDS.get(action)
    if command is None:
        return await call.fail(f"Unknown command: {action}\n", _ERROR)
    try:
        return await command(call, words)
    except ValueError as error:
        return await call.fail(
            f"\nException occurred while executing '{action}':\njava.lang."
            f"IllegalArgumentException: {error}\n",
            _ERROR,
        )


def _resolve(android: Android, intent: Intent) -> Package | None:
    """The package that an intent without a component means."""
    packages = android.packages
    if "android.intent.category.HOME" in intent.categories:
        return LAUNCHER_PACKAGE
    if intent.package:
        return packages.get(intent.package)
    app = _APPS_BY_ACTION.get(intent.action, "")
    if intent.action in _SETTINGS_PAGES:
        app = "settings"
    for scheme, owner in _SCHEMES.items():
        app = app or (owner if intent.data.startswith(scheme) else "")
    return next((one for one in packages.values() if one.app == app), None) if app else None


async def _start(call: Call, words: Sequence[str]) -> int:
    android, intent = call.android, read_intent(words)
    await android.delay(android.profile.start_ms)
    await call.out(f"Starting: {intent}\n")
    if intent.component:
        name, _, activity = intent.component.partition("/")
        package = android.packages.get(name)
        full = name + activity if activity.startswith(".") else activity
        if package is None or full != package.activity:
            shown = f"{name}/{full}"
            return await call.fail(f"Error type 3\nError: Activity class {{{shown}}} does not exist.\n", 1)
    else:
        package = _resolve(android, intent)
        if package is None or not package.activity:
            return await call.fail(f"Error: Activity not started, unable to resolve {intent}\n", 1)
    if "-S" in intent.flags:
        stop_app(android, package)
    await show_app(android, package)
    section = _SETTINGS_PAGES.get(intent.action, "")
    if section and not android.state.simple:
        android.change(push(android.state, Page(app="settings", name="section", item=section)))
    if "-W" in intent.flags:
        await call.out(
            f"Status: ok\nLaunchState: COLD\nActivity: {package.component}\nTotalTime: 312\n"
            "WaitTime: 318\nComplete\n"
        )
    return 0


async def show_app(android: Android, package: Package) -> None:
    """Bring an app's first page to the front, as a gesture of the user would."""
    if package.app == LAUNCHER:
        await android.phone.execute(SystemButton(button=Button.HOME))
    elif package.app:
        await android.phone.execute(OpenApp(name=package.app))
    android.note("ActivityTaskManager", f"START u0 {{cmp={package.component}}} from uid 2000")


def stop_app(android: Android, package: Package) -> None:
    """End an app: its pages go, and if it was in front, the launcher is."""
    state = android.state
    kept = tuple(page for page in state.stack if page.app != package.app or page.app == LAUNCHER)
    if package.app and state.foreground_app == package.app:
        android.change(go_home(state))
    elif len(kept) < len(state.stack):
        android.change(replace(state, stack=kept))


async def _stop(call: Call, words: Sequence[str]) -> int:
    intent = read_intent(words)
    package = call.android.packages.get(intent.package)
    if package is not None:
        stop_app(call.android, package)
    return 0


async def _broadcast(call: Call, words: Sequence[str]) -> int:
    android, intent = call.android, read_intent(words)
    extras = " (has extras)" if intent.extras else ""
    component = f" cmp={intent.component}" if intent.component else ""
    await call.out(f"Broadcasting: Intent {{ act={intent.action} flg=0x400000{component}{extras} }}\n")
    result = await keyboard_broadcast(android, intent)
    data = ""
    if intent.action == "clipper.set":
        android.clipboard = intent.extras.get("text", "")
        result, data = -1, ', data="Text is copied into clipboard."'
    elif intent.action == "clipper.get":
        result, data = -1, f', data="{android.clipboard}"'
    return await call.out(f"Broadcast completed: result={result or 0}{data}\n")


async def _tasks(call: Call, words: Sequence[str]) -> int:
    """`am stack list`, `am stack remove ID`."""
    if words[:1] == ["list"]:
        return await call.out(task_list(call.android))
    if words[:1] == ["remove"]:
        call.android.change(go_home(call.android.state))
    return 0


def task_list(android: Android) -> str:
    """The tasks as `am stack list` prints them: the app in front, and the launcher behind it."""
    width_px, height_px = android.size_px
    front = android.foreground
    lines = ""
    for number, package in enumerate(dict.fromkeys((front, LAUNCHER_PACKAGE))):
        task = _TASK_ID - 13 * number
        name = package.component
        lines += (
            f"RootTask id={task} bounds=[0,0][{width_px},{height_px}] displayId=0 userId=0\n"
            f" configuration={{1.0 ?mcc?mnc [en_US] ldltr sw{width_px}dp port finger}}\n"
            f"  taskId={task}: {name} bounds=[0,0][{width_px},{height_px}] userId=0 "
            f"visible={'true' if number == 0 else 'false'} topActivity=ComponentInfo{{{name}}}\n"
        )
    return lines


async def _current_user(call: Call, words: Sequence[str]) -> int:
    return await call.out("0\n")


async def _nothing(call: Call, words: Sequence[str]) -> int:
    return 0


_AM_COMMANDS: Final = {
    "start": _start, "start-activity": _start, "force-stop": _stop, "stop-app": _stop, "kill": _nothing,
    "kill-all": _nothing, "broadcast": _broadcast, "stack": _tasks, "task": _nothing,
    "get-current-user": _current_user, "startservice": _nothing, "start-service": _nothing,
    "start-foreground-service": _nothing, "stopservice": _nothing, "wait-for-broadcast-idle": _nothing,
    "set-debug-app": _nothing, "clear-debug-app": _nothing, "switch-user": _nothing,
}  # fmt: skip


async def monkey(call: Call) -> int:
    """`monkey -p PACKAGE [-c CATEGORY] 1`: starts the app."""
    words = call.args
    name = next((words[at + 1] for at, word in enumerate(words[:-1]) if word == "-p"), "")
    package = call.android.packages.get(name)
    await call.android.delay(call.android.profile.start_ms)
    told = "".join(f"  bash arg: {word}\n" for word in words)
    if package is None or not package.activity or name in call.android.disabled:
        await call.out(told + "** No activities found to run, monkey aborted.\n")
        return _NO_ACTIVITY
    await show_app(call.android, package)
    return await call.out(
        told + "Events injected: 1\n## Network stats: elapsed time=18ms (0ms mobile, 0ms wifi, 18ms not "
        "connected)\n"
    )


ACTIVITY_COMMANDS: Final[dict[str, Command]] = {"am": am, "monkey": monkey}
