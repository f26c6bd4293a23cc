"""Our adb daemon beside Android's own as Debian builds it: both answer adb alike (`make test-adbd`)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from devices.android import AdbConnection, AdbServer
from devices.android.server import find_adb
from devices.phone.adb.android import Android
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.adb.farm import FarmSettings, PhoneFarm
from gui_agent.errors import DeviceError

pytestmark = pytest.mark.adbd


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    output: bytes
    error: bytes


@dataclass(frozen=True, slots=True)
class Pair:
    """A phone behind each daemon, on one adb server."""

    server: AdbServer
    ours: str
    debian: str

    async def ask(self, serial: str, *words: str, data: bytes | None = None) -> Answer:
        command = [str(find_adb()), "-P", str(self.server.port), "-s", serial, *words]
        done = await asyncio.to_thread(
            subprocess.run, command, input=data, capture_output=True, timeout=120, check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    async def both(self, *words: str, data: bytes | None = None) -> tuple[Answer, Answer]:
        ours = await self.ask(self.ours, *words, data=data)
        return ours, await self.ask(self.debian, *words, data=data)


@pytest.fixture
async def pair(adb_server: AdbServer, debian_adbd: Callable[[Android], AdbDaemon]) -> AsyncIterator[Pair]:
    settings = FarmSettings(adb_server_port=adb_server.port)
    async with PhoneFarm(settings) as ours, PhoneFarm(settings, daemon_of=debian_adbd) as debian:
        yield Pair(adb_server, ours.phones[0].serial, debian.phones[0].serial)


async def test_lines_streams_and_exit_codes(pair: Pair) -> None:
    for words in (
        ("shell", "exit 7"),
        ("shell", "echo out; echo err >&2; exit 4"),
        ("shell", "frobnicate --now"),
        ("shell", "-T", "echo", "no", "terminal"),
        ("shell", "-n", "echo no input"),
        ("shell", "-x", "echo one stream; echo err >&2; exit 3"),
        ("shell", "echo 'a  b' \"$HOME\" \\; \\$x"),
        ("shell", "echo 你好 🙂"),
        ("exec-out", "echo one; nothere; echo $?"),
        ("exec-out", "screencap -p"),
        ("shell", "base64 /system/build.prop"),
        ("get-state",),
    ):
        ours, debian = await pair.both(*words)
        assert ours == debian, words


async def test_bytes_pass_as_they_are_also_many_of_them(pair: Pair) -> None:
    data = bytes(range(256)) * 4096
    for words in (("shell", "cat"), ("shell", "-T", "cat"), ("shell", "md5sum"), ("shell", "wc -c")):
        ours, debian = await pair.both(*words, data=data)
        assert ours == debian, words
    assert (await pair.ask(pair.debian, "shell", "cat", data=data)).output == data


async def test_files_go_there_and_back(pair: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "large").write_bytes(hashlib.sha256(b"seed").digest() * 100_000)
    (folder / "empty").write_bytes(b"")
    for serial in (pair.ours, pair.debian):
        assert (await pair.ask(serial, "push", str(folder), "/data/local/tmp/")).code == 0
        back = tmp_path / serial.partition(":")[2]
        assert (await pair.ask(serial, "pull", "/data/local/tmp/folder", str(back))).code == 0
        for file in folder.iterdir():
            assert (back / file.name).read_bytes() == file.read_bytes()
        listed = (await pair.ask(serial, "ls", "/data/local/tmp/folder")).output.splitlines()
        assert {line.rpartition(b" ")[2] for line in listed} >= {b"large", b"empty"}
    for words in (
        ("pull", "/data/local/tmp/nothing", str(tmp_path / "x")),
        ("ls", "/data/local/tmp/nothing"),
    ):
        ours, debian = await pair.both(*words)
        assert (ours.code, ours.output) == (debian.code, debian.output), words


async def test_features_that_we_claim_are_real_ones(pair: Pair) -> None:
    ours, debian = await pair.both("features")
    assert set(ours.output.split()) <= set(debian.output.split())


async def test_a_service_that_is_not_there_is_refused_alike(pair: Pair) -> None:
    for serial in (pair.ours, pair.debian):
        with pytest.raises(DeviceError, match="closed"):
            await AdbConnection(serial, server=pair.server).exchange("nonsense:")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_no_line_and_no_service_reaches_this_computer(pair: Pair, tmp_path: Path) -> None:
    """With Debian's adbd the sandbox keeps what our daemon has no way to do at all."""
    (tmp_path / "secret").write_text("host")
    before_s = time.time()
    await pair.both(
        "shell", f"touch {tmp_path}/touched; rm -rf {tmp_path}/secret; date 010100001999.00; reboot -p"
    )
    assert abs(time.time() - before_s) < 600
    assert names_in(tmp_path) == {"secret"}
    for serial in (pair.ours, pair.debian):
        taken = await pair.ask(serial, "pull", str(tmp_path / "secret"), str(tmp_path / "taken"))
        assert taken.code == 1
        pushed = await pair.ask(serial, "push", str(tmp_path / "secret"), "/usr/bin/pushed")
        assert pushed.code in (0, 1)
    assert "pushed" not in names_in(Path("/usr/bin"))
    listening = await asyncio.start_server(lambda _, writer: writer.write(b"host"), "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        for serial in (pair.ours, pair.debian):
            with contextlib.suppress(DeviceError):  # refused, or accepted and closed: both say nothing
                assert await AdbConnection(serial, server=pair.server).exchange(f"tcp:{port}") == b""
