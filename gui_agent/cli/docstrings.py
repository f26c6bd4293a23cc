"""Help texts read from Google-style docstrings, so that each option is documented once."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

_HEADING = re.compile(r"^(Attributes|Args|Examples?|Raises|Source|Note|Notes):\s*$")
_ITEM = re.compile(r"^ {4}(\w+): *(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDoc:
    """The docstring of a command: first line, paragraphs, and the lines of its `Examples:` block."""

    summary: str
    description: str
    examples: tuple[str, ...]


def command_doc(cls: type) -> CommandDoc:
    """Split the docstring of a command."""
    blocks = _blocks(cls)
    summary, _, description = blocks.get("", "").strip().partition("\n")
    examples = blocks.get("Examples", blocks.get("Example", ""))
    return CommandDoc(
        summary=summary.strip(),
        description=description.strip(),
        examples=tuple(inspect.cleandoc(examples).splitlines()) if examples.strip() else (),
    )


def summary_of(cls: type) -> str:
    """First line of a class's docstring; empty where it has none."""
    return command_doc(cls).summary


def attribute_docs(cls: type) -> dict[str, str]:
    """What a dataclass, and those it inherits from, say of their fields under `Attributes:`."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        blocks = _blocks(base)
        docs.update(_items(blocks.get("Attributes", "") or blocks.get("Args", "")))
    return docs


def _blocks(cls: type) -> dict[str, str]:
    doc = cls.__dict__.get("__doc__") or ""
    if doc.startswith(f"{cls.__name__}("):  # written by @dataclass where there was no docstring
        doc = ""
    blocks: dict[str, str] = {}
    heading = ""
    for line in inspect.cleandoc(doc).splitlines():
        match = _HEADING.match(line)
        if match:
            heading = match[1]
            blocks[heading] = ""
        else:
            blocks[heading] = blocks.get(heading, "") + line + "\n"
    return blocks


def _items(block: str) -> dict[str, str]:
    items: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        match = _ITEM.match(line)
        if match:
            name = match[1]
            items[name] = match[2].strip()
        elif name and line.strip():
            items[name] = f"{items[name]} {line.strip()}".strip()
    return items
