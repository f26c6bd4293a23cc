"""Intents on the command line of `am`: what is asked for, with which extras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_EXTRAS: Final = frozenset(
    {
        "--es", "-e", "--ei", "--ez", "--el", "--ef", "--eu", "--ecn", "--eia", "--esa", "--ela", "--efa",
        "--eial", "--esal", "--elal",
    }
)  # fmt: skip
_WITH_VALUE: Final = frozenset(
    {"-f", "-t", "-i", "--user", "--display", "--windowingMode", "--receiver-permission", "-P", "-R",
     "--start-profiler", "--sampling"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What `am` was told.

    Attributes:
        action: `-a`.
        data: `-d`.
        categories: `-c`, one or several.
        component: `-n`, "package/activity".
        package: `-p`, or the only word without an option.
        extras: `--es NAME VALUE` and its relatives.
        flags: options without a value, such as "-W" and "-S".
    """

    action: str
    data: str
    categories: tuple[str, ...]
    component: str
    package: str
    extras: Mapping[str, str]
    flags: frozenset[str]

    def __str__(self) -> str:
        """As Android writes it: `Intent { act=… cmp=… }`."""
        parts = [f"act={self.action}"] if self.action else []
        parts += [f"cat=[{','.join(self.categories)}]"] if self.categories else []
        parts += [f"dat={self.data}"] if self.data else []
        parts += [f"pkg={self.package}"] if self.package else []
        parts += [f"cmp={self.component}"] if self.component else []
        parts += ["(has extras)"] if self.extras else []
        return f"Intent {{ {' '.join(parts)} }}"


def read_intent(words: Sequence[str]) -> Intent:
    """Read the words after `am start` or `am broadcast`.

    Raises:
        ValueError: an option lacks its value.
    """
    single = {"-a": "", "-d": "", "-n": "", "-p": ""}
    categories: list[str] = []
    extras: dict[str, str] = {}
    flags: set[str] = set()
    rest = list(words)

    def value(option: str) -> str:
        if not rest:
            raise ValueError(f"Argument expected after {option!r}".replace("'", '"'))
        return rest.pop(0)

    while rest:
        word = rest.pop(0)
        if word in single:
            single[word] = value(word)
        elif word == "-c":
            categories.append(value(word))
        elif word in _EXTRAS:
            name = value(word)
            extras[name] = value(word)
        elif word == "--esn":
            extras[value(word)] = ""
        elif word in _WITH_VALUE:
            value(word)
        elif word.startswith("-"):
            flags.add(word)
        elif "/" in word and ":" not in word:
            single["-n"] = word
        elif ":" in word:
            single["-d"] = word
        else:
            single["-p"] = word
    return Intent(
        action=single["-a"], data=single["-d"], categories=tuple(categories), component=single["-n"],
        package=single["-p"], extras=extras, flags=frozenset(flags),
    )  # fmt: skip
