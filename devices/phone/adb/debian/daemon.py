"""Debian's adbd in a sandbox, in front of a virtual phone."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from devices.phone.adb.android import Android
from devices.phone.adb.daemon import HOST, AdbDaemon
from devices.phone.adb.shell.interpreter import Shell, Streams
from devices.phone.adb.shell.table import COMMANDS
from devices.phone.adb.shell_v2 import FramedInput, FramedOutput, FrameId, send_exit
from gui_agent.errors import ConfigError, DependencyError, DeviceError

FOLDER_VARIABLE: Final = "GUI_AGENT_ADBD"
"""Names a folder into which Debian's packages were unpacked; without it adbd is the system's."""
_ADBD: Final = Path("usr/lib/android-sdk/platform-tools/adbd")
_HERE: Final = Path(__file__).parent
_START_DEADLINE_S: Final = 60.0
_LOOK_AGAIN_S: Final = 0.01
_PHONE_USER: Final = "2000"
"""Android's user `shell`."""


def find_adbd() -> Path:
    """The folder that holds Debian's adbd and its libraries: `/`, or what GUI_AGENT_ADBD names.

    Raises:
        DependencyError: there is none.
    """
    folder = Path(os.environ.get(FOLDER_VARIABLE) or "/")
    if not os.access(folder / _ADBD, os.X_OK):
        raise DependencyError(
            f"{folder / _ADBD} is no program; install adbd of Debian 13 or of the backports of Debian 12, or "
            f"let `make test-adbd` unpack it and name its folder in {FOLDER_VARIABLE}"
        )
    return folder


def find_sandbox() -> str:
    """The program bwrap.

    Raises:
        DependencyError: there is none.
    """
    found = shutil.which("bwrap")
    if found is None:
        raise DependencyError(
            "bwrap is missing, and adbd is not started without a sandbox; apt install bubblewrap"
        )
    return found


def sandboxed_command(folder: Path, shared: Path) -> list[str]:
    """The command line that runs adbd with nothing of this computer but programs to read.

    Args:
        folder: from `find_adbd`.
        shared: the only folder that both sides see; it must hold `sh`.
    """
    libraries = [f"/debian/{path.relative_to(folder)}" for path in _library_folders(folder)]
    python = Path(sys.base_prefix)
    binds: list[str] = []
    for path in ("/usr", "/lib", "/lib64"):
        if Path(path).is_symlink():
            binds += ["--symlink", str(Path(path).readlink()), path]
        elif Path(path).is_dir():
            binds += ["--ro-bind", path, path]
    if not python.is_relative_to("/usr"):
        binds += ["--ro-bind", str(python), str(python)]
    return [
        find_sandbox(), "--unshare-all", "--die-with-parent", "--new-session", "--clearenv",
        "--uid", _PHONE_USER, "--gid", _PHONE_USER, "--hostname", "vphone", *binds,
        "--ro-bind", str(folder), "/debian", "--ro-bind", str(_HERE), "/sandbox",
        "--ro-bind", str(shared / "sh"), "/bin/sh", "--bind", str(shared), "/phone",
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/data/local/tmp",
        "--tmpfs", "/sdcard", "--setenv", "LD_LIBRARY_PATH", ":".join(libraries),
        _python(), "-IS", "/sandbox/inside.py", f"/debian/{_ADBD}",
    ]  # fmt: skip


def _library_folders(folder: Path) -> list[Path]:
    """Where libraries were unpacked; those of the system are found anyway."""
    if folder == Path("/"):
        return []
    return sorted({path.parent for path in (folder / "usr/lib").rglob("*.so*")})


def _python() -> str:
    """The interpreter itself, not a link in a virtual environment, which the sandbox does not see."""
    return str(Path(sys.executable).resolve())


class DebianAdbd(AdbDaemon):
    """A phone whose side of adb is Android's own program; faults of the link cannot be asked of it.

    Shell lines go to the phone like those of our daemon. Files that adb pushes lie in the sandbox and are not
    seen by the phone.

    Args:
        android: the phone.
    """

    def __init__(self, android: Android) -> None:
        """Nothing runs before `start`."""
        super().__init__(android)
        self._shared: tempfile.TemporaryDirectory[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._shells: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Start adbd, and listen for the adb server on a port of the loopback address.

        Raises:
            ConfigError: the port is taken.
            DependencyError: adbd or the sandbox is missing.
            DeviceError: adbd does not start.
        """
        folder = find_adbd()
        self._shared = tempfile.TemporaryDirectory(prefix="adbd-")
        shared = Path(self._shared.name)
        shell = shared / "sh"
        script = (_HERE / "sh.py").read_text(encoding="utf-8")
        shell.write_text(f"#!{_python()} -IS\n{script}", encoding="utf-8")
        shell.chmod(stat.S_IRUSR | stat.S_IXUSR)
        self._shells = await asyncio.start_unix_server(self._shell, shared / "shell", limit=1 << 20)
        with (shared / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *sandboxed_command(folder, shared), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        await self._until_it_listens(shared)
        try:
            self._server = await asyncio.start_server(self._led_in, HOST, port, limit=1 << 20)
        except OSError as error:
            raise ConfigError(f"a phone cannot listen on {HOST}:{port} ({error.strerror})") from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def _until_it_listens(self, shared: Path) -> None:
        assert self._process is not None, "it was just started"
        end_s = time.monotonic() + _START_DEADLINE_S
        while not (shared / "adbd").exists():
            if self._process.returncode is not None or time.monotonic() > end_s:
                words = (shared / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
                await self.close()
                raise DeviceError(
                    f"adbd does not start in its sandbox: {words.strip() or 'it said nothing'}; where user "
                    "namespaces are forbidden, allow them (kernel.unprivileged_userns_clone=1)"
                )
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def close(self) -> None:
        """End adbd with everything in its sandbox."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()  # bwrap's end is the end of all processes in the sandbox
            await self._process.wait()
            self._process = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in (self._server, self._shells):
            if server is not None:
                server.close()
                await server.wait_closed()
        self._server = self._shells = None
        if self._shared is not None:
            self._shared.cleanup()
            self._shared = None

    async def _led_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A link of the adb server, to the socket on which the sandbox takes it."""
        assert self._shared is not None, "it runs"
        async with _Noted(self._tasks):
            try:
                from_adbd, to_adbd = await asyncio.open_unix_connection(Path(self._shared.name) / "adbd")
            except OSError:
                writer.close()
                return
            await asyncio.gather(_copy(reader, to_adbd), _copy(from_adbd, writer))

    async def _shell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One line for the phone's shell, from the sandbox."""
        async with _Noted(self._tasks):
            stream = _SocketStream(reader, writer)
            try:
                (num_bytes,) = struct.unpack("<I", await reader.readexactly(4))
                line = (await reader.readexactly(num_bytes)).decode(errors="replace")
                self.android.suffer()
                streams = Streams(
                    stdin=FramedInput(stream),
                    stdout=FramedOutput(stream, FrameId.STDOUT),
                    stderr=FramedOutput(stream, FrameId.STDERR),
                )
                await send_exit(stream, await Shell(self.android, COMMANDS).run(line, streams))
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # adb's client hung up
            finally:
                writer.close()


class _Noted:
    """Keeps the current task in a set, so that it can be cancelled."""

    def __init__(self, tasks: set[asyncio.Task[None]]) -> None:
        self._tasks = tasks

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "awaited in a task"
        self._tasks.add(task)

    async def __aexit__(self, *_: object) -> None:
        task = asyncio.current_task()
        assert task is not None, "awaited in a task"
        self._tasks.discard(task)


class _SocketStream:
    """A socket as `FramedInput` and `FramedOutput` want it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read_exactly(self, num_bytes: int) -> bytes | None:
        try:
            return await self._reader.readexactly(num_bytes)
        except asyncio.IncompleteReadError:
            return None

    async def write(self, data: bytes | memoryview) -> None:
        self._writer.write(data)
        await self._writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
