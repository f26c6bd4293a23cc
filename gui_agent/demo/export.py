"""Chosen episodes as one zip: a trajectory store to train on, and an HTML file to look at."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gui_agent.errors import DataError
from trajectories.store import TrajectoryStore
from trajectories.viewer import write_viewer


def export_episodes(store: TrajectoryStore, episode_ids: Sequence[str]) -> Path:
    """Write `exports/demo-TIME.zip` beside the episodes; it appears under its name when it is whole.

    The zip holds the folder `trajectories`, as any command takes it, and `episodes.html`.

    Raises:
        DataError: no episode is chosen, or one is not in the store.
    """
    if not episode_ids:
        raise DataError("there is no episode to export yet")
    records = [store.record(episode_id) for episode_id in dict.fromkeys(episode_ids)]
    folder = store.path / "exports"
    folder.mkdir(exist_ok=True)
    name = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.zip"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        root = Path(scratch)
        copy = TrajectoryStore.create(root / "trajectories", source={"command": "demo"})
        copy.append(records)
        write_viewer(records, root / "episodes.html", limit=None, title="Episodes of a demo")
        unfinished = root / name
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(root.rglob("*")):
                if file.is_file() and file != unfinished:
                    archive.write(file, file.relative_to(root))
        return unfinished.rename(folder / name)
