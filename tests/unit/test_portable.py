"""What runs on Linux only by accident: modules that other systems lack, and their other default encoding."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("gui_agent", "devices", "trajectories", "trainers", "eval")
POSIX_ONLY = frozenset(
    {"curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
)


@functools.cache
def _nodes() -> Sequence[tuple[str, ast.AST]]:
    """Imports and calls with the place where they stand."""
    found: list[tuple[str, ast.AST]] = []
    for path in (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))):
        for node in _on_every_system(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node))
    return found


def _on_every_system(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is in it, without what stands under `if sys.platform ...:`."""
    if not (isinstance(node, ast.If) and ast.unparse(node.test).startswith("sys.platform ")):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _on_every_system(child)


def test_no_module_is_imported_that_only_posix_systems_have() -> None:
    assert not [place for place, node in _nodes() if POSIX_ONLY & set(_imported(node))]


def _imported(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name.partition(".")[0] for alias in node.names)
        case ast.ImportFrom(module=str(module)):
            yield module.partition(".")[0]


def test_text_files_are_read_and_written_in_an_encoding_that_is_named() -> None:
    """Without one it is that of the system, on Windows not UTF-8."""
    calls = [(place, node) for place, node in _nodes() if isinstance(node, ast.Call)]
    assert not [place for place, call in calls if _leaves_encoding_open(call)]


def _leaves_encoding_open(call: ast.Call) -> bool:
    if "encoding" in {keyword.arg for keyword in call.keywords}:
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "read_text":
        return not call.args
    if name == "write_text":
        return len(call.args) == 1
    modes = [each.value for each in call.args if isinstance(each, ast.Constant)]
    return name in ("open", "fdopen") and any(mode in ("r", "w", "a", "x", "r+", "w+") for mode in modes)
