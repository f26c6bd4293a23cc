"""What can be said of a model before it is loaded: whether it is there, and which words it was taught."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any, Final

from gui_agent.errors import ConfigError
from gui_agent.formats.base import PromptFormat
from gui_agent.formats.registry import get_format
from gui_agent.model_settings import ModelSettings
from gui_agent.policies.checkpoint_folder import check_checkpoint
from gui_agent.policies.transformers_roles import RoleFolder

_CHECKPOINT: Final = re.compile(r"checkpoint-(\d+)")


def check_model(model: str) -> None:
    """Refuse a local model that is not there; a name on the hub is looked up when it is loaded.

    Args:
        model: a folder or a hub name; a folder with the adapters of roles is judged by their base.

    Raises:
        ConfigError: there is no such folder, or no checkpoint in it.
    """
    roles = RoleFolder.read(model)
    check_checkpoint(model if roles is None else roles.base_model)


def warn_of_another_format(model: str, asked: str) -> None:
    """Warn where a model was trained in another prompt format than it is going to be asked in.

    Its answers can then not be read, or are worse for no reason that a figure shows. Nothing is said of
    models of which it is not known.

    Args:
        model: a folder that a training wrote, or any other model.
        asked: the prompt format that is set, options included.
    """
    trained = trained_as(Path(model))
    if trained is None or not trained.format:
        return
    try:
        before = get_format(trained.format)
    except ConfigError:  # of another version of this program
        return
    if _dialect(before) != _dialect(get_format(asked)):
        warnings.warn(
            f"{model} was trained in the prompt format {trained.format!r} and is asked in {asked!r}; give "
            "that of its training, unless you mean to compare them",
            stacklevel=3,
        )


def trained_as(model: Path) -> ModelSettings | None:
    """How a model folder was trained to be asked: by its own file, else by its training's checkpoints.

    Returns:
        None if that cannot be told.

    Raises:
        ConfigError: the file is damaged.
    """
    if not model.is_dir():
        return None
    said = ModelSettings.read(model)
    if said is not None:
        return said
    folder = model.resolve().parent
    settings = settings_of(folder) or newest_settings(folder)
    return ModelSettings.of_training(settings) if settings else None


def newest_settings(folder: Path) -> dict[str, Any] | None:
    """The settings in the newest checkpoint of a training's folder, or None if there is none."""
    numbered = [
        (int(match[1]), path) for path in folder.iterdir() if (match := _CHECKPOINT.fullmatch(path.name))
    ]
    for _, path in sorted(numbered, reverse=True):
        settings = settings_of(path)
        if settings is not None:
            return settings
    return None


def settings_of(checkpoint: Path) -> dict[str, Any] | None:
    """The settings that a checkpoint was written with; None if it is none."""
    try:
        found = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "output_dir" in found else None


def _dialect(prompt_format: PromptFormat) -> tuple[type, Any]:
    return type(prompt_format), getattr(prompt_format, "options", None)
