"""Emulators of a farm: command lines, and the states that they go through.

The Android emulator is stood in for by a program that takes its options, has its console and its adb port,
and shows a virtual phone; the adb server, the driver and the farm are the real ones.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.android.server import find_adb
from devices.android.tasks import AndroidGoal
from devices.farm import DeviceFarm, FarmOptions
from devices.farm.avd import AvdSettings, AvdSource, Emulator, find_emulator
from devices.farm.console import EmulatorConsole
from devices.farm.opening import source_for
from devices.phone.adb.own_server import answers
from devices.phone.suites import phone_suite
from gui_agent.device import Verdict
from gui_agent.errors import ConfigError, DependencyError, DeviceError

FAKE = """#!{python}
import asyncio, os, socket, sys
sys.path.insert(0, {root!r})
from devices.phone.adb.android import Android
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.own_server import tell
from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite

arguments = sys.argv[1:]
port = int(arguments[arguments.index("-port") + 1])
with open({log!r}, "a") as log:
    print("start", *arguments, file=log)
if os.path.exists({broken!r}):
    sys.exit("PANIC: Broken AVD system path")

async def console(reader, writer):
    writer.write(b"Android Console: Authentication required\\r\\nOK\\r\\n")
    while line := (await reader.readline()).decode().strip():
        with open({log!r}, "a") as log:
            print(port, line, file=log)
        if line == "kill":
            os._exit(0)
        known = line in ("auth secret", "avd snapshot load clean")
        writer.write(b"OK\\r\\n" if known else b"KO: unknown\\r\\n")

async def main():
    suite = phone_suite("quickstart")
    phone = PhoneDevice()
    await phone.reset(suite.task("set_switch", port))
    daemon = AdbDaemon(Android(phone, serial="EMULATOR30X0"))
    await daemon.start(port + 1)
    await asyncio.start_server(console, "127.0.0.1", port)
    tell(int(os.environ["ANDROID_ADB_SERVER_PORT"]), f"host:emulator:{{port + 1}}")
    await asyncio.Event().wait()

asyncio.run(main())
"""
TASK = AndroidGoal(goal="look around")
OPTIONS = FarmOptions(probe_timeout_s=5, reconnect_timeout_s=10, backoff_first_s=0.05, max_failures=10)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    try:
        find_adb()
    except DependencyError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("HOME", str(tmp_path))  # where the console's token is, and adb leaves its keys
    for name in ("ADB_USB", "ADB_MDNS", "ADB_EMU"):
        monkeypatch.setenv(name, "0")
    (tmp_path / ".emulator_console_auth_token").write_text("secret\n")
    program = tmp_path / "emulator"
    root = str(Path(__file__).parents[2])
    names = {"log": str(tmp_path / "log"), "broken": str(tmp_path / "broken")}
    program.write_text(FAKE.format(python=sys.executable, root=root, **names))
    program.chmod(0o755)
    return program


def free_ports(count: int) -> int:
    """The first of so many free pairs, beyond those where adb servers look for emulators by themselves."""
    for first in range(5600, 5680 - 2 * count, 2):
        try:
            for port in range(first, first + 2 * count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    pytest.skip("all ports of emulators are taken")


async def test_emulators_boot_from_the_snapshot_are_put_back_to_it_and_started_again(
    fake: Path, tmp_path: Path
) -> None:
    port = free_ports(2)
    settings = AvdSettings(
        avd="Pixel", num_emulators=2, snapshot="clean", first_port=port, executable=fake, boot_timeout_s=60
    )
    source = AvdSource(settings, log_dir=tmp_path)

    def said() -> list[str]:
        return (tmp_path / "log").read_text().splitlines()

    async with DeviceFarm([source], options=OPTIONS) as farm:
        assert [member.name for member in farm.members] == [f"emulator-{port}", f"emulator-{port + 2}"]
        assert farm.capacity == 2, "one serial number, but two boots: two devices"
        async with farm.lease() as one, farm.lease() as two:
            for device in (one, two):
                await device.reset(TASK)
                await device.observe()
                assert (await device.check()).verdict is Verdict.UNSCORED
        emulators = [member.unit for member in farm.members]
        assert all(isinstance(emulator, Emulator) for emulator in emulators)
        first = emulators[0]
        assert isinstance(first, Emulator)
        pid = first.pid
        await first.restart()
        assert first.pid == pid, "the snapshot is loaded into the emulator that runs"
        assert f"{port} avd snapshot load clean" in said()
        os.kill(pid, signal.SIGKILL)
        async with farm.lease() as one, farm.lease() as two:
            for device in (one, two):
                await device.reset(TASK)
        assert first.pid not in (0, pid)
        assert farm.members[0].statistics.restarts == 1
        pids = [first.pid, emulators[1].pid]  # type: ignore[attr-defined]
    starts = [line for line in said() if line.startswith("start")]
    assert len(starts) == 3
    assert all("-read-only" in line and "-snapshot clean -no-snapshot-save" in line for line in starts)
    assert f"{port} kill" in said()
    assert not answers(source.server.port)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_an_emulator_that_does_not_boot_says_its_last_words(fake: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    settings = AvdSettings(avd="Pixel", first_port=free_ports(1), executable=fake, boot_timeout_s=60)
    source = AvdSource(settings, log_dir=tmp_path)
    with pytest.raises(DeviceError, match=r"exit code 1 while it booted.*PANIC: Broken AVD"):
        async with DeviceFarm([source]):
            pass
    assert not answers(source.server.port)


def test_the_command_line() -> None:
    settings = AvdSettings(
        avd="Pixel_6", snapshot="clean", memory_mb=2048, cores=2, extra=("-feature", "-Vulkan")
    )
    assert settings.command(Path("/sdk/emulator"), 5560) == [
        "/sdk/emulator", "-avd", "Pixel_6", "-port", "5560", "-read-only", "-snapshot", "clean",
        "-no-snapshot-save", "-no-window", "-no-audio", "-no-boot-anim", "-gpu", "swiftshader_indirect",
        "-memory", "2048", "-cores", "2", "-feature", "-Vulkan",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AvdSettings(avd=""), "which AVD"),
        (lambda: AvdSettings(avd="x", num_emulators=0), "num_emulators=0"),
        (lambda: AvdSettings(avd="x", first_port=5555), "even ports"),
        (lambda: AvdSettings(avd="x", num_emulators=100), "even ports from 5554 to 5682"),
        (lambda: source_for("avd:Pixel:many", phone_suite("quickstart")), "'many' is no number"),
        (lambda: source_for("avd", phone_suite("quickstart")), "avd:NAME:COUNT"),
    ],
)
def test_emulators_that_cannot_be_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_missing_emulator_says_where_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT", "PATH"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(DependencyError, match="sdkmanager emulator"):
        find_emulator(AvdSettings(avd="x"))
    program = tmp_path / "emulator" / "emulator"
    program.parent.mkdir()
    program.touch(mode=0o755)
    assert find_emulator(AvdSettings(avd="x")) == program
    with pytest.raises(DependencyError, match="is no program"):
        find_emulator(AvdSettings(avd="x", executable=tmp_path / "nothing"))


async def test_a_console_that_refuses_hangs_or_is_not_there_is_an_error(tmp_path: Path) -> None:
    async def stubborn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Android Console: type help\r\nOK\r\n")
        words = (await reader.readline()).decode().strip()
        writer.write(b"KO: no such snapshot\r\n" if words.startswith("avd") else b"...\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stubborn, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    console = EmulatorConsole(port, token_path=tmp_path / "none")
    with pytest.raises(DeviceError, match="no such snapshot"):
        await console.send("avd snapshot load x")
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        await console.send("help", timeout_s=0.05)
    server.close()
    await server.wait_closed()
    with pytest.raises(DeviceError, match="there is no console"):
        await console.send("help")
