"""`ls`, `rm`, `cp` and their like, on the phone's files in memory."""

from __future__ import annotations

import errno
import fnmatch
import itertools
import os
import posixpath
import re
import stat
import time
from typing import Final

from devices.phone.adb.filesystem import FileSystem, Node
from devices.phone.adb.shell.call import Call, Command
from devices.phone.adb.shell.options import Options, read_options


def _missing(path: str) -> OSError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


async def list_files(call: Call) -> int:
    """`ls [-a] [-d] [-l] [-ll] [-1] [PATHS]`; one name a line, as without a terminal."""
    options = read_options(call.args)
    to_the_second = any(word.startswith("-") and "ll" in word for word in call.args)
    paths = options.operands or (".",)
    code = 0
    for number, word in enumerate(sorted(paths)):
        path = call.path(word)
        if not call.android.files.exists(path):
            code = await call.fail(f"ls: {word}: No such file or directory\n")
            continue
        inside = call.android.files.is_folder(path) and "d" not in options.flags
        if inside and len(paths) > 1:
            await call.out(f"{chr(10) if number else ''}{word}:\n")
        listing = _listing(call.android.files, path, word, options, inside=inside, exact=to_the_second)
        await call.out(listing)
    return code


def _listing(files: FileSystem, path: str, word: str, options: Options, *, inside: bool, exact: bool) -> str:
    names = files.names(path) if inside else [word]
    hidden = bool(options.flags & set("aA"))
    names = [name for name in names if hidden or not inside or not name.startswith(".")]
    if "a" in options.flags and inside:
        names = [".", "..", *names]
    if "l" not in options.flags:
        return "".join(f"{name}\n" for name in names)
    nodes = [(name, files.node(posixpath.join(path, name) if inside else path)) for name in names]
    total = sum(-(-len(node.data) // 1024) for _, node in nodes)
    head = f"total {total}\n" if inside else ""
    return head + "".join(_long_line(name, node, exact=exact) for name, node in nodes)


def _long_line(name: str, node: Node, *, exact: bool) -> str:
    form = "%Y-%m-%d %H:%M:%S.000000000 +0000" if exact else "%Y-%m-%d %H:%M"
    stamp = time.strftime(form, time.gmtime(node.modified_s))
    links = 2 if node.is_folder else 1
    return f"{stat.filemode(node.mode)} {links} root root {len(node.data)} {stamp} {name}\n"


async def remove(call: Call) -> int:
    """`rm [-r] [-f] PATHS`."""
    options = read_options(call.args)
    recursive, forced = bool(options.flags & set("rR")), "f" in options.flags
    if not options.operands and not forced:
        return await call.fail('rm: Needs 1 argument (see "rm --help")\n')
    code = 0
    for word in options.operands:
        path = call.path(word)
        if not call.android.files.exists(path):
            if not forced:
                code = await call.fail(f"rm: {word}: No such file or directory\n")
        elif call.android.files.is_folder(path) and not recursive:
            code = await call.fail(f"rm: {word}: is directory\n")
        elif path == "/":
            code = await call.fail("rm: /: Device or resource busy\n")
        else:
            call.android.files.remove(path)
    return code


async def make_folders(call: Call) -> int:
    """`mkdir [-p] PATHS`."""
    options = read_options(call.args, with_value="m")
    for word in options.operands:
        if "p" in options.flags:
            call.android.files.make_folders(call.path(word))
        else:
            call.android.files.make_folder(call.path(word))
    return 0


async def remove_folders(call: Call) -> int:
    """`rmdir PATHS`."""
    for word in read_options(call.args).operands:
        path = call.path(word)
        if call.android.files.names(path):
            return await call.fail(f"rmdir: {word}: Directory not empty\n")
        call.android.files.remove(path)
    return 0


async def touch(call: Call) -> int:
    """`touch PATHS`."""
    for word in read_options(call.args, with_value="tdr").operands:
        call.android.files.append(call.path(word), b"")
    return 0


async def copy(call: Call) -> int:
    """`cp [-r] [-a] SOURCES TARGET`."""
    options = read_options(call.args)
    if len(options.operands) < 2:
        return await call.fail("cp: Needs 2 arguments\n")
    *sources, target = options.operands
    files = call.android.files
    for word in sources:
        source = call.path(word)
        if files.is_folder(source) and not options.flags & set("raR"):
            return await call.fail(f"cp: Skipped dir '{word}': No such file or directory\n")
        goal = files.inside(source, call.path(target))
        for path in files.walk(source):
            to_path = goal + path[len(source) :]
            if files.is_folder(path):
                files.make_folders(to_path)
            else:
                files.write(to_path, files.read(path), mode=files.node(path).mode)
    return 0


async def move(call: Call) -> int:
    """`mv SOURCES TARGET`."""
    options = read_options(call.args)
    if len(options.operands) < 2:
        return await call.fail("mv: Needs 2 arguments\n")
    *sources, target = options.operands
    for word in sources:
        call.android.files.move(call.path(word), call.path(target))
    return 0


async def change_mode(call: Call) -> int:
    """`chmod [-R] MODE PATHS`, with an octal mode."""
    operands = read_options(call.args).operands
    if len(operands) < 2:
        return await call.fail("chmod: Needs 2 arguments\n")
    mode, *words = operands
    for word in words:
        node = call.android.files.node(call.path(word))
        if re.fullmatch("[0-7]{1,4}", mode):
            node.mode = stat.S_IFMT(node.mode) | int(mode, 8)
    return 0


async def check_exists(call: Call) -> int:
    """`chown`, `chcon`, `chgrp`: owners and labels mean nothing here, but the file must exist."""
    for word in read_options(call.args).operands[1:]:
        if not call.android.files.exists(call.path(word)):
            raise _missing(word)
    return 0


async def find(call: Call) -> int:
    """`find [PATHS] [-name P] [-type f|d] [-o …] [-mindepth N] [-maxdepth N] [-delete]`."""
    words = list(call.args)
    first = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    roots, tests = words[:first] or ["."], words[first:]
    choices = _choices(tests)
    files = call.android.files
    found: list[tuple[str, str]] = []
    for root in roots:
        base = call.path(root)
        if not files.exists(base):
            return await call.fail(f"find: {root}: No such file or directory\n")
        for path in files.walk(base):
            depth = path.count("/") - base.rstrip("/").count("/") if path != base else 0
            if any(_matches(files, path, depth, values) for values in choices):
                below = path[len(base.rstrip("/")) :] if path != base else ""
                found.append((path, root.rstrip("/") + below or root))
    if "-delete" in tests:
        for path, _ in reversed(found):
            if files.exists(path):
                files.remove(path)
        return 0
    return await call.out("".join(f"{shown}\n" for _, shown in found))


def _choices(words: list[str]) -> list[dict[str, str]]:
    """The tests before and after each `-o`; depths count for all of them, wherever they stand."""
    choices: list[dict[str, str]] = [{}]
    for name, value in itertools.pairwise([*words, ""]):
        if name == "-o":
            choices.append({})
        elif name.startswith("-"):
            choices[-1][name] = value
    depths = {name: v for choice in choices for name, v in choice.items() if name.endswith("depth")}
    return [choice | depths for choice in choices]


def _matches(files: FileSystem, path: str, depth: int, values: dict[str, str]) -> bool:
    if not int(values.get("-mindepth", 0)) <= depth <= int(values.get("-maxdepth", 99)):
        return False
    if values.get("-type") in ("f", "d") and files.is_folder(path) != (values["-type"] == "d"):
        return False
    pattern = values.get("-name") or values.get("-iname")
    if pattern is None:
        return True
    name = posixpath.basename(path)
    if "-iname" in values:
        return fnmatch.fnmatchcase(name.lower(), pattern.lower())
    return fnmatch.fnmatchcase(name, pattern)


async def disk_free(call: Call) -> int:
    """`df`."""
    return await call.out(
        "Filesystem     1K-blocks    Used Available Use% Mounted on\n"
        "/dev/block/dm-0  6000000 2000000   4000000  34% /data\n"
    )


async def disk_used(call: Call) -> int:
    """`du [-s] PATHS`: in KiB."""
    files = call.android.files
    for word in read_options(call.args, with_value="d").operands or (".",):
        size = sum(len(files.node(path).data) for path in files.walk(call.path(word)))
        await call.out(f"{-(-size // 1024)}\t{word}\n")
    return 0


async def file_status(call: Call) -> int:
    """`stat [-c FORMAT] PATHS` with %s, %n, %a, %Y, %F."""
    options = read_options(call.args, with_value="c")
    for word in options.operands:
        node = call.android.files.node(call.path(word))
        kind = "directory" if node.is_folder else "regular file"
        text = options.values.get("c", "  File: %n\n  Size: %s\t %F\nAccess: (%a)\nModify: %Y")
        values = {
            "%s": str(len(node.data)), "%n": word, "%a": f"{stat.S_IMODE(node.mode):o}", "%F": kind,
            "%Y": str(node.modified_s),
        }  # fmt: skip
        for mark, value in values.items():
            text = text.replace(mark, value)
        await call.out(text + "\n")
    return 0


async def temporary(call: Call) -> int:
    """`mktemp`: a new file in /data/local/tmp."""
    files = call.android.files
    number = next(n for n in range(10**6) if not files.exists(f"/data/local/tmp/tmp.{n:06d}"))
    files.write(f"/data/local/tmp/tmp.{number:06d}", b"")
    return await call.out(f"/data/local/tmp/tmp.{number:06d}\n")


async def real_path(call: Call) -> int:
    """`realpath`, `readlink -f`."""
    for word in read_options(call.args).operands:
        await call.out(call.path(word) + "\n")
    return 0


FILE_COMMANDS: Final[dict[str, Command]] = {
    "ls": list_files, "rm": remove, "mkdir": make_folders, "rmdir": remove_folders, "touch": touch,
    "cp": copy, "mv": move, "chmod": change_mode, "chown": check_exists, "chgrp": check_exists,
    "chcon": check_exists, "find": find, "df": disk_free, "du": disk_used, "stat": file_status,
    "mktemp": temporary, "realpath": real_path, "readlink": real_path,
}  # fmt: skip
