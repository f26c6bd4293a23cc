"""Help texts of the program, of a group of commands, and of one command."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from typing import Any

from gui_agent import __version__
from gui_agent.cli.commands import COMMANDS
from gui_agent.cli.docstrings import command_doc
from gui_agent.cli.recipes import recipe_names
from gui_agent.cli.schema import REQUIRED, Option, OptionPath, Schema, is_bool, type_name

_INTRODUCTION = "Train vision-language agents to operate phones and browsers from screenshots, and run them."

_EXIT_CODES = """\
exit codes:
  0 success             1 the run failed        2 usage or settings     3 data
  4 device              5 something is not installed                  130 interrupted"""

_COMMON_FLAGS = (
    ("--recipe NAME", "a recipe that comes with the program, or the path of a YAML file"),
    ("--print-config", "print the effective settings as a recipe and stop"),
    ("--dry-run", "check everything, say what would be done, and do nothing"),
    ("--traceback", "show where an error came from"),
    ("-h, --help", "print this help and stop"),
)


def program_help(group: str = "") -> str:
    """Help of the program, or of the commands whose names begin with a group such as `train`."""
    names = [name for name in COMMANDS if not group or name.startswith(group + " ")]
    width = max(len(name) for name in names) + 2
    lines = [
        f"usage: gui-agent {group + ' ' if group else ''}COMMAND [--recipe NAME] [--setting value ...]",
        "",
        *([] if group else [f"gui-agent {__version__}. {_INTRODUCTION}", ""]),
        "commands:",
        *(f"  {name:{width}}{COMMANDS[name].summary}" for name in names),
        "",
        "'gui-agent COMMAND --help' shows the settings of a command.",
    ]
    if not group:
        recipes = ", ".join(recipe_names())
        lines += [
            "",
            "examples:",
            "  gui-agent pipeline --recipe quickstart",
            "  gui-agent train semi-online --recipe quickstart --learning-rate 1e-4",
            "  gui-agent env --json",
            *(["", f"recipes: {recipes}"] if recipes else []),
            "",
            _EXIT_CODES,
        ]
    return "\n".join(lines) + "\n"


def command_help(name: str, cls: type, schema: Schema) -> str:
    """Help of one command: summary, settings by section, common flags, examples."""
    doc = command_doc(cls)
    positionals = [option for option in schema.options.values() if option.positional]
    words = "".join(f" [{option.path[-1].upper()}]" for option in positionals)
    lines = [f"usage: gui-agent {name}{words} [--recipe NAME] [--setting value ...]", "", doc.summary]
    if doc.description:
        lines += ["", doc.description]
    for section in [(), *schema.sections]:
        options = [option for path, option in schema.options.items() if path[:-1] == section]
        if options:
            lines += ["", _section_heading(section, schema), *_option_lines(options)]
    lines += ["", "common:", *_table(_COMMON_FLAGS)]
    if doc.examples:
        lines += ["", "examples:", *("  " + line for line in doc.examples)]
    return "\n".join(lines) + "\n"


def _section_heading(path: OptionPath, schema: Schema) -> str:
    if not path:
        return "settings:"
    section = schema.sections[path]
    off = f" Switched off by --{'.'.join(path).replace('_', '-')} none." if section.optional else ""
    return f"{'.'.join(path)}: {section.summary}{off}".rstrip(": ")


def _option_lines(options: Iterable[Option]) -> list[str]:
    rows = []
    for option in options:
        if option.path == ("recipe",):  # stands among the common flags
            continue
        metavar = "" if is_bool(option.annotation) else " " + _metavar(option.annotation)
        short = f"-{option.letter}, " if option.letter else ""
        rows.append((short + option.flag + metavar, f"{option.help.rstrip('.')} {_default(option)}".strip()))
    return list(_table(rows))


def _metavar(annotation: Any) -> str:
    name = type_name(annotation).removesuffix(" or none")
    if name.startswith("true or false or "):
        return f"[{_upper(name.removeprefix('true or false or '))}]"
    name = name.removeprefix("path or ")  # one, or a list of them
    if name.startswith("list of "):
        return f"{_upper(name.removeprefix('list of '))} ..."
    if name.startswith("mapping"):
        return "KEY=VALUE ..."
    return _upper(name)


def _upper(name: str) -> str:
    names = {"whole number": "INT", "number": "FLOAT", "text": "TEXT", "path": "PATH"}
    return names.get(name, name)


def _default(option: Option) -> str:
    if option.default is REQUIRED:
        return "(required)"
    # Imported here: config builds on this module's neighbours, not the other way round.
    from gui_agent.cli.config import plain

    value = plain(option.default)
    if value is None or value == [] or value == {} or value == "":
        return ""
    if isinstance(value, bool):
        return "(default: on)" if value else "(default: off)"
    if isinstance(value, list):
        value = " ".join(str(item) for item in value)
    return f"(default: {value})"


def _table(rows: Iterable[tuple[str, str]]) -> Iterable[str]:
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    column = 34
    for left, right in rows:
        wrapped = textwrap.wrap(right, max(30, width - column)) or [""]
        if len(left) + 4 > column:
            yield f"  {left}"
        else:
            yield f"  {left:{column - 2}}{wrapped.pop(0)}".rstrip()
        yield from (" " * column + line for line in wrapped if line)
