"""Runs a tree of commands on the phone: output and an exit code, no process and no file of the host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from devices.phone.adb.android import Android
from devices.phone.adb.shell.call import Call, Commands
from devices.phone.adb.shell.io import Buffer, Bytes, FileSink, Nothing, Sink, Source
from devices.phone.adb.shell.parser import ShellSyntaxError, parse
from devices.phone.adb.shell.tree import (
    For,
    Group,
    If,
    Literal,
    Node,
    Pipeline,
    Redirect,
    Script,
    Simple,
    Substitution,
    Variable,
    While,
    Word,
)

NOT_FOUND: Final = 127
_PREFIX: Final = "/system/bin/sh: "
_MAX_DEPTH: Final = 40
_ENVIRONMENT: Final = {
    "ANDROID_DATA": "/data", "ANDROID_ROOT": "/system", "ANDROID_STORAGE": "/storage",
    "EXTERNAL_STORAGE": "/sdcard", "HOME": "/", "HOSTNAME": "vphone", "LOGNAME": "shell",
    "PATH": "/product/bin:/apex/com.android.runtime/bin:/system/bin:/system/xbin:/vendor/bin",
    "SHELL": "/bin/sh", "TERM": "dumb", "TMPDIR": "/data/local/tmp", "USER": "shell",
    "KSH_VERSION": "@(#)MIRBSD KSH R59 2020/10/31 Android",
}  # fmt: skip


class Exit(Exception):
    """`exit` ends the shell with a code."""

    def __init__(self, code: int) -> None:
        """With this exit code."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Standard input, output and error of a command."""

    stdin: Source
    stdout: Sink
    stderr: Sink


class Shell:
    """One shell: variables, a current folder, and the code of the last command.

    Args:
        android: the phone.
        commands: what it knows.
        arguments: `$0`, `$1`, …
        depth: how many shells it runs inside of.
    """

    def __init__(
        self, android: Android, commands: Commands, arguments: Sequence[str] = ("sh",), depth: int = 0
    ) -> None:
        """A fresh shell in the root folder."""
        self.android = android
        self.commands = commands
        self.variables = dict(_ENVIRONMENT)
        self.folder = "/"
        self.last_code = 0
        self.arguments = tuple(arguments)
        self.depth = depth
        self.last_tap: tuple[int, int] | None = None
        """Where the command before this one tapped: a second tap there makes a double tap."""

    def child(self, arguments: Sequence[str] | None = None) -> Shell:
        """A shell inside this one; what it changes stays its own."""
        shell = Shell(self.android, self.commands, arguments or self.arguments, self.depth + 1)
        shell.variables, shell.folder = dict(self.variables), self.folder
        return shell

    async def run(self, text: str, streams: Streams) -> int:
        """Run a script and return its exit code."""
        if self.depth > _MAX_DEPTH:
            await streams.stderr.write(f"{_PREFIX}too many nested shells\n".encode())
            return 1
        try:
            return await self.script(parse(text), streams)
        except ShellSyntaxError as error:
            await streams.stderr.write(f"{_PREFIX}{error}\n".encode(errors="surrogateescape"))
            return 1
        except Exit as end:
            return end.code

    async def script(self, script: Script, streams: Streams) -> int:
        """Run pipelines one after the other."""
        code = 0
        for item in script.items:
            if item.condition == ";" or (item.condition == "&&") == (code == 0):
                code = await self._pipeline(item.pipeline, streams)
                self.last_code = code
        return code

    async def _pipeline(self, pipeline: Pipeline, streams: Streams) -> int:
        """Run from left to right, each to its end: nothing on a phone's command line needs more."""
        stdin = streams.stdin
        for command in pipeline.commands[:-1]:
            pipe = Buffer()
            await self.child()._node(command, replace(streams, stdin=stdin, stdout=pipe))
            stdin = Bytes(bytes(pipe.data))
        shell = self if len(pipeline.commands) == 1 else self.child()
        code = await shell._node(pipeline.commands[-1], replace(streams, stdin=stdin))
        return int(code == 0) if pipeline.negated else code

    async def _node(self, node: Node, streams: Streams) -> int:
        try:
            streams = await self._redirected(node.redirects, streams)
        except OSError as error:
            verb = "open" if isinstance(error, FileNotFoundError) else "create"
            text = f"{_PREFIX}can't {verb} {error.filename}: {error.strerror}\n"
            await streams.stderr.write(text.encode(errors="surrogateescape"))
            return 1
        match node:
            case Simple():
                return await self._simple(node, streams)
            case Group():
                return await self._group(node, streams)
            case If():
                return await self._if(node, streams)
            case For():
                return await self._for(node, streams)
            case While():
                return await self._while(node, streams)
            case _:
                assert_never(node)

    async def _group(self, group: Group, streams: Streams) -> int:
        if not group.subshell:
            return await self.script(group.body, streams)
        try:
            return await self.child().script(group.body, streams)
        except Exit as end:
            return end.code

    async def _if(self, node: If, streams: Streams) -> int:
        for condition, body in node.branches:
            if await self.script(condition, streams) == 0:
                return await self.script(body, streams)
        return 0 if node.otherwise is None else await self.script(node.otherwise, streams)

    async def _for(self, node: For, streams: Streams) -> int:
        code = 0
        for value in await self._words(node.words, streams):
            self.variables[node.name] = value
            code = await self.script(node.body, streams)
        return code

    async def _while(self, node: While, streams: Streams) -> int:
        code = 0
        while (await self.script(node.condition, streams) == 0) != node.until:
            code = await self.script(node.body, streams)
            await asyncio.sleep(0)  # an endless loop must leave the other phones their time
        return code

    async def _simple(self, command: Simple, streams: Streams) -> int:
        values = {name: await self._text(word, streams) for name, word in command.assignments}
        words = await self._words(command.words, streams)
        if not words:
            self.variables.update(values)
            return 0
        before = dict(self.variables)
        self.variables.update(values)
        try:
            return await self.command(words, streams)
        finally:
            for name in values:
                self.variables.pop(name, None)
                if name in before:
                    self.variables[name] = before[name]

    async def command(self, words: Sequence[str], streams: Streams) -> int:
        """Run one command by its words."""
        name = words[0].removeprefix("/system/bin/").removeprefix("/bin/")
        found = self.commands.get(name)
        last_tap, self.last_tap = self.last_tap, None
        if found is None:
            return await self._unknown(words, streams)
        if name == "input":
            self.last_tap = last_tap
        call = Call(
            name=name, args=tuple(words[1:]), android=self.android, shell=self,
            stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr,
        )  # fmt: skip
        try:
            return await found(call)
        except OSError as error:
            if error.filename is None:
                raise  # the link to the host broke
            return await call.fail(f"{name}: {self._as_written(words, error)}: {error.strerror}\n")
        except ValueError as error:  # a word that is no number, or no pattern, where one is needed
            return await call.fail(f"{name}: bad argument: {error}\n")

    def _as_written(self, words: Sequence[str], error: OSError) -> str:
        """The path of an error as it stands on the command line."""
        meant = self._path(str(error.filename))
        return next((word for word in words[1:] if self._path(word) == meant), str(error.filename))

    async def _unknown(self, words: Sequence[str], streams: Streams) -> int:
        """A script among the phone's files, or nothing at all."""
        path = self.android.files.resolve(words[0], self.folder)
        if "/" in words[0] and self.android.files.exists(path):
            if self.android.files.is_folder(path):
                await streams.stderr.write(f"{_PREFIX}{words[0]}: can't execute: Is a directory\n".encode())
                return 126
            script = self.android.files.read(path).decode(errors="surrogateescape")
            return await self.child(words).run(script, streams)
        reason = "not found" if "/" in words[0] else "inaccessible or not found"
        text = f"{_PREFIX}{words[0]}: {reason}\n"
        await streams.stderr.write(text.encode(errors="surrogateescape"))
        return NOT_FOUND

    async def _redirected(self, redirects: Sequence[Redirect], streams: Streams) -> Streams:
        for redirect in redirects:
            target = await self._text(redirect.target, streams)
            try:
                streams = self._with(streams, redirect, target)
            except OSError as error:
                error.filename = target  # as it was written, not as it was resolved
                raise
        return streams

    def _with(self, streams: Streams, redirect: Redirect, target: str) -> Streams:
        """The streams with one of them redirected."""
        if redirect.operator == "<":
            data = self.android.files.read(self._path(target)) if target != "/dev/null" else b""
            return replace(streams, stdin=Bytes(data))
        if redirect.operator in (">&", "<&") and target.isdecimal():
            sink = streams.stderr if target == "2" else streams.stdout
            return _with_output(streams, redirect.descriptor, sink)
        sink = self._file(target, append=redirect.operator == ">>")
        streams = _with_output(streams, redirect.descriptor, sink)
        return replace(streams, stderr=sink) if redirect.operator in ("&>", ">&") else streams

    def _path(self, target: str) -> str:
        return self.android.files.resolve(target, self.folder)

    def _file(self, target: str, *, append: bool) -> Sink:
        if target == "/dev/null":
            return Nothing()
        path = self._path(target)
        if append:
            self.android.files.append(path, b"")
        else:
            self.android.files.write(path, b"")
        return FileSink(self.android.files, path)

    async def _words(self, words: Sequence[Word], streams: Streams) -> list[str]:
        return [text for word in words for text in await self._fields(word, streams)]

    async def _text(self, word: Word, streams: Streams) -> str:
        """A word that is neither split nor matched with files: of an assignment or a redirection."""
        return "".join([await self._part(part, streams) for part in word])

    async def _part(self, part: Literal | Variable | Substitution, streams: Streams) -> str:
        match part:
            case Literal():
                return part.text
            case Variable():
                return self._variable(part)
            case Substitution():
                output = Buffer()
                try:
                    code = await self.child().script(part.script, replace(streams, stdout=output))
                except Exit as end:
                    code = end.code
                self.last_code = code
                return bytes(output.data).decode(errors="surrogateescape").rstrip("\n")
            case _:
                assert_never(part)

    def _variable(self, variable: Variable) -> str:
        name = variable.name
        if name == "?":
            return str(self.last_code)
        if name in ("$", "!"):
            return "4242"
        if name == "#":
            return str(len(self.arguments) - 1)
        if name in ("@", "*"):
            return " ".join(self.arguments[1:])
        if name.isdecimal():
            return self.arguments[int(name)] if int(name) < len(self.arguments) else ""
        return self.variables.get(name, "") or variable.default or ""

    async def _fields(self, word: Word, streams: Streams) -> list[str]:
        """One word as none, one or several: unquoted expansions are split, patterns matched."""
        fields: list[str] = []
        current, pattern = "", ""
        started = False
        for index, part in enumerate(word):
            text = await self._part(part, streams)
            if isinstance(part, Literal) and index == 0 and not part.quoted and text.split("/")[0] == "~":
                text = self.variables["HOME"].rstrip("/") + text[1:] or "/"
            if part.quoted or isinstance(part, Literal):
                current += text
                pattern += _escaped(text) if part.quoted else text
                started = True
                continue
            pieces = text.split()
            if pieces and text[:1].isspace() and started:
                fields += self._matched(current, pattern)
                current, pattern, started = "", "", False
            for number, piece in enumerate(pieces):
                if number:
                    fields += self._matched(current, pattern)
                    current, pattern = "", ""
                current, pattern, started = current + piece, pattern + piece, True
        return fields + (self._matched(current, pattern) if started else [])

    def _matched(self, text: str, pattern: str) -> list[str]:
        if not set(pattern) & set("*?["):
            return [text]
        plain = pattern.replace("[[]", "").replace("[*]", "").replace("[?]", "")
        if not set(plain) & set("*?["):
            return [text]
        return self.android.files.match(pattern, self.folder) or [text]


def _escaped(text: str) -> str:
    """Quoted characters that would otherwise be a pattern."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def _with_output(streams: Streams, descriptor: int, sink: Sink) -> Streams:
    return replace(streams, stderr=sink) if descriptor == 2 else replace(streams, stdout=sink)
