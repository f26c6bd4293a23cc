"""Entry point of `gui-agent`: from the command line to an exit code.

Nothing here imports torch, a browser or a device; the module of a command is imported when it is called.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from enum import IntEnum
from itertools import takewhile
from pathlib import Path
from typing import Final

from gui_agent import __version__
from gui_agent.cli.commands import COMMANDS, command_class
from gui_agent.cli.config import build, recipe_settings, to_yaml
from gui_agent.cli.flags import parse_flags
from gui_agent.cli.from_nothing import from_nothing
from gui_agent.cli.help import command_help, program_help
from gui_agent.cli.model_defaults import with_model_defaults
from gui_agent.cli.recipes import overlaid
from gui_agent.cli.schema import did_you_mean, schema_of
from gui_agent.errors import ConfigError, DataError, DependencyError, DeviceError, GuiAgentError

_OWN_FOLDERS: Final = tuple(
    Path(__file__).parents[2] / package
    for package in ("gui_agent", "devices", "trajectories", "trainers", "eval")
)


class ExitCode(IntEnum):
    """What the exit status of `gui-agent` means."""

    OK = 0
    """The command did what it was asked."""
    FAILED = 1
    """The run itself failed, for instance the model or its server, or a bug."""
    USAGE = 2
    """A command, flag or setting is unknown, missing or impossible; nothing was started."""
    DATA = 3
    """Stored or converted data cannot be used."""
    DEVICE = 4
    """A phone, emulator or browser failed."""
    DEPENDENCY = 5
    """A program or package is not installed."""
    INTERRUPTED = 130
    """Interrupted with Ctrl-C (128 + SIGINT)."""


def exit_code_of(error: GuiAgentError) -> ExitCode:
    """The exit code of an error raised on purpose."""
    match error:
        case ConfigError():
            return ExitCode.USAGE
        case DataError():
            return ExitCode.DATA
        case DeviceError():
            return ExitCode.DEVICE
        case DependencyError():
            return ExitCode.DEPENDENCY
        case _:
            return ExitCode.FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors go to standard error in one paragraph.

    An unexpected exception (a bug) keeps its traceback and ends with code 1.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    warnings.formatwarning = _one_line
    if not sys.stderr.isatty():  # in a log file, bars of loading and saving are noise
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except GuiAgentError as error:
        if "--traceback" in arguments:
            traceback.print_exc()
        print(f"gui-agent: error: {error}", file=sys.stderr)
        _print_notes(error)
        return exit_code_of(error)
    except KeyboardInterrupt:
        print("gui-agent: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) is gone. What is left in the buffer must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        # A full disk, a folder that may not be written to: the world's fault, and no bug.
        if "--traceback" in arguments:
            traceback.print_exc()
        print(f"gui-agent: error: {_file_error(error)}", file=sys.stderr)
        _print_notes(error)
        return ExitCode.FAILED


def _print_notes(error: Exception) -> None:
    for note in getattr(error, "__notes__", ()):
        print(f"gui-agent: {note}", file=sys.stderr)


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """What this program warns of, in words; warnings of libraries keep their place."""
    if category is UserWarning and any(Path(filename).is_relative_to(folder) for folder in _OWN_FOLDERS):
        return f"gui-agent: warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _file_error(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    advice = "check the path, its permissions and the space left" if place else "the system refused"
    return f"{place}{error.strerror or error}; {advice} (--traceback shows where)"


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(program_help(), end="")
        return ExitCode.OK if arguments else ExitCode.USAGE
    if arguments[0] in ("--version", "version"):
        print(f"gui-agent {__version__}")
        return ExitCode.OK
    for length in (2, 1):
        name = " ".join(arguments[:length])
        if name in COMMANDS:
            return _run_command(name, arguments[length:])
    return _unknown(arguments)


def _unknown(arguments: list[str]) -> int:
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    first = arguments[0]
    if first in groups and (len(arguments) == 1 or arguments[1] in ("-h", "--help")):
        print(program_help(first), end="")
        return ExitCode.OK if len(arguments) > 1 else ExitCode.USAGE
    if first.startswith("-"):
        raise ConfigError(f"a command must come before {first}; see gui-agent --help")
    words = list(takewhile(lambda word: not word.startswith("-"), arguments[:2]))
    hint = did_you_mean(" ".join(words), COMMANDS)
    if not hint.startswith("did you mean"):
        hint = did_you_mean(first, [*COMMANDS, *groups])
    raise ConfigError(f"unknown command {' '.join(words)!r}; {hint}")


def _run_command(name: str, arguments: list[str]) -> int:
    cls = command_class(name)
    schema = schema_of(cls)
    if "--help" in arguments or "-h" in arguments:
        print(command_help(name, cls, schema), end="")
        return ExitCode.OK
    parsed = parse_flags(arguments, schema)
    recipe = parsed.common.recipe
    settings = recipe_settings(recipe, name, schema) if recipe is not None else {}
    chosen = overlaid(settings, parsed.settings, schema)
    command = build(cls, with_model_defaults(chosen, cls), recipe=recipe)
    if parsed.common.print_config:
        print(to_yaml(name, command), end="")
        return ExitCode.OK
    if recipe is not None:
        command = from_nothing(name, recipe, chosen, parsed.settings) or command
    if parsed.common.dry_run:
        return _dry_run(name, command)
    return command.run()


def _dry_run(name: str, command: object) -> int:
    dry_run = getattr(command, "dry_run", None)
    if dry_run is not None:
        return int(dry_run() or 0)
    print(f"gui-agent {name} would run with these settings; nothing was done.\n")
    print(to_yaml(name, command), end="")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
