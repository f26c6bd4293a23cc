"""What the shell itself knows: echo, cd, test, exit and their like."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from devices.phone.adb.shell.call import Call, Command
from devices.phone.adb.shell.interpreter import Exit, Shell, Streams
from devices.phone.adb.shell.io import read_all

_ESCAPES: Final = (("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\\\", "\\"))


async def echo(call: Call) -> int:
    """`echo [-n] [-e] WORDS`."""
    words = list(call.args)
    options = ""
    while words and words[0] in ("-n", "-e", "-ne", "-en", "-E"):
        options += words.pop(0)[1:]
    text = " ".join(words)
    if "e" in options:
        for escape, character in _ESCAPES:
            text = text.replace(escape, character)
    return await call.out(text if "n" in options else text + "\n")


async def printf(call: Call) -> int:
    """`printf FORMAT WORDS`, with %s, %d and the usual escapes."""
    if not call.args:
        return await call.fail("printf: need format\n")
    text, *words = call.args
    for escape, character in _ESCAPES:
        text = text.replace(escape, character)
    for word in words:
        position = min((at for at in (text.find("%s"), text.find("%d")) if at >= 0), default=-1)
        if position >= 0:
            text = text[:position] + word + text[position + 2 :]
    return await call.out(text.replace("%%", "%"))


async def change_folder(call: Call) -> int:
    """`cd FOLDER`."""
    target = call.args[0] if call.args else "/"
    path = call.path(target)
    if not call.android.files.is_folder(path):
        reason = "Not a directory" if call.android.files.exists(path) else "No such file or directory"
        return await call.fail(f"/system/bin/sh: cd: {target}: {reason}\n", 2)
    call.shell.folder = path
    return 0


async def print_folder(call: Call) -> int:
    """`pwd`."""
    return await call.out(call.shell.folder + "\n")


async def leave(call: Call) -> int:
    """`exit [CODE]`."""
    word = call.args[0] if call.args else ""
    raise Exit(int(word) & 0xFF if word.isdecimal() else call.shell.last_code)


async def succeed(call: Call) -> int:
    """`true`, and everything that has nothing to do on this phone."""
    return 0


async def refuse(call: Call) -> int:
    """`false`."""
    return 1


async def export(call: Call) -> int:
    """`export NAME=VALUE`."""
    for word in call.args:
        name, equals, value = word.partition("=")
        if equals:
            call.shell.variables[name] = value
    return 0


async def unset(call: Call) -> int:
    """`unset NAME`."""
    for name in call.args:
        call.shell.variables.pop(name, None)
    return 0


async def environment(call: Call) -> int:
    """`env`, and `set` without words; what `set` changes has no meaning here."""
    if call.name == "set" and call.args:
        return 0
    return await call.out("".join(f"{n}={v}\n" for n, v in sorted(call.shell.variables.items())))


async def sleep(call: Call) -> int:
    """`sleep SECONDS`."""
    try:
        seconds = float((call.args[0] if call.args else "").rstrip("s"))
    except ValueError:
        return await call.fail("sleep: needs a number of seconds\n")
    await asyncio.sleep(max(0.0, seconds))
    return 0


async def run_shell(call: Call) -> int:
    """`sh -c TEXT`, `sh FILE`, or `sh` with the script on standard input."""
    streams = Streams(stdin=call.stdin, stdout=call.stdout, stderr=call.stderr)
    words = list(call.args)
    if words[:1] == ["-c"] and len(words) > 1:
        return await call.shell.child(("sh", *words[3:])).run(words[1], streams)
    if words and not words[0].startswith("-"):
        script = call.android.files.read(call.path(words[0]))
        return await call.shell.child(words).run(script.decode(errors="surrogateescape"), streams)
    return await call.shell.child().run((await read_all(call.stdin)).decode(errors="replace"), streams)


async def evaluate(call: Call) -> int:
    """`eval WORDS`."""
    streams = Streams(stdin=call.stdin, stdout=call.stdout, stderr=call.stderr)
    return await call.shell.run(" ".join(call.args), streams)


async def run_words(call: Call) -> int:
    """`exec`, `nohup`, `command`, `nice`: the command behind them."""
    streams = Streams(stdin=call.stdin, stdout=call.stdout, stderr=call.stderr)
    if not call.args:
        return 0
    code = await call.shell.command(call.args, streams)
    if call.name == "exec":
        raise Exit(code)
    return code


async def time_limited(call: Call) -> int:
    """`timeout SECONDS COMMAND`; 124 when the time is over."""
    if len(call.args) < 2:
        return await call.fail("timeout: needs a time and a command\n", 125)
    streams = Streams(stdin=call.stdin, stdout=call.stdout, stderr=call.stderr)
    try:
        async with asyncio.timeout(float(call.args[0].rstrip("s"))):
            return await call.shell.command(call.args[1:], streams)
    except TimeoutError:
        return 124


async def test(call: Call) -> int:
    """`test` and `[`: files, strings, numbers."""
    words = list(call.args)
    if call.name == "[":
        if words[-1:] != ["]"]:
            return await call.fail("/system/bin/sh: [: missing ]\n", 2)
        words.pop()
    try:
        return int(not _holds(call.shell, words))
    except ValueError as error:
        return await call.fail(f"/system/bin/sh: test: {error}\n", 2)


def _holds(shell: Shell, words: Sequence[str]) -> bool:
    files = shell.android.files
    match words:
        case []:
            return False
        case ["!", *rest]:
            return not _holds(shell, rest)
        case [word]:
            return bool(word)
        case [("-e" | "-f" | "-d" | "-s" | "-r" | "-w" | "-x") as option, path]:
            path = files.resolve(path, shell.folder)
            if option == "-d":
                return files.is_folder(path)
            if option == "-f":
                return files.exists(path) and not files.is_folder(path)
            return files.exists(path) and (option != "-s" or bool(files.node(path).data))
        case ["-n", word]:
            return bool(word)
        case ["-z", word]:
            return not word
        case [left, ("=" | "=="), right]:
            return left == right
        case [left, "!=", right]:
            return left != right
        case [left, ("-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge") as operator, right]:
            return _compared(int(left), operator, int(right))
        case _:
            raise ValueError(f"unexpected operator {' '.join(words)!r}")


def _compared(left: int, operator: str, right: int) -> bool:
    match operator:
        case "-eq":
            return left == right
        case "-ne":
            return left != right
        case "-lt":
            return left < right
        case "-le":
            return left <= right
        case "-gt":
            return left > right
        case _:
            return left >= right


BUILTINS: Final[dict[str, Command]] = {
    "echo": echo, "printf": printf, "cd": change_folder, "pwd": print_folder, "exit": leave, "true": succeed,
    ":": succeed, "false": refuse, "export": export, "unset": unset, "env": environment,
    "printenv": environment, "set": environment, "sleep": sleep, "usleep": succeed, "sh": run_shell,
    "eval": evaluate, "exec": run_words, "command": run_words, "nohup": run_words, "nice": run_words,
    "timeout": time_limited, "test": test, "[": test, "wait": succeed, "sync": succeed, "umask": succeed,
    "trap": succeed,
}  # fmt: skip
