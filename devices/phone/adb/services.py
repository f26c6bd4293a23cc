"""Services that a host opens streams to: shells, the frame buffer, forwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from devices.phone.adb.android import Android
from devices.phone.adb.connection import Stream
from devices.phone.adb.ports import splice
from devices.phone.adb.screen import capture, framebuffer_header, rgba
from devices.phone.adb.shell.interpreter import Shell, Streams
from devices.phone.adb.shell.io import Sink, Source
from devices.phone.adb.shell.table import COMMANDS
from devices.phone.adb.shell.terminal import run_terminal
from devices.phone.adb.shell_v2 import FramedInput, FramedOutput, FrameId, send_exit
from devices.phone.adb.sync import SyncSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A service that the host asked for: `shell,v2,raw:ls` has options v2 and raw, argument ls."""

    name: str
    android: Android
    stream: Stream
    options: frozenset[str]
    argument: str


Service = Callable[[Request], Awaitable[None]]


class PlainOutput(Sink):
    """Standard output and error in one, as they come."""

    def __init__(self, stream: Stream) -> None:
        """Write to the stream."""
        self._stream = stream

    async def write(self, data: bytes | memoryview) -> None:
        """Send the data."""
        if data:
            await self._stream.write(data)


class PlainInput(Source):
    """Standard input as it comes."""

    def __init__(self, stream: Stream) -> None:
        """Read from the stream."""
        self._stream = stream

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        return await self._stream.read()


async def shell(request: Request) -> None:
    """`shell:LINE` with one stream for all, or `shell,v2:LINE` with framed streams and exit code.

    Without a line it is a terminal, or with `raw` a script on standard input.
    """
    android, stream = request.android, request.stream
    await android.delay(android.profile.shell_ms)
    plain = PlainOutput(stream)
    streams = Streams(stdin=PlainInput(stream), stdout=plain, stderr=plain)
    framed = "v2" in request.options
    if framed:
        streams = Streams(
            stdin=FramedInput(stream),
            stdout=FramedOutput(stream, FrameId.STDOUT),
            stderr=FramedOutput(stream, FrameId.STDERR),
        )
    interpreter = Shell(android, COMMANDS)
    if request.argument or "raw" in request.options or request.name == "exec":
        code = await interpreter.run(request.argument or "sh", streams)
    else:
        code = await run_terminal(interpreter, streams.stdin, streams.stdout)
    if framed:
        await send_exit(stream, code)


async def abb_exec(request: Request) -> None:
    """`abb_exec:package\\0install\\0…`: the arguments of `cmd`, apart from each other already."""
    output = PlainOutput(request.stream)
    streams = Streams(stdin=PlainInput(request.stream), stdout=output, stderr=output)
    await Shell(request.android, COMMANDS).command(["cmd", *request.argument.split("\0")], streams)


async def framebuffer(request: Request) -> None:
    """`framebuffer:`: a header, then RGBA rows."""
    android = request.android
    await android.delay(android.profile.frame_ms)
    screenshot = await capture(android)
    await request.stream.write(framebuffer_header(screenshot))
    await request.stream.write(rgba(screenshot))


async def connect_to_port(request: Request) -> None:
    """`tcp:N`, `localabstract:NAME`, …: a socket of the phone; never one of the host."""
    channel = await request.android.ports.connect(f"{request.name}:{request.argument}")
    await splice(request.stream, channel)


async def reverse(request: Request) -> None:
    """`reverse:forward:PHONE;HOST`, `reverse:list-forward`, `reverse:killforward:PHONE`, `…-all`."""
    ports, stream = request.android.ports, request.stream
    action, _, argument = request.argument.partition(":")
    match action:
        case "forward":
            await _add_reverse(request, argument)
        case "list-forward":
            lines = "".join(f"(reverse) {name} {host}\n" for name, host in ports.reversed.items())
            await stream.write(_counted(lines))
        case "killforward":
            known = ports.remove_reverse(argument)
            await stream.write(b"OKAY" if known else b"FAIL" + _counted(f"listener '{argument}' not found"))
        case "killforward-all":
            for name in list(ports.reversed):
                ports.remove_reverse(name)
            await stream.write(b"OKAY")
        case _:
            await stream.write(b"FAIL" + _counted(f"not a reverse forwarding command: {request.argument}"))


async def _add_reverse(request: Request, argument: str) -> None:
    ports, stream = request.android.ports, request.stream
    fixed = argument.startswith("norebind:")
    name, semicolon, host_name = argument.removeprefix("norebind:").partition(";")
    if not semicolon:
        await stream.write(b"FAIL" + _counted(f"bad forward: {argument}"))
        return
    if fixed and name in ports.reversed:
        await stream.write(b"FAIL" + _counted("cannot rebind existing socket"))
        return
    taken = ports.reverse(name, host_name, stream.connection)
    await stream.write(b"OKAY" + (_counted(taken.removeprefix("tcp:")) if name == "tcp:0" else b""))


def _counted(text: str) -> bytes:
    """A text with its length in four hexadecimal digits before it."""
    return f"{len(text.encode()):04x}".encode() + text.encode()


async def reboot(request: Request) -> None:
    """`reboot:`: the links break."""
    request.android.reboot()


def _says(text: str) -> Service:
    async def say(request: Request) -> None:
        await request.stream.write(text.encode())

    return say


async def track(request: Request) -> None:
    """`track-jdwp`, `track-app`: no process on this phone can be debugged; the list stays empty."""
    await request.stream.write(b"0000")
    while await request.stream.read():
        pass


SERVICES: Final[dict[str, Service]] = {
    "shell": shell,
    "exec": shell,
    "abb_exec": abb_exec,
    "framebuffer": framebuffer,
    "sync": lambda request: SyncSession(request.stream, request.android.files).run(),
    "tcp": connect_to_port,
    "localabstract": connect_to_port,
    "localreserved": connect_to_port,
    "localfilesystem": connect_to_port,
    "reverse": reverse,
    "reboot": reboot,
    "root": _says("adbd is already running as root\n"),
    "remount": _says("remount succeeded\n"),
    "track-jdwp": track,
    "track-app": track,
}
"""Services by the name in front of the colon and the options."""
