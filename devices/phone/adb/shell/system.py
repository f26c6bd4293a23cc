"""`date`, `su`, `reboot`, `logcat`, the network: what on a host would reach the machine itself."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import Final

from devices.phone.adb.shell.builtins import succeed
from devices.phone.adb.shell.call import Call, Command
from devices.phone.adb.shell.interpreter import NOT_FOUND, Streams
from devices.phone.adb.shell.options import read_options
from devices.phone.apps.settings import is_on, with_switch

_SET_DATE: Final = re.compile(r"(\d{2})(\d{2})(\d{2})(\d{2})(?:(\d{4}|\d{2}))?(?:\.(\d{2}))?")
_WLAN_ADDRESS: Final = "192.168.1.23"


async def date(call: Call) -> int:
    """`date [-u] [+FORMAT]`, `date MMDDhhmm[[CC]YY][.ss]`, `date -s @SECONDS`: the phone's clock alone."""
    words = [word for word in call.args if word not in ("-u", "-s", "set")]
    now = datetime.fromtimestamp(call.android.now_s(), UTC)
    if words and not words[0].startswith("+"):
        moment = _moment(words[0], now)
        if moment is None:
            return await call.fail(f"date: bad date '{words[0]}'\n")
        call.android.set_clock(moment.timestamp())
        now, words = moment, words[1:]
    form = words[0][1:] if words else "%a %b %e %H:%M:%S UTC %Y"
    form = form.replace("%s", str(int(now.timestamp()))).replace("%N", f"{now.microsecond * 1000:09d}")
    return await call.out(now.strftime(form) + "\n")


def _moment(word: str, now: datetime) -> datetime | None:
    try:
        if word.startswith("@"):
            return datetime.fromtimestamp(float(word[1:]), UTC)
        match = _SET_DATE.fullmatch(word)
        if match is None:
            return datetime.fromisoformat(word).replace(tzinfo=UTC)
        month, day, hour, minute = (int(match[number]) for number in range(1, 5))
        year = int(match[5]) if match[5] else now.year
        year += 2000 if year < 100 else 0
        return datetime(year, month, day, hour, minute, int(match[6] or 0), tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


async def switch_user(call: Call) -> int:
    """`su [0|root] [-c] COMMAND`: root of the phone, which is who runs everything here."""
    words = list(call.args)
    if words and words[0] in ("0", "root", "shell", "-"):
        words.pop(0)
    streams = Streams(stdin=call.stdin, stdout=call.stdout, stderr=call.stderr)
    if words[:1] == ["-c"]:
        return await call.shell.child().run(" ".join(words[1:]), streams)
    return await call.shell.command(words, streams) if words else 0


async def who(call: Call) -> int:
    """`whoami`, `id`."""
    if call.name == "whoami":
        return await call.out("root\n")
    groups = "groups=0(root),1004(input),1007(log),1011(adb),1015(sdcard_rw),3003(inet) context=u:r:su:s0"
    return await call.out("0\n" if "-u" in call.args else f"uid=0(root) gid=0(root) {groups}\n")


async def restart(call: Call) -> int:
    """`reboot`, `svc power reboot`: the phone's links break, nothing else."""
    call.android.reboot()
    return 0


async def logcat(call: Call) -> int:
    """`logcat [-d] [-c] [-t N]`; without `-d` it goes on until the host hangs up."""
    log = call.android.log
    if "-c" in call.args or "--clear" in call.args:
        log.clear()
        return 0
    lines = list(log)
    if "-t" in call.args:
        count = call.option("-t")
        lines = lines[-int(count) :] if count.isdecimal() else lines
    await call.out("--------- beginning of main\n" + "".join(f"{line}\n" for line in lines))
    if "-d" in call.args or "-t" in call.args:
        return 0
    shown = len(lines)
    while True:
        await asyncio.sleep(0.1)
        fresh = list(log)[shown:]
        shown = len(log)
        await call.out("".join(f"{line}\n" for line in fresh))


async def write_log(call: Call) -> int:
    """`log [-t TAG] MESSAGE`."""
    options = read_options(call.args, with_value="tp")
    call.android.note(options.values.get("t", "log"), " ".join(options.operands))
    return 0


async def network(call: Call) -> int:
    """`ifconfig`, `ip`: a loopback and one Wi-Fi address, which is nobody's."""
    name = next((word for word in call.args if word in ("wlan0", "lo", "eth0")), "")
    if name == "eth0":
        return await call.fail(f"{call.name}: eth0: No such device\n")
    shown = ("wlan0",) if name == "wlan0" else ("lo",) if name == "lo" else ("lo", "wlan0")
    if call.name == "ifconfig":
        return await call.out("".join(_IFCONFIG[one] for one in shown))
    if "route" in call.args:
        return await call.out(f"192.168.1.0/24 dev wlan0 proto kernel scope link src {_WLAN_ADDRESS}\n")
    return await call.out("".join(_IP_ADDRESS[one] for one in shown))


_IFCONFIG: Final = {
    "lo": "lo        Link encap:Local Loopback  \n          inet addr:127.0.0.1  Mask:255.0.0.0 \n",
    "wlan0": "wlan0     Link encap:Ethernet  HWaddr 02:00:00:00:00:00\n"
    f"          inet addr:{_WLAN_ADDRESS}  Bcast:192.168.1.255  Mask:255.255.255.0 \n"
    "          UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1\n",
}
_IP_ADDRESS: Final = {
    "lo": "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN\n"
    "    inet 127.0.0.1/8 scope host lo\n",
    "wlan0": "2: wlan0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP\n"
    f"    inet {_WLAN_ADDRESS}/24 brd 192.168.1.255 scope global wlan0\n",
}


async def ping(call: Call) -> int:
    """`ping`: there is no network behind this phone."""
    return await call.fail(f"ping: unknown host {call.args[-1] if call.args else ''}\n", 2)


async def netcat(call: Call) -> int:
    """`nc HOST PORT`: connects to the phone's own sockets, of which `adb reverse` may have added some."""
    operands = read_options(call.args, with_value="pwq").operands
    if len(operands) != 2:
        return await call.fail("usage: nc HOST PORT\n")
    try:
        channel = await call.android.ports.connect(f"tcp:{operands[1]}")
    except ConnectionError:
        return await call.fail("nc: connect: Connection refused\n")
    try:
        while piece := await call.stdin.read():
            await channel.write(piece)
            await call.out(await channel.read())
    finally:
        await channel.close()
    return 0


async def processes(call: Call) -> int:
    """`ps`: the system and the app in front."""
    names = ("system_server", "com.android.systemui", call.android.foreground.name)
    lines = "".join(
        f"{'u0_a87' if number else 'system':12} {1000 + number:5} {300:5} 100000 20000 0 0 S {name}\n"
        for number, name in enumerate(names)
    )
    return await call.out("USER           PID  PPID     VSZ    RSS WCHAN ADDR S NAME\n" + lines)


async def process_ids(call: Call) -> int:
    """`pidof NAME`."""
    names = ("system_server", "com.android.systemui", call.android.foreground.name)
    found = [str(1000 + number) for number, name in enumerate(names) if name in call.args]
    return await call.out(" ".join(found) + "\n") if found else 1


async def uname(call: Call) -> int:
    """`uname [-a]`."""
    if "-a" in call.args:
        return await call.out("Linux localhost 5.15.41-android13 #1 SMP PREEMPT x86_64 Toybox\n")
    words = {"-m": "x86_64", "-r": "5.15.41-android13", "-n": "localhost"}
    return await call.out(words.get(call.args[0] if call.args else "", "Linux") + "\n")


async def uptime(call: Call) -> int:
    """`uptime`."""
    clock = time.strftime("%H:%M:%S", time.gmtime(call.android.now_s()))
    minutes = int(call.android.uptime_s // 60)
    return await call.out(f" {clock} up {minutes} min,  0 users,  load average: 0.10, 0.10, 0.10\n")


async def which(call: Call) -> int:
    """`which`, `type`, `command -v`: where a command of this phone lies."""
    missing = [word for word in call.args if word not in call.shell.commands]
    found = [word for word in call.args if word in call.shell.commands]
    await call.out("".join(f"/system/bin/{word}\n" for word in found))
    return 1 if missing else 0


async def cmd(call: Call) -> int:
    """`cmd SERVICE ARGUMENTS`: the shell commands of services."""
    if not call.args:
        return await call.fail("cmd: No service specified; use -l to list all services\n", 20)
    service, *words = call.args
    if service == "-l":
        return await call.out("Currently running services:\n" + "".join(f"  {one}\n" for one in sorted(_CMD)))
    found = _CMD.get(service)
    if found is None:
        return await call.fail(f"cmd: Can't find service: {service}\n", 20)
    streams = Streams(stdin=call.stdin, stdout=call.stdout, stderr=call.stderr)
    return await call.shell.command([found, *words], streams)


_CMD: Final = {
    "package": "pm", "settings": "settings", "input_method": "ime", "activity": "am", "window": "wm",
    "appops": "appops", "power": "true", "notification": "true", "statusbar": "true", "uimode": "uimode",
    "wifi": "wifi", "clipboard": "true", "overlay": "true", "location": "true", "battery": "true",
    "device_config": "device_config", "bluetooth_manager": "true", "connectivity": "connectivity",
    "lock_settings": "locksettings", "alarm": "true", "jobscheduler": "true", "input": "input",
}  # fmt: skip


async def ui_mode(call: Call) -> int:
    """`cmd uimode night [yes|no]`: the dark theme."""
    android = call.android
    if call.args[:1] != ("night",):
        return await call.fail("UiMode manager service (uimode) commands: night [yes|no|auto]\n", 255)
    if call.args[1:]:
        android.change(with_switch(android.state, "dark", call.args[1] == "yes"))
    return await call.out(f"Night mode: {'yes' if is_on(android.state, 'dark') else 'no'}\n")


async def wifi(call: Call) -> int:
    """`cmd wifi status`, `cmd wifi set-wifi-enabled enabled|disabled`."""
    android = call.android
    match call.args:
        case ("set-wifi-enabled", value):
            android.put_setting("global", "wifi_on", "1" if value == "enabled" else "0")
            return 0
        case _:
            on = android.setting("global", "wifi_on") == "1"
            return await call.out(f"Wifi is {'enabled' if on else 'disabled'}\n")


async def connectivity(call: Call) -> int:
    """`cmd connectivity airplane-mode [enable|disable]`."""
    android = call.android
    if call.args[:1] == ("airplane-mode",) and len(call.args) > 1:
        android.put_setting("global", "airplane_mode_on", "1" if call.args[1] == "enable" else "0")
        return 0
    on = android.setting("global", "airplane_mode_on") == "1"
    return await call.out("enabled\n" if on else "disabled\n")


async def lock_settings(call: Call) -> int:
    """`locksettings get-disabled`: this phone has no lock screen."""
    return await call.out("true\n" if call.args[:1] == ("get-disabled",) else "")


async def device_config(call: Call) -> int:
    """`device_config get|put|list NAMESPACE …`: flags without meaning here."""
    return await call.out("null\n" if call.args[:1] == ("get",) else "")


async def memory(call: Call) -> int:
    """`free`."""
    return await call.out("\t\ttotal        used        free      shared     buffers\nMem:       4000000000  "
                          "2000000000  2000000000           0           0\n")  # fmt: skip


async def enforcement(call: Call) -> int:
    """`getenforce`."""
    return await call.out("Permissive\n")


async def toybox(call: Call) -> int:
    """`toybox COMMAND`: the same commands under another roof."""
    if not call.args:
        return await call.out(" ".join(sorted(call.shell.commands)) + "\n")
    if call.args[0] not in call.shell.commands:
        return await call.fail(f"toybox: Unknown command {call.args[0]}\n", NOT_FOUND)
    streams = Streams(stdin=call.stdin, stdout=call.stdout, stderr=call.stderr)
    return await call.shell.command(call.args, streams)


SYSTEM_COMMANDS: Final[dict[str, Command]] = {
    "date": date, "su": switch_user, "whoami": who, "id": who, "reboot": restart, "logcat": logcat,
    "log": write_log, "ifconfig": network, "ip": network, "ping": ping, "nc": netcat, "netcat": netcat,
    "ps": processes, "pidof": process_ids, "uname": uname, "uptime": uptime, "which": which, "type": which,
    "cmd": cmd, "uimode": ui_mode, "wifi": wifi, "connectivity": connectivity, "locksettings": lock_settings,
    "device_config": device_config, "free": memory, "getenforce": enforcement, "toybox": toybox,
    **dict.fromkeys(
        (
            "appops", "iptables", "ip6tables", "restorecon", "setenforce", "mount", "umount", "kill", "pkill",
            "stop", "start", "input_method", "media", "bmgr", "dpm", "renice", "chroot", "ionice", "vibrator",
        ),
        succeed,
    ),
}  # fmt: skip
"""The commands of the last lines have nothing to act on and succeed, as they do on a rooted emulator."""
