"""Whether a checkpoint is where its name says, asked without loading anything."""

from __future__ import annotations

from pathlib import Path

from gui_agent.errors import ConfigError


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
