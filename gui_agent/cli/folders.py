"""Places to write to, checked before the work and not after it."""

from __future__ import annotations

import os
from pathlib import Path

from gui_agent.errors import ConfigError

_STORE_FOLDERS = ("trajectories", "episodes")


def make_folder(path: Path, option: str) -> Path:
    """Make a folder unless it is there, and make sure that files can be made in it.

    Args:
        path: the folder.
        option: the setting that names it, for the message.

    Raises:
        ConfigError: something else is there, or nothing may be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{option} {path} cannot be made ({error.strerror}); choose a folder that you may write to"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {path} may not be written to; choose another folder, or change its mode")
    return path


def store_folder(path: Path) -> Path:
    """The trajectory store at a path, or in the folder of a training or an evaluation.

    Raises:
        ConfigError: there is none.
    """
    for folder in (path, *(path / name for name in _STORE_FOLDERS)):
        if (folder / "meta.json").is_file():
            return folder
    raise ConfigError(
        f"{path} is no trajectory store and holds none under {' or '.join(_STORE_FOLDERS)}; give "
        "the folder that collect, data convert, a training or an evaluation wrote"
    )
