"""Words of a command line as options and operands, as getopt reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`-n 5 -i file`: flags "i", values {"n": "5"}, operands ("file",)."""

    flags: frozenset[str]
    values: dict[str, str]
    operands: tuple[str, ...]


def read_options(words: Sequence[str], with_value: str = "") -> Options:
    """Read short options, which may stand together, and long ones.

    Args:
        words: after the command's name.
        with_value: letters of the options that take the next word, or the rest of their own.
    """
    flags: set[str] = set()
    values: dict[str, str] = {}
    operands: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            operands += rest
            break
        if word.startswith("--"):
            flags.add(word)
        elif len(word) > 1 and word[0] == "-":
            _short(word[1:], with_value, flags, values, rest)
        else:
            operands.append(word)
    return Options(flags=frozenset(flags), values=values, operands=tuple(operands))


def _short(letters: str, with_value: str, flags: set[str], values: dict[str, str], rest: list[str]) -> None:
    for position, letter in enumerate(letters):
        if letter in with_value:
            following = letters[position + 1 :]
            values[letter] = following or (rest.pop(0) if rest else "")
            return
        flags.add(letter)
