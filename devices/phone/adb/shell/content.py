"""`content`: tables of content providers, each a list of rows that starts empty.

The apps of the virtual phone do not read them: they serve clients that set up and look at messages,
calls or files through providers.
"""

from __future__ import annotations

import re
from typing import Final

from devices.phone.adb.shell.call import Call, Command

_CONDITION: Final = re.compile(r"(\w+)\s*=\s*'?([^']*)'?")


async def content(call: Call) -> int:
    """`content query|insert|update|delete --uri URI [--bind NAME:TYPE:VALUE] [--where CONDITION]`."""
    action, *words = call.args or ("",)
    uri = call.option("--uri")
    if action not in ("query", "insert", "update", "delete") or not uri:
        return await call.fail("usage: adb shell content [subcommand] [options]\n", 1)
    rows = call.android.provider_rows.setdefault(uri.rstrip("/"), [])
    bound = _bound(words)
    match action:
        case "insert":
            rows.append({"_id": str(len(rows) + 1), **bound})
        case "delete":
            rows[:] = [row for row in rows if not _holds(row, call.option("--where"))]
        case "update":
            for row in rows:
                if _holds(row, call.option("--where")):
                    row.update(bound)
        case _:
            return await _query(call, [row for row in rows if _holds(row, call.option("--where"))])
    return 0


def _bound(words: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for at, word in enumerate(words[:-1]):
        if word == "--bind":
            name, _, value = words[at + 1].partition(":")
            values[name] = value.partition(":")[2]
    return values


def _holds(row: dict[str, str], condition: str) -> bool:
    match = _CONDITION.fullmatch(condition.strip())
    return match is None or row.get(match[1]) == match[2]


async def _query(call: Call, rows: list[dict[str, str]]) -> int:
    columns = [one for one in call.option("--projection").split(":") if one]
    if not rows:
        return await call.out("No result found.\n")
    for number, row in enumerate(rows):
        names = columns or list(row)
        await call.out(f"Row: {number} " + ", ".join(f"{n}={row.get(n, 'NULL')}" for n in names) + "\n")
    return 0


CONTENT_COMMANDS: Final[dict[str, Command]] = {"content": content}
