"""Whether a checkpoint is where its name says, asked without loading anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gui_agent.errors import ConfigError
from gui_agent.policy import ImageBudget


def check_checkpoint(path: str | Path) -> None:
    """A path that looks local must be a folder; only `name` or `owner/name` may go to the hub.

    Raises:
        ConfigError: it looks local, and there is no checkpoint.
    """
    folder = Path(path)
    looks_local = (
        isinstance(path, Path) or folder.is_absolute() or len(folder.parts) > 2 or str(path)[:1] in ".~"
    )
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"{path}: the folder has no config.json; expected a Hugging Face checkpoint")
    elif looks_local or folder.exists():
        raise ConfigError(
            f"{path}: no such folder; give a Hugging Face checkpoint folder or hub name, or build a tiny "
            "model with trainers.tiny_model.build_tiny_model"
        )


def stated_image_budget(folder: str | Path) -> ImageBudget | None:
    """What the files of an image processor say; None where there are none, as for a name on the hub."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        try:
            said: dict[str, Any] = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
            image = said.get("image_processor", said)
            size = image.get("size", {})
            return ImageBudget(
                factor=int(image["patch_size"] * image["merge_size"]),
                # Older files have both, and then these names count.
                min_pixels=int(image.get("min_pixels") or size["shortest_edge"]),
                max_pixels=int(image.get("max_pixels") or size["longest_edge"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return None
