"""How fast a phone behind the real adb server is seen and asked, beside adbutils.

    python -m benchmarks.adb_capture [--rounds 40] [--profile fast] [--serial SERIAL] [--json]

The phone is a virtual one of 1080x2400 in a process of its own, on an adb server of its own; `--serial` takes
a connected phone instead. It answers at once (`--profile phone` waits as long as phones do, which makes
PNG the slow way). The screen stands still. Calls are interleaved, one of each kind per round, and the
best of all rounds counts: the machine's own speed, whatever else runs on it.

    screenshot     decoded in memory: an RGB array on our side, whole or refused; a Pillow picture on
                   adbutils', which costs it less
    shell          a round trip of `true`, with exit code and stderr on our side, neither on adbutils'
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version

from devices.android.capture import CaptureMode, Capturer
from devices.android.connection import AdbConnection
from devices.android.server import AdbServer, find_adb
from devices.phone.adb.android import Android
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.profiles import PROFILES, delay_profile
from devices.phone.device import PhoneDevice
from devices.phone.display import FULL_HD_DISPLAY
from devices.phone.suites import phone_suite

Call = Callable[[], Awaitable[object]]


async def serve_phone(profile: str) -> None:
    """The virtual phone's process: one task's first screen, until this process is ended."""
    suite = phone_suite("phone")
    phone = PhoneDevice(FULL_HD_DISPLAY)
    await phone.reset(suite.task("create_note", 0))
    daemon = AdbDaemon(Android(phone, serial="BENCH0", profile=delay_profile(profile)))
    await daemon.start()
    print(daemon.address, flush=True)
    await asyncio.Event().wait()


@contextlib.contextmanager
def virtual_phone(profile: str = "fast") -> Iterator[tuple[AdbServer, str]]:
    """An adb server on a free port, and the serial of a virtual phone on it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = AdbServer(port=probe.getsockname()[1])
    command = [sys.executable, "-m", "benchmarks.adb_capture", "--serve", "--profile", profile]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            serial = process.stdout.readline().strip()
            server.connect(serial)
            yield server, serial
        finally:
            process.terminate()
            subprocess.run([find_adb(), "-P", str(server.port), "kill-server"], check=False)


async def best_ms(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """The shortest time of each call, in milliseconds, over interleaved rounds.

    On a busy machine the best is met late: rounds go on until the last half of them found nothing better by
    3 %, at most three times as many as asked for.
    """
    best = dict.fromkeys(calls, float("inf"))
    last_better = 0
    for number in range(3 * rounds + 1):
        for name, call in calls.items():
            start_s = time.perf_counter()
            await call()
            took_ms = (time.perf_counter() - start_s) * 1000
            if number == 0:
                continue  # for warming up
            if took_ms < 0.97 * best[name]:
                last_better = number
            best[name] = min(best[name], took_ms)
        if number >= rounds and number - last_better >= rounds // 2:
            break
    return best


async def measure(server: AdbServer, serial: str, rounds: int) -> dict[str, float]:
    """All figures: milliseconds of each call, and the three ratios."""
    import adbutils

    theirs = adbutils.AdbClient(host=server.host, port=server.port).device(serial)
    connection = AdbConnection(serial, server=server)
    raw = Capturer(connection, mode=CaptureMode.RAW)
    png = Capturer(connection, mode=CaptureMode.PNG)
    chosen = Capturer(connection)  # the driver's own choice, gzip where raw is slow

    async def their_screenshot() -> object:
        picture = theirs.screenshot(error_ok=False)
        picture.load()  # a PNG without alpha comes back undecoded; phones send alpha, which is decoded
        return picture

    async def their_shell() -> object:
        return theirs.shell("true")

    best = await best_ms(
        {
            "adbutils_screenshot_ms": their_screenshot,
            "raw_ms": raw.frame,
            "png_ms": png.frame,
            "chosen_ms": chosen.frame,
            "adbutils_shell_ms": their_shell,
            "shell_ms": lambda: connection.shell("true"),
        },
        rounds,
    )
    fastest_ms = min(best["raw_ms"], best["png_ms"], best["chosen_ms"])
    return {
        **best,
        "capture_ratio": best["adbutils_screenshot_ms"] / fastest_ms,
        "capture_png_ratio": best["adbutils_screenshot_ms"] / best["png_ms"],
        "shell_ratio": best["adbutils_shell_ms"] / best["shell_ms"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--profile", default="fast", choices=sorted(PROFILES))
    parser.add_argument("--serial", default="", help="a connected phone instead of the virtual one")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve_phone(arguments.profile))
        return
    if arguments.serial:
        server = AdbServer.from_environment()
        figures = asyncio.run(measure(server, arguments.serial, arguments.rounds))
    else:
        with virtual_phone(arguments.profile) as (server, serial):
            figures = asyncio.run(measure(server, serial, arguments.rounds))
    shown = {name: round(value, 2) for name, value in figures.items()}
    if arguments.json:
        print(json.dumps(shown))
        return
    print(f"adbutils {version('adbutils')}, Python {platform.python_version()}, {arguments.rounds} rounds")
    for name, value in shown.items():
        print(f"{name:<24}{value:>8.2f}")


if __name__ == "__main__":
    main()
