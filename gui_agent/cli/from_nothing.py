"""A training that is given a recipe and nothing to start from: the recipe makes that first."""

from __future__ import annotations

from typing import Any

from gui_agent.cli.commands import Command
from gui_agent.cli.config import load_command
from gui_agent.cli.recipes import Settings, recipe_sections


def chain_sections(method: str) -> tuple[str, ...]:
    """Commands of a chain in their order; a recipe of one says something to each."""
    return ("collect", "train grounding", "train sft", method, "eval run")


def from_nothing(name: str, recipe: str, settings: Settings, flags: Settings) -> Command | None:
    """The pipeline that a training stands for whose recipe makes the demonstrations and the warm start.

    Args:
        name: of the command.
        recipe: name or path.
        settings: all that were chosen for the command.
        flags: those of them that the command line chose; they go before the recipe's.

    Returns:
        None if the command has something to start from, or the recipe does not make it.
    """
    is_given = {("model",), ("data",)} & settings.keys()
    if (
        name != "train semi-online"
        or is_given
        or not recipe_sections(recipe).issuperset(chain_sections(name))
    ):
        return None
    chosen = {".".join(path): setting.value for path, setting in flags.items()}
    overrides: dict[str, Any] = {key: chosen.pop(key) for key in ("seed", "output_dir") if key in chosen}
    overrides |= {"training": chosen, "compare_with_sft": False}
    return load_command("pipeline", recipe=recipe, overrides=overrides)
