"""`dumpsys`: the lines that automation reads out of it, in the form of Android 13.

The forms were written down from what clients parse, not captured from a phone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from devices.phone.adb.android import Android
from devices.phone.adb.shell.activity import task_list
from devices.phone.adb.shell.call import Call, Command
from devices.phone.adb.shell.screen import DISPLAY_ID

_PID: Final = 4242
_RECORD: Final = "5d1e2b0"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _window(android: Android, args: tuple[str, ...]) -> str:
    package = android.foreground
    focus = f"Window{{7f2a1c u0 {android.focused_window}}}" if android.awake else "null"
    width_px, height_px = android.size_px
    return (
        "WINDOW MANAGER WINDOWS (dumpsys window windows)\n"
        f"  Window #0 Window{{7f2a1c u0 {android.focused_window}}}:\n"
        f"    mDisplayId=0 mSession=Session{{a1b2c3 {_PID}:u0a87}} mClient=android.os.BinderProxy@1f2e3d\n"
        f"    mAttrs={{(0,0)(fillxfill) sim={{adjust=pan}} ty=BASE_APPLICATION fmt=TRANSPARENT\n"
        "      fl=LAYOUT_IN_SCREEN LAYOUT_INSET_DECOR SPLIT_TOUCH HARDWARE_ACCELERATED"
        f"{' SECURE' if android.is_secure else ''}}}\n"
        f"    Frames: containing=[0,0][{width_px},{height_px}] parent=[0,0][{width_px},{height_px}]\n"
        f"  mCurrentRotation=ROTATION_{android.rotation * 90}\n"
        f"  mCurrentFocus={focus}\n"
        f"  mFocusedApp=ActivityRecord{{{_RECORD} u0 {package.component} t14}}\n"
        f"  init={android.physical_display.width_px}x{android.physical_display.height_px} "
        f"{android.density_dpi}dpi cur={width_px}x{height_px} app={width_px}x{height_px}\n"
        f"  mAwake={_flag(android.awake)} mScreenOnEarly={_flag(android.awake)}\n"
        "  isKeyguardShowing=false\n  mDreamingLockscreen=false mShowingLockscreen=false\n"
    )


def _activity(android: Android, args: tuple[str, ...]) -> str:
    package = android.foreground
    record = f"ActivityRecord{{{_RECORD} u0 {package.component} t14}}"
    match args[:1]:
        case ("top",):
            return (
                f"TASK {package.name} id=14 userId=0\n"
                f"  ACTIVITY {package.component} {_RECORD} pid={_PID}\n    Local Activity {_RECORD} State:\n"
            )
        case ("recents",):
            return (
                "ACTIVITY MANAGER RECENT TASKS (dumpsys activity recents)\n"
                f"  * Recent #0: Task{{{_RECORD} #14 type=standard A=10087:{package.name} U=0 "
                "visible=true}\n    id=14 userId=0 hasTask=true lastActiveTime=1\n"
            )
        case ("services",):
            return "ACTIVITY MANAGER SERVICES (dumpsys activity services)\n  (nothing)\n"
        case _:
            return (
                "ACTIVITY MANAGER ACTIVITIES (dumpsys activity activities)\nDisplay #0 (activities from top "
                "to bottom):\n"
                f"  * Task{{{_RECORD} #14 type=standard A=10087:{package.name} U=0 visible=true}}\n"
                f"    mResumedActivity: {record}\n    * Hist  #0: {record}\n"
                f"  ResumedActivity: {record}\n  topResumedActivity={record}\n" + task_list(android)
            )


def _display(android: Android, args: tuple[str, ...]) -> str:
    width_px, height_px = android.size_px
    frame = f"Rect(0, 0 - {width_px}, {height_px})"
    state = "ON" if android.awake else "OFF"
    return (
        "DISPLAY MANAGER (dumpsys display)\n  mViewports=[DisplayViewport{type=INTERNAL, valid=true, "
        f"isActive={_flag(android.awake)}, displayId=0, uniqueId='local:{DISPLAY_ID}', physicalPort=0, "
        f"orientation={android.rotation}, logicalFrame={frame}, physicalFrame={frame}, "
        f"deviceWidth={width_px}, deviceHeight={height_px}}}]\n"
        f"  mScreenState={state}\n  mState={state}\n"
    )


def _power(android: Android, args: tuple[str, ...]) -> str:
    stay = android.settings["global"].get("stay_on_while_plugged_in", "0")
    return (
        "POWER MANAGER (dumpsys power)\n\nPower Manager State:\n"
        f"  mWakefulness={'Awake' if android.awake else 'Asleep'}\n  mIsPowered=true\n  mPlugType=2\n"
        f"  mStayOn={_flag(stay != '0')}\n  mStayOnWhilePluggedInSetting={stay}\n"
        "  mHoldingWakeLockSuspendBlocker=false\n"
        f"  mHoldingDisplaySuspendBlocker={_flag(android.awake)}\n\n"
        f"Display Power: state={'ON' if android.awake else 'OFF'}\n"
    )


def _battery(android: Android, args: tuple[str, ...]) -> str:
    level = android.state.look.battery_percent
    return (
        "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n"
        "  Wireless powered: false\n"
        "  Max charging current: 500000\n  Max charging voltage: 5000000\n  Charge counter: 2400000\n"
        f"  status: 2\n  health: 2\n  present: true\n  level: {level}\n  scale: 100\n  voltage: 4180\n"
        "  temperature: 281\n  technology: Li-ion\n"
    )


def _input(android: Android, args: tuple[str, ...]) -> str:
    width_px, height_px = android.size_px
    frame = f"[0, 0, {width_px}, {height_px}]"
    return (
        "INPUT MANAGER (dumpsys input)\n\nInput Reader State:\n  Device 2: virtio_input_multi_touch_1\n"
        f"    Touch Input Mapper (mode - DIRECT):\n      SurfaceOrientation: {android.rotation}\n"
        f"      InputDeviceOrientation: {android.rotation}\n"
        f"      PhysicalWidth: {width_px}px\n      PhysicalHeight: {height_px}px\n"
        f"  Viewport INTERNAL: displayId=0, uniqueId=local:{DISPLAY_ID}, port=0, "
        f"orientation={android.rotation}, logicalFrame={frame}, physicalFrame={frame}, "
        f"deviceSize=[{width_px}, {height_px}], isActive=[1]\n"
    )


def _input_method(android: Android, args: tuple[str, ...]) -> str:
    shown = bool(android.state.page.focus) and android.awake
    return (
        "Current Input Method Manager state:\n"
        f"  mCurMethodId={android.keyboard}\n  mCurId={android.keyboard}\n"
        f"  mShowRequested={_flag(shown)} mShowExplicitlyRequested=false\n"
        f"  mInputShown={_flag(shown)}\n  mServedView={'EditText' if shown else 'null'}\n"
    )


def _package(android: Android, args: tuple[str, ...]) -> str:
    names = [one for one in android.packages if not args or one == args[0]]
    if not names:
        return f"Unable to find package: {args[0] if args else ''}\n"
    installed = "2026-01-02 03:04:05"
    lines = "Packages:\n"
    for name in names:
        one = android.packages[name]
        kind = "SYSTEM HAS_CODE" if one.system else "HAS_CODE ALLOW_CLEAR_USER_DATA"
        code = "".join(letter for letter in one.version if letter.isdecimal()) or "1"
        lines += (
            f"  Package [{name}] (a1b2c3d):\n    userId=10087\n    codePath={one.path.rpartition('/')[0]}\n"
            f"    versionCode={code} minSdk=24 targetSdk=33\n    versionName={one.version}\n"
            f"    flags=[ {kind} ]\n    pkgFlags=[ {kind} ]\n"
            "    signatures=PackageSignatures{1a2b3c version:2, signatures:[deadbeef], past signatures:[]}\n"
            f"    firstInstallTime={installed}\n    lastUpdateTime={installed}\n"
            f"    User 0: installed=true hidden=false stopped=false enabled="
            f"{2 if name in android.disabled else 0}\n"
        )
    return lines


def _surface_flinger(android: Android, args: tuple[str, ...]) -> str:
    return f'Display {DISPLAY_ID} (HWC display 0): port=0 pnpId=GGL displayName="EMU_display_0"\n'


def _telephony(android: Android, args: tuple[str, ...]) -> str:
    return (
        "last known state:\n  Phone Id=0\n    mCallState=0\n    mCallIncomingNumber=\n    mServiceState=0\n"
    )


def _wifi(android: Android, args: tuple[str, ...]) -> str:
    on = android.setting("global", "wifi_on") == "1"
    return f"Wi-Fi is {'enabled' if on else 'disabled'}\nStay-awake conditions: 0\n"


def _connectivity(android: Android, args: tuple[str, ...]) -> str:
    return "NetworkProviders for:\nActive default network: 100\n"


def _memory(android: Android, args: tuple[str, ...]) -> str:
    totals = "Total RAM: 4,000,000K (status normal)\n Free RAM: 2,000,000K\n"
    return f"Applications Memory Usage (in Kilobytes):\n{totals}"


def _cpu(android: Android, args: tuple[str, ...]) -> str:
    return "Load: 0.1 / 0.1 / 0.1\n0.5% TOTAL: 0.3% user + 0.2% kernel\n"


def _alarm(android: Android, args: tuple[str, ...]) -> str:
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(android.now_s()))
    return f"Current Alarm Manager state:\n  nowRTC={int(android.now_s() * 1000)}={now}.000\n"


def _policy(android: Android, args: tuple[str, ...]) -> str:
    return "Device policy state: no owner\n"


_SERVICES: Final[dict[str, Callable[[Android, tuple[str, ...]], str]]] = {
    "window": _window, "activity": _activity, "display": _display, "power": _power, "battery": _battery,
    "input": _input, "input_method": _input_method, "package": _package, "SurfaceFlinger": _surface_flinger,
    "telephony.registry": _telephony, "wifi": _wifi, "connectivity": _connectivity, "meminfo": _memory,
    "cpuinfo": _cpu, "alarm": _alarm, "device_policy": _policy,
}  # fmt: skip


async def dumpsys(call: Call) -> int:
    """`dumpsys [-t SECONDS] [-l] SERVICE [ARGUMENTS]`."""
    words = list(call.args)
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "-l":
            return await call.out(
                "Currently running services:\n" + "".join(f"  {n}\n" for n in sorted(_SERVICES))
            )
        if option in ("-t", "-T", "--priority") and words:
            words.pop(0)
    if not words:
        return await call.out("".join(f"DUMP OF SERVICE {name}:\n" for name in sorted(_SERVICES)))
    found = _SERVICES.get(words[0])
    if found is None:
        return await call.fail(f"Can't find service: {words[0]}\n", 0)
    return await call.out(found(call.android, tuple(words[1:])))


async def service(call: Call) -> int:
    """`service check NAME`, `service list`, `service call NAME CODE …`."""
    match call.args:
        case ("check", name):
            known = name in _SERVICES
            return await call.out(f"Service {name}: {'found' if known else 'not found'}\n")
        case ("list", *_):
            names = sorted(_SERVICES)
            lines = "".join(f"{number}\t{name}: []\n" for number, name in enumerate(names))
            return await call.out(f"Found {len(names)} services:\n{lines}")
        case ("call", _, _, *_):
            return await call.out("Result: Parcel(00000000    '....')\n")
        case _:
            return await call.fail("service: No arguments\nUsage: service list|check|call\n", 10)


DUMPSYS_COMMANDS: Final[dict[str, Command]] = {"dumpsys": dumpsys, "service": service}
