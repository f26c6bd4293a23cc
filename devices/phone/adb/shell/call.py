"""What a command is given: its words, the phone, and where to read and write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.phone.adb.android import Android
from devices.phone.adb.shell.io import Sink, Source

if TYPE_CHECKING:
    from devices.phone.adb.shell.interpreter import Shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One run of one command.

    Attributes:
        name: what it was called by.
        args: the words after it.
        android: the phone.
        shell: whose line it stands in.
        stdin: standard input.
        stdout: standard output.
        stderr: standard error.
    """

    name: str
    args: tuple[str, ...]
    android: Android
    shell: Shell
    stdin: Source
    stdout: Sink
    stderr: Sink

    async def out(self, text: str | bytes) -> int:
        """Write to standard output; returns success."""
        await self.stdout.write(text.encode(errors="surrogateescape") if isinstance(text, str) else text)
        return 0

    async def fail(self, text: str, code: int = 1) -> int:
        """Write to standard error; returns the exit code."""
        await self.stderr.write(text.encode(errors="surrogateescape"))
        return code

    def path(self, word: str) -> str:
        """What a path on the command line means."""
        return self.android.files.resolve(word, self.shell.folder)

    def option(self, name: str, default: str = "") -> str:
        """The word after an option such as `-p`."""
        words = list(self.args)
        return words[words.index(name) + 1] if name in words[:-1] else default


Command = Callable[[Call], Awaitable[int]]
"""Does the work and returns the exit code.

An `OSError` of the phone's files and a `ValueError` about a word become messages on standard error.
"""

Commands = Mapping[str, Command]
"""Commands by name."""
