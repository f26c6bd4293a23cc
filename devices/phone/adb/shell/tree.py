"""What a line of shell text means: a tree of commands, as `parse` makes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """Characters as they stand; `quoted` ones are no pattern and are never split."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """`$name`, or `${name:-default}`."""

    name: str
    quoted: bool
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """`$(script)`: what the script prints."""

    script: Script
    quoted: bool


Word = tuple["Literal | Variable | Substitution", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """`2>&1`: descriptor 2, operator ">&", target "1"."""

    descriptor: int
    operator: str
    target: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Simple:
    """A command with its words; `assignments` stand in front of it."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`{ …; }`, or `( … )` if it is a subshell."""

    body: Script
    subshell: bool
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class If:
    """Conditions with what to do, tried in order, and what to do if none holds."""

    branches: tuple[tuple[Script, Script], ...]
    otherwise: Script | None
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class For:
    """`for name in words; do body; done`."""

    name: str
    words: tuple[Word, ...]
    body: Script
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class While:
    """`while condition; do body; done`, or `until`."""

    condition: Script
    body: Script
    until: bool
    redirects: tuple[Redirect, ...]


Node = Simple | Group | If | For | While


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Commands from left to right; `negated` by "!"."""

    commands: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A pipeline, and what it hangs on: ";" always, "&&" success before it, "||" failure before it."""

    condition: str
    pipeline: Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Pipelines one after the other."""

    items: tuple[Item, ...]
