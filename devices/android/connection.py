"""Commands to one phone through the adb server, each with one deadline over everything it does.

A phone that hangs accepts a connection and then says nothing, so a deadline on single reads is none.
Here it covers connecting, selecting the phone, opening the service, writing and reading; when it passes,
the socket is closed and the message says how far the command had come.

Two services run command lines. `exec` passes bytes as they are and is for pictures; `shell` (protocol 2)
keeps stdout, stderr and the exit code apart, and ends with a packet without which the answer is incomplete.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from devices.android.server import READY, AdbServer, frame, remedy_of
from gui_agent.errors import DeviceError, DeviceTimeoutError

_STDOUT, _STDERR, _EXIT = 1, 2, 3
_CLOSE_STDIN: Final = struct.pack("<BI", 4, 0)
_PACKET_HEADER: Final = struct.Struct("<BI")
_RECEIVE_BUFFER_BYTES: Final = 1 << 21
_FIRST_BUFFER_BYTES: Final = 1 << 16
_EXIT_MARK: Final = "gui-agent-exit:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellResult:
    """What a command line wrote, and its exit code."""

    stdout: bytes
    stderr: bytes
    exit_code: int

    @property
    def text(self) -> str:
        """Standard output as text, line ends made one character."""
        return self.stdout.decode(errors="replace").replace("\r\n", "\n")

    @property
    def complaint(self) -> str:
        """What it said about a failure: standard error, else standard output; at most 400 characters."""
        words = self.stderr.strip() or self.stdout.strip()
        text = words.decode(errors="replace")
        return text if len(text) <= 400 else f"{text[:400]}…"


class AdbConnection:
    """One phone, addressed by its serial; each call opens a connection of its own.

    Args:
        serial: as `gui-agent devices list` shows it.
        server: where the adb server listens.
        timeout_s: deadline of a call that names none.
    """

    def __init__(self, serial: str, *, server: AdbServer | None = None, timeout_s: float = 10.0) -> None:
        """Nothing is sent before the first call."""
        self.serial = serial
        self.server = server or AdbServer.from_environment()
        self.timeout_s = timeout_s
        self.num_calls = 0
        self._has_shell_v2: bool | None = None

    async def shell(
        self, command: str | Sequence[str], *, timeout_s: float | None = None, stdin: bytes = b""
    ) -> ShellResult:
        """Run a command line and read stdout, stderr and the exit code.

        Args:
            command: a line for the phone's shell, or arguments that are quoted here.
            timeout_s: for the whole call.
            stdin: sent to the command; its standard input ends after it.

        Raises:
            DeviceError: the phone is not there, or the connection broke before the exit code came.
            DeviceTimeoutError: the deadline passed.
        """
        line = command if isinstance(command, str) else shlex.join(command)
        if self._has_shell_v2 is None:
            self._has_shell_v2 = "shell_v2" in await self._features(line, timeout_s)
        if not self._has_shell_v2:
            return await self._shell_v1(line, timeout_s)
        async with self._service(f"shell,v2,raw:{line}", line, timeout_s) as stream:
            if stdin:
                await stream.send(_PACKET_HEADER.pack(0, len(stdin)) + stdin)
            await stream.send(_CLOSE_STDIN)
            received = await stream.read_to_end()
            return self._parsed(received, line)

    async def check_shell(self, command: str | Sequence[str], *, timeout_s: float | None = None) -> str:
        """Run a command line that must succeed, and return its standard output.

        Raises:
            DeviceError: as for `shell`, or the exit code is not 0.
        """
        line = command if isinstance(command, str) else shlex.join(command)
        result = await self.shell(line, timeout_s=timeout_s)
        if result.exit_code != 0:
            raise DeviceError(self.message(line, f"exit code {result.exit_code}: {result.complaint}"))
        return result.text

    async def exec_out(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        buffer: bytearray | None = None,
        stdin: bytes = b"",
    ) -> memoryview:
        """Run a command line and read its raw output to the end; there is no exit code.

        Args:
            command: as for `shell`.
            timeout_s: for the whole call.
            buffer: to be filled from its start; a longer one takes its place where it is too short, and is
                then the `obj` of the answer. One that is used again saves the system handing out memory.
            stdin: sent to the command before reading.
        """
        line = command if isinstance(command, str) else shlex.join(command)
        async with self._service(f"exec:{line}", line, timeout_s) as stream:
            if stdin:
                await stream.send(stdin)
            return await stream.read_to_end(buffer)

    async def exchange(self, service: str, data: bytes = b"", *, timeout_s: float | None = None) -> bytes:
        """Open any service of the phone's daemon, send it something, and read to the end.

        Args:
            service: as adb's own client names it: "root:", "sync:".
            data: sent before reading.
            timeout_s: for the whole call.
        """
        async with self._service(service, service, timeout_s) as stream:
            if data:
                await stream.send(data)
            return bytes(await stream.read_to_end())

    async def echo(self, *, timeout_s: float = 3.0) -> None:
        """Check that the phone answers commands: its state alone says nothing about one that hangs.

        Raises:
            DeviceError: it does not.
        """
        answer = await self.check_shell("echo ready", timeout_s=timeout_s)
        if answer.strip() != "ready":
            raise DeviceError(self.message("echo ready", f"answered {answer[:80]!r}"))

    def message(self, command: str, came_back: str, remedy: str = "") -> str:
        """The words of an error: which phone, which command, what came back, what to do."""
        shown = command if len(command) <= 160 else f"{command[:160]}…"
        advice = remedy or f"`gui-agent devices doctor {self.serial}` checks this phone"
        return f"phone {self.serial}: `{shown}`: {came_back}; {advice}"

    async def _features(self, line: str, timeout_s: float | None) -> str:
        async with self._connected(line, timeout_s) as stream:
            await stream.request(f"host-serial:{self.serial}:features")
            return (await stream.read_block()).decode(errors="replace")

    async def _shell_v1(self, line: str, timeout_s: float | None) -> ShellResult:
        """Before Android 7 the shell has one stream and no exit code, so the line prints it."""
        service = f"shell:{line}\necho {_EXIT_MARK}$?"
        async with self._service(service, line, timeout_s) as stream:
            received = bytes(await stream.read_to_end()).replace(b"\r\n", b"\n")
        output, mark, code = received.rpartition(_EXIT_MARK.encode())
        if not mark or not code.strip().isdigit():
            raise DeviceError(self.message(line, f"the answer broke off after {len(received)} bytes"))
        return ShellResult(stdout=output, stderr=b"", exit_code=int(code))

    def _parsed(self, received: memoryview, line: str) -> ShellResult:
        parts: dict[int, list[memoryview]] = {_STDOUT: [], _STDERR: []}
        at = 0
        while at + _PACKET_HEADER.size <= len(received):
            kind, length = _PACKET_HEADER.unpack_from(received, at)
            at += _PACKET_HEADER.size
            payload = received[at : at + length]
            at += length
            if kind == _EXIT and len(payload) >= 1:
                return ShellResult(
                    stdout=b"".join(parts[_STDOUT]), stderr=b"".join(parts[_STDERR]), exit_code=payload[0]
                )
            if kind in parts:
                parts[kind].append(payload)
        raise DeviceError(
            self.message(line, f"the connection broke after {len(received)} bytes, before the exit code")
        )

    @asynccontextmanager
    async def _service(self, service: str, line: str, timeout_s: float | None) -> AsyncIterator[_Stream]:
        async with self._connected(line, timeout_s) as stream:
            await stream.request(f"host:transport:{self.serial}")
            stream.stage = "waiting for the phone to start the command"
            await stream.request(service)
            stream.stage = "reading the answer"
            yield stream

    @asynccontextmanager
    async def _connected(self, line: str, timeout_s: float | None) -> AsyncIterator[_Stream]:
        """A socket to the server that is closed when the block or the deadline ends."""
        self.num_calls += 1
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        stream = _Stream()
        try:
            async with asyncio.timeout(limit_s):
                await self._dial(stream)
                stream.stage = "selecting the phone"
                yield stream
        except _RefusedError as error:
            raise await self._refusal(line, " ".join(str(error).split())) from error
        except DeviceTimeoutError:
            raise
        except TimeoutError as error:
            raise DeviceTimeoutError(
                self.message(
                    line,
                    f"no answer within {limit_s:g} s ({stream.stage}, {stream.num_received} bytes came)",
                    "the phone hangs or the link is slow: reconnect or restart it, or run `gui-agent devices "
                    f"doctor {self.serial}`",
                )
            ) from error
        except OSError as error:
            raise DeviceError(
                self.message(line, f"the connection broke while {stream.stage} ({error})")
            ) from error
        finally:
            stream.close()

    async def _dial(self, stream: _Stream) -> None:
        try:
            await stream.connect(self.server.host, self.server.port)
        except ConnectionRefusedError:
            await asyncio.to_thread(self.server.start)
            await stream.connect(self.server.host, self.server.port)

    async def _refusal(self, line: str, words: str) -> DeviceError:
        """The server or the phone said no: find out what state the phone is in, to say what to do."""
        try:
            state = await asyncio.to_thread(self.server.state_of, self.serial)
        except DeviceError:
            state = "unknown"
        if state == READY:
            return DeviceError(self.message(line, f"refused: {words}"))
        known = {"absent": "is not connected", "unknown": "cannot be asked"}.get(state, f"is {state}")
        return DeviceError(self.message(line, f"the phone {known} ({words})", remedy_of(state)))


class _RefusedError(Exception):
    """The server answered FAIL."""


class _Stream:
    """A socket to the server, read into buffers of our own."""

    def __init__(self) -> None:
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.stage = "connecting to the adb server"
        self.num_received = 0
        self._loop = asyncio.get_running_loop()

    async def connect(self, host: str, port: int) -> None:
        """Connect with a new socket: one that was refused once is of no use."""
        self.close()
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.raw.setblocking(False)
        with contextlib.suppress(OSError):  # hints that a system may refuse
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.sock_connect(self.raw, (host, port))

    def close(self) -> None:
        """Hang up."""
        self.raw.close()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.raw, data)

    async def request(self, service: str) -> None:
        """Send a request and read whether it is granted."""
        await self.send(frame(service))
        status = await self.read_exactly(4)
        if status == b"OKAY":
            return
        if status == b"FAIL":
            raise _RefusedError((await self.read_block()).decode(errors="replace"))
        raise _RefusedError(f"the answer {status!r} is neither OKAY nor FAIL" if status else "closed")

    async def read_block(self) -> bytes:
        """A text with its length before it."""
        digits = await self.read_exactly(4)
        try:
            return await self.read_exactly(int(digits, 16))
        except ValueError:
            return digits

    async def read_exactly(self, length: int) -> bytes:
        """So many bytes, or fewer where the other side ends."""
        buffer = bytearray(length)
        view, filled = memoryview(buffer), 0
        while filled < length:
            count = await self._loop.sock_recv_into(self.raw, view[filled:])
            if count == 0:
                break
            filled += count
        return bytes(view[:filled])

    async def read_to_end(self, buffer: bytearray | None = None) -> memoryview:
        """Everything until the other side closes, in the buffer that is given or a new one.

        It is filled without a copy; one byte more than what comes tells an end from a full buffer.
        """
        buffer = bytearray(_FIRST_BUFFER_BYTES) if buffer is None else buffer
        filled = 0
        while True:
            if filled == len(buffer):
                longer = bytearray(max(_FIRST_BUFFER_BYTES, 2 * len(buffer)))
                longer[:filled] = buffer
                buffer = longer
            with memoryview(buffer) as whole, whole[filled:] as rest:
                count = await self._loop.sock_recv_into(self.raw, rest)
            if count == 0:
                return memoryview(buffer)[:filled]
            filled += count
            self.num_received = filled
