"""`gui-agent view`: look at stored episodes in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gui_agent.cli.config import option
from gui_agent.errors import ConfigError
from trajectories.store import TrajectoryStore
from trajectories.viewer import write_viewer

_STORE_FOLDERS = ("trajectories", "episodes")


@dataclass(frozen=True, kw_only=True)
class View:
    """Write one self-contained HTML file that shows stored episodes step by step.

    Give a trajectory store, or the folder of a training or evaluation, whose store is then shown.

    Examples:
        gui-agent view runs/demonstrations
        gui-agent view runs/quickstart/semi_online --output episodes.html --limit 50

    Attributes:
        path: a trajectory store, or a folder that holds one.
        output: the file to write; by default view.html beside the store.
        limit: show the first so many episodes; 0 shows all.
    """

    path: Path = option(positional=True)
    output: Path | None = None
    limit: int = 200

    def run(self) -> int:
        """Write the file and say where it is."""
        store = TrajectoryStore.open(self._store_path(), on_damage="skip")
        output = self.output or self.path.with_name(f"{self.path.name}.view.html")
        written = write_viewer(store, output, limit=self.limit or None, title=str(self.path))
        print(f"{min(len(store), self.limit or len(store))} of {len(store)} episodes in {written}")
        return 0

    def _store_path(self) -> Path:
        if (self.path / "meta.json").is_file():
            return self.path
        for name in _STORE_FOLDERS:
            if (self.path / name / "meta.json").is_file():
                return self.path / name
        raise ConfigError(
            f"{self.path} is no trajectory store and holds none under {' or '.join(_STORE_FOLDERS)}; give "
            "the folder that collect, data convert, a training or an evaluation wrote"
        )
