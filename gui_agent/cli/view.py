"""`gui-agent view`: look at stored episodes in a browser."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder, store_folder
from gui_agent.errors import ConfigError, DataError
from trajectories.store import TrajectoryStore
from trajectories.viewer import write_viewer
from trajectories.viewer.page import records_of


@dataclass(frozen=True, kw_only=True)
class View:
    """Write one self-contained HTML file that shows stored episodes step by step.

    Give a trajectory store, or the folder of a training or evaluation, whose store is then shown.

    Examples:
        gui-agent view runs/demonstrations
        gui-agent view runs/quickstart/semi_online --output episodes.html --limit 50

    Attributes:
        path: a trajectory store, or a folder that holds one.
        output: the file to write; by default beside the folder, called as it with .view.html after.
        limit: show the first so many episodes; 0 shows all.
    """

    path: Path = option(positional=True)
    output: Path | None = None
    limit: int = 200

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ConfigError(f"limit is {self.limit}; expected 0 (all) or more")

    def run(self) -> int:
        """Write the file and say where it is and what could not be read.

        Raises:
            DataError: there is no readable episode.
        """
        store = TrajectoryStore.open(store_folder(self.path), on_damage="skip")
        records = list(islice(records_of(store), self.limit or None))
        for damage in store.damage:
            print(f"gui-agent: left out: {damage.message}", file=sys.stderr)
        if not records:
            cause = "every file is damaged, see above" if store.damage else "the store is empty"
            raise DataError(f"{store.path} has no episode to show: {cause}")
        output = self.output or self.path.resolve().with_name(f"{self.path.resolve().name}.view.html")
        make_folder(output.parent, "folder of the output")
        if output.is_dir():
            raise ConfigError(f"output {output} is a folder; give the name of a file, such as episodes.html")
        written = write_viewer(records, output, limit=None, title=str(self.path))
        damaged = f"; {len(store.damage)} damaged places were left out" if store.damage else ""
        print(f"{len(records)} of {len(store)} episodes in {written}{damaged}")
        return 0
