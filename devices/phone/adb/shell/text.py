"""`cat`, `grep`, `head` and their like: text from files or from a pipe."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from devices.phone.adb.shell.call import Call, Command
from devices.phone.adb.shell.interpreter import Streams
from devices.phone.adb.shell.io import read_all
from devices.phone.adb.shell.options import read_options

_DIGESTS: Final = {"md5sum": "md5", "sha1sum": "sha1", "sha256sum": "sha256", "sha512sum": "sha512"}


async def _input(call: Call, words: Sequence[str]) -> bytes:
    """The files named, one after the other; standard input if there are none, or for "-"."""
    if not words:
        return await read_all(call.stdin)
    pieces = [
        await read_all(call.stdin) if word == "-" else call.android.files.read(call.path(word))
        for word in words
        if word != "/dev/null"
    ]
    return b"".join(pieces)


async def _lines(call: Call, words: Sequence[str]) -> list[str]:
    return (await _input(call, words)).decode(errors="surrogateescape").splitlines()


async def cat(call: Call) -> int:
    """`cat [FILES]`; standard input is passed on as it comes."""
    words = read_options(call.args).operands
    if words:
        return await call.out(await _input(call, words))
    while piece := await call.stdin.read():
        await call.out(piece)
    return 0


async def head(call: Call) -> int:
    """`head [-n N] [-c N]`; `tail` likewise from the end."""
    args = [f"-n{word[1:]}" if re.fullmatch(r"-\d+", word) else word for word in call.args]
    options = read_options(args, with_value="nc")
    unit = "c" if "c" in options.values else "n"
    word = options.values.get(unit, "10")
    if not re.fullmatch(r"[+-]?\d+", word):
        return await call.fail(f"{call.name}: bad number '{word}'\n")
    count = abs(int(word))
    data = await _input(call, options.operands)
    parts: list[bytes] = data.splitlines(keepends=True) if unit == "n" else [bytes([b]) for b in data]
    if call.name == "head":
        chosen = parts[:count] if not word.startswith("-") else parts[: len(parts) - count]
    else:
        chosen = parts[count - 1 :] if word.startswith("+") else parts[max(0, len(parts) - count) :]
    return await call.out(b"".join(chosen))


async def word_count(call: Call) -> int:
    """`wc [-l] [-w] [-c]`."""
    options = read_options(call.args)
    data = await _input(call, options.operands)
    counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data)}
    shown = [str(number) for letter, number in counts.items() if letter in options.flags or not options.flags]
    return await call.out(" ".join([*shown, *options.operands[:1]]) + "\n")


async def grep(call: Call) -> int:
    """`grep [-ivcqonFEwr] [-e PATTERN] PATTERN [FILES]`."""
    options = read_options(call.args, with_value="emABC")
    operands = list(options.operands)
    pattern = options.values.get("e") or (operands.pop(0) if operands else "")
    flags = options.flags
    expression = _expression(pattern, fixed="F" in flags, extended="E" in flags or call.name == "egrep")
    if "w" in flags:
        expression = rf"\b(?:{expression})\b"
    try:
        compiled = re.compile(expression, re.IGNORECASE if "i" in flags else 0)
    except re.error as error:
        return await call.fail(f"grep: bad regex '{pattern}': {error}\n", 2)
    hits = [
        (number, line, match)
        for number, line in enumerate(await _lines(call, operands), start=1)
        if bool(match := compiled.search(line)) != ("v" in flags)
    ]
    if "m" in options.values:
        hits = hits[: int(options.values["m"])]
    if "c" in flags:
        await call.out(f"{len(hits)}\n")
    elif "q" not in flags:
        for number, line, match in hits:
            shown = match.group() if "o" in flags and match else line
            await call.out(f"{number}:{shown}\n" if "n" in flags else f"{shown}\n")
    return 0 if hits else 1


def _expression(pattern: str, *, fixed: bool, extended: bool) -> str:
    """A pattern of grep as one of Python: in basic patterns `\\|`, `\\(`, `\\+` are the operators."""
    if fixed:
        return re.escape(pattern)
    if extended:
        return pattern
    marked = re.sub(r"\\([|(){}+?])", lambda match: "\0" + match[1], pattern)
    escaped = re.sub(r"(?<!\0)([|(){}+?])", r"\\\1", marked)
    return escaped.replace("\0", "")


async def sort(call: Call) -> int:
    """`sort [-r] [-n] [-u]`."""
    options = read_options(call.args, with_value="kt")
    lines = await _lines(call, options.operands)
    if "u" in options.flags:
        lines = list(dict.fromkeys(lines))
    if "n" in options.flags:
        lines.sort(key=_leading_number)
    else:
        lines.sort()
    if "r" in options.flags:
        lines.reverse()
    return await call.out("".join(f"{line}\n" for line in lines))


def _leading_number(line: str) -> float:
    match = re.match(r"\s*(-?\d+\.?\d*)", line)
    return float(match[1]) if match else 0.0


async def unique(call: Call) -> int:
    """`uniq`."""
    lines = await _lines(call, read_options(call.args).operands)
    kept = [line for number, line in enumerate(lines) if not number or line != lines[number - 1]]
    return await call.out("".join(f"{line}\n" for line in kept))


async def cut(call: Call) -> int:
    """`cut -d C -f LIST`, `cut -c LIST`."""
    options = read_options(call.args, with_value="dfcb")
    ranges = options.values.get("f") or options.values.get("c") or "1"
    wanted: list[slice] = []
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        start = int(first or 1) - 1
        wanted.append(slice(start, (int(last) if last else None) if dash else start + 1))
    separator = options.values.get("d", "\t")
    for line in await _lines(call, options.operands):
        if "f" in options.values:
            pieces = line.split(separator)
            chosen = [one for part in wanted for one in pieces[part]] if separator in line else [line]
            await call.out(separator.join(chosen) + "\n")
        else:
            await call.out("".join(line[part] for part in wanted) + "\n")
    return 0


async def translate(call: Call) -> int:
    """`tr [-d] SET [SET]`, with ranges and the escapes of control characters."""
    options = read_options(call.args)
    sets = [_characters(word) for word in options.operands]
    text = (await read_all(call.stdin)).decode(errors="surrogateescape")
    if "d" in options.flags and sets:
        return await call.out("".join(one for one in text if one not in sets[0]))
    if len(sets) != 2 or not sets[1]:
        return await call.fail("tr: needs 2 arguments\n")
    target = sets[1] + sets[1][-1] * max(0, len(sets[0]) - len(sets[1]))
    return await call.out(text.translate(dict(zip(map(ord, sets[0]), target, strict=False))))


def _characters(word: str) -> str:
    for escape, character in (("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t")):
        word = word.replace(escape, character)
    return re.sub(r"(.)-(.)", lambda match: "".join(map(chr, range(ord(match[1]), ord(match[2]) + 1))), word)


async def stream_edit(call: Call) -> int:
    """`sed [-n] [-E] 's/PATTERN/TEXT/[g][p]'` and `sed -n 'Np'`; other scripts are refused."""
    options = read_options(call.args, with_value="e")
    operands = list(options.operands)
    script = options.values.get("e") or (operands.pop(0) if operands else "")
    lines = await _lines(call, operands)
    if numbered := re.fullmatch(r"(\d+)p", script):
        at = int(numbered[1]) - 1
        return await call.out("".join(f"{line}\n" for line in lines[at : at + 1]))
    parts = script[2:].split(script[1]) if script[:1] == "s" and len(script) > 3 else []
    if len(parts) != 3:
        return await call.fail(f"sed: unsupported script '{script}'\n")
    expression = _expression(parts[0], fixed=False, extended=bool(options.flags & {"E", "r"}))
    count = 0 if "g" in parts[2] else 1
    for line in lines:
        try:
            replaced, hits = re.subn(expression, parts[1].replace("&", r"\g<0>"), line, count=count)
        except (re.error, IndexError) as error:
            return await call.fail(f"sed: bad pattern in '{script}': {error}\n")
        if "n" not in options.flags or (hits and "p" in parts[2]):
            await call.out(replaced + "\n")
    return 0


async def base64_text(call: Call) -> int:
    """`base64 [-d] [-w N] [FILE]`."""
    options = read_options(call.args, with_value="w")
    data = await _input(call, options.operands)
    if "d" in options.flags or "--decode" in options.flags:
        try:
            return await call.out(base64.b64decode(b"".join(data.split()), validate=True))
        except binascii.Error:
            return await call.fail("base64: bad input\n")
    text = base64.b64encode(data).decode()
    width = int(options.values.get("w", "76") or 0) or len(text) or 1
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return await call.out("\n".join(lines) + ("" if options.values.get("w") == "0" else "\n"))


async def digest(call: Call) -> int:
    """`md5sum`, `sha1sum`, `sha256sum`, `sha512sum`; with `-b` the number alone."""
    options = read_options(call.args)
    for word in options.operands or ("-",):
        found = hashlib.new(_DIGESTS[call.name], await _input(call, [word])).hexdigest()
        await call.out(f"{found}\n" if "b" in options.flags else f"{found}  {word}\n")
    return 0


async def compress(call: Call) -> int:
    """`gzip [-1…-9] [-c] [-d]` from standard input to standard output."""
    flags = read_options(call.args).flags
    data = await read_all(call.stdin)
    if "d" in flags or call.name == "gunzip":
        try:
            return await call.out(gzip.decompress(data))
        except (OSError, EOFError):
            return await call.fail("gzip: bad input\n")
    level = next((int(flag) for flag in flags if flag.isdecimal()), 6)
    return await call.out(gzip.compress(data, level, mtime=0))


async def tee(call: Call) -> int:
    """`tee [-a] FILES`."""
    options = read_options(call.args)
    data = await read_all(call.stdin)
    for word in options.operands:
        if "a" in options.flags:
            call.android.files.append(call.path(word), data)
        else:
            call.android.files.write(call.path(word), data)
    return await call.out(data)


async def with_arguments(call: Call) -> int:
    """`xargs COMMAND`: the words of standard input as its last arguments."""
    words = (await read_all(call.stdin)).decode(errors="surrogateescape").split()
    command = [word for word in call.args if word != "-r"] or ["echo"]
    streams = Streams(stdin=call.stdin, stdout=call.stdout, stderr=call.stderr)
    return await call.shell.command([*command, *words], streams)


async def sequence(call: Call) -> int:
    """`seq [FIRST] LAST`."""
    try:
        numbers = [int(word) for word in call.args]
    except ValueError:
        return await call.fail("seq: needs whole numbers\n")
    if not numbers or len(numbers) > 2:
        return await call.fail("seq: Needs 1 argument\n")
    first = numbers[0] if len(numbers) == 2 else 1
    return await call.out("".join(f"{number}\n" for number in range(first, numbers[-1] + 1)))


async def base_name(call: Call) -> int:
    """`basename PATH`, `dirname PATH`."""
    path = (call.args[0] if call.args else "").rstrip("/")
    front, _, last = path.rpartition("/")
    return await call.out(
        (last if call.name == "basename" else front or ("/" if "/" in path else ".")) + "\n"
    )


TEXT_COMMANDS: Final[dict[str, Command]] = {
    "cat": cat, "head": head, "tail": head, "wc": word_count, "grep": grep, "egrep": grep, "sort": sort,
    "uniq": unique, "cut": cut, "tr": translate, "sed": stream_edit, "base64": base64_text,
    "md5sum": digest, "sha1sum": digest, "sha256sum": digest, "sha512sum": digest, "gzip": compress,
    "gunzip": compress, "tee": tee, "xargs": with_arguments, "seq": sequence, "basename": base_name,
    "dirname": base_name,
}  # fmt: skip
