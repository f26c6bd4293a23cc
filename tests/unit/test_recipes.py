"""The recipes that come with the program name known settings of existing commands."""

from __future__ import annotations

import pytest

from gui_agent.cli.commands import COMMANDS, command_class
from gui_agent.cli.config import recipe_settings
from gui_agent.cli.recipes import RECIPES_DIR, parse_yaml, recipe_names
from gui_agent.cli.schema import schema_of

SECTIONS = [
    (recipe, section)
    for recipe in recipe_names()
    for section in parse_yaml((RECIPES_DIR / f"{recipe}.yaml").read_text(encoding="utf-8"))
    if section != "defaults"
]


@pytest.mark.parametrize(("recipe", "command"), SECTIONS)
def test_every_section_of_a_recipe_is_valid(recipe: str, command: str) -> None:
    assert command in COMMANDS
    recipe_settings(recipe, command, schema_of(command_class(command)))


def test_every_command_can_be_imported_and_described() -> None:
    from gui_agent.cli.docstrings import command_doc

    for name in COMMANDS:
        cls = command_class(name)
        assert callable(getattr(cls, "run", None)), name
        assert command_doc(cls).summary, name
        assert command_doc(cls).examples, name
        for option in schema_of(cls).options.values():
            assert option.help, f"{name}: {option.flag} has no help"
