"""Every command line that the help or the documentation shows can be typed as it stands."""

import re
import shlex
from pathlib import Path

import pytest

from gui_agent.cli.commands import COMMANDS, command_class
from gui_agent.cli.docstrings import command_doc
from gui_agent.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "recipes").rglob("*.yaml")),
]

NOT_MEANT = {"eval run --epsodes-per-template 5", "count runs/demonstrations"}
"""What docs/cli.md shows of a mistake, and of a command that the reader is to write."""


def lines_of_help() -> list[str]:
    return [line for name in COMMANDS for line in command_doc(command_class(name)).examples]


def lines_of(page: Path) -> list[str]:
    return page.read_text(encoding="utf-8").splitlines()


def command_lines(lines: list[str]) -> list[str]:
    """The calls of gui-agent among them, each on one line and without variables and comments."""
    whole = re.sub(r"\\\n\s*", "", "\n".join(line.strip().lstrip("#$ ") for line in lines))
    found = re.findall(r"^(?:\w+=\S+ )?gui-agent ([a-z].*)$", whole, flags=re.MULTILINE)
    return [line for line in found if line not in NOT_MEANT]


EXAMPLES = {
    **dict.fromkeys(command_lines(lines_of_help()), "help"),
    **{line: page.name for page in PAGES for line in command_lines(lines_of(page))},
}


def test_examples_are_found() -> None:
    assert len(EXAMPLES) >= 30
    assert set(EXAMPLES.values()) >= {"help", "README.md", "serving.md"}


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_names_settings_that_exist_and_all_that_it_needs(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    code = main([*shlex.split(line, comments=True), "--print-config"])
    assert code == 0, capsys.readouterr().err
