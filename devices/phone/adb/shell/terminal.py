"""`adb shell` without a command: somebody types at a prompt.

The host puts its terminal into raw mode and leaves echo and line editing to the phone, which here are the
least that one can type with: backspace, Ctrl-C, Ctrl-D.
"""

from __future__ import annotations

from typing import Final

from devices.phone.adb.shell.interpreter import Exit, Shell, Streams
from devices.phone.adb.shell.io import Bytes, Sink, Source
from devices.phone.adb.shell.parser import ShellSyntaxError, parse

_INTERRUPT: Final = "\x03"
_END: Final = "\x04"
_BACKSPACES: Final = "\x7f\b"
_RUB_OUT: Final = b"\b \b"


class _Screen(Sink):
    """A terminal needs a carriage return at every end of a line."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def write(self, data: bytes | memoryview) -> None:
        await self._sink.write(bytes(data).replace(b"\n", b"\r\n"))


async def run_terminal(shell: Shell, keyboard: Source, screen: Sink) -> int:
    """Read lines and run them until `exit`, Ctrl-D or the end of the link; returns the exit code.

    Args:
        shell: runs the lines one after the other and keeps its variables.
        keyboard: what is typed, in raw form.
        screen: what is shown.
    """
    output = _Screen(screen)
    streams = Streams(stdin=Bytes(), stdout=output, stderr=output)
    line = ""
    await _prompt(shell, screen)
    while typed := await keyboard.read():
        for character in typed.decode(errors="replace"):
            if character in "\r\n":
                await screen.write(b"\r\n")
                if (code := await _run(shell, line, streams)) is not None:
                    return code
                line = ""
                await _prompt(shell, screen)
            elif character == _END and not line:
                await screen.write(b"\r\n")
                return shell.last_code
            elif character == _INTERRUPT:
                line = ""
                await screen.write(b"^C\r\n")
                await _prompt(shell, screen)
            elif character in _BACKSPACES:
                if line:
                    line = line[:-1]
                    await screen.write(_RUB_OUT)
            elif character.isprintable():
                line += character
                await screen.write(character.encode())
    return shell.last_code


async def _prompt(shell: Shell, screen: Sink) -> None:
    await screen.write(f"vphone:{shell.folder} # ".encode())


async def _run(shell: Shell, line: str, streams: Streams) -> int | None:
    """Run one line; the exit code if it ends the shell."""
    try:
        await shell.script(parse(line), streams)
    except ShellSyntaxError as error:
        await streams.stderr.write(f"/system/bin/sh: {error}\n".encode())
    except Exit as end:
        return end.code
    return None
