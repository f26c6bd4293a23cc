"""`gui-agent view`: look at stored episodes in a browser."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from gui_agent.cli.commands import command_class
from gui_agent.cli.config import load_command, option
from gui_agent.cli.folders import make_folder, store_folder
from gui_agent.cli.schema import schema_of
from gui_agent.errors import ConfigError, DataError
from gui_agent.viewer.credits import RewardScorer, StoreCredits, TrainingScorer
from gui_agent.viewer.runs import RunSource
from gui_agent.web.serving import ServingOptions, serve
from trainers.checkpoint import Checkpoints, load_config
from trainers.online_config import OnlineConfig
from trainers.rl_config import RLConfig
from trajectories.damage import OnDamage
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore
from trajectories.viewer import Annotations, write_viewer
from trajectories.viewer.index import StoreIndex
from trajectories.viewer.page import records_of


@dataclass(frozen=True, kw_only=True)
class View:
    """Show stored episodes step by step: as one HTML file, or served (--serve) for stores of any size.

    Give a trajectory store, or the folder of a training or evaluation, whose store is then shown. The file
    needs no server and can be sent to others. The server has filters, groups of siblings, comparisons and
    curves, reads what a page needs when it is asked for, and writes nothing; it is reached from this
    computer only, by the address that is printed.

    Examples:
        gui-agent view runs/demonstrations
        gui-agent view runs/quickstart/semi_online --output episodes.html --limit 50
        gui-agent view runs/quickstart/semi_online --serve
        gui-agent view runs/b --serve --compare runs/a --reward ui_s1 --port 8123
        gui-agent view runs/a --serve --host 0.0.0.0 --allow-remote --password-env VIEW_PASSWORD

    Attributes:
        path: a trajectory store, or a folder that holds one.
        output: the file to write; by default beside the folder, called as it with .view.html after.
        limit: the file shows the first so many episodes; 0 shows all.
        serve: serve pages instead of writing a file.
        compare: serve another run before it: the same tasks side by side, and curves in one chart.
        reward: show the rewards of this name, with options after a colon; a training's folder shows that
            training's rewards, returns and advantages without it.
        serving: where pages are served, and to whom.
    """

    path: Path = option(positional=True)
    output: Path | None = None
    limit: int = 200
    serve: bool = False
    compare: Path | None = None
    reward: str = ""
    serving: ServingOptions = field(default_factory=ServingOptions)

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ConfigError(f"limit is {self.limit}; expected 0 (all) or more")
        if not self.serve and self.compare:
            raise ConfigError("compare is for the served pages; add --serve")
        if self.serve and self.output:
            raise ConfigError("either a file is written (--output) or pages are served (--serve)")
        if self.reward:
            RewardScorer(self.reward)  # a wrong name is told at once

    def run(self) -> int:
        """Write the file, or serve until interrupted.

        Raises:
            DataError: there is no readable episode to write.
        """
        return self._serve() if self.serve else self._write()

    def _serve(self) -> int:
        from gui_agent.viewer.app import create_viewer

        folders = [self.path] if self.compare is None else [self.compare, self.path]
        sources = [run_source(folder, reward=self.reward) for folder in folders]
        if len({source.store.resolve() for source in sources}) < len(sources):
            raise ConfigError(f"compare names {self.compare}, which is what is shown already")
        serve(create_viewer(sources), self.serving, title=f"viewing {' and '.join(map(str, folders))}")
        return 0

    def _write(self) -> int:
        source = run_source(self.path, reward=self.reward)
        store = TrajectoryStore.open(source.store, on_damage=OnDamage.SKIP)
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
        notes = _annotations(source, store, records)
        about = source.about_rewards
        written = write_viewer(
            records, output, limit=None, annotations=notes, title=str(self.path), subtitle=about
        )
        damaged = f"; {len(store.damage)} damaged places were left out" if store.damage else ""
        print(f"{len(records)} of {len(store)} episodes in {written}{damaged}")
        return 0


def _annotations(source: RunSource, store: TrajectoryStore, records: Sequence[EpisodeRecord]) -> Annotations:
    """What the steps were worth; their whole updates are looked at for it, as in training."""
    if source.scorer is None:
        return {}
    index = StoreIndex(source.store)
    entries = index.refresh().by_id
    credits = StoreCredits(store, index, source.scorer)
    names = [record.trajectory.episode_id for record in records]
    found = {name: credits.of_episode(entries[name]) for name in names if name in entries}
    if credits.problem:
        print(f"gui-agent: no rewards: {credits.problem}", file=sys.stderr)
    return found


def run_source(folder: Path, *, reward: str = "") -> RunSource:
    """What the viewer is to show of a folder.

    Args:
        folder: a trajectory store, or the folder of a training or evaluation.
        reward: by name; empty takes that of the training.

    Raises:
        ConfigError: there is no store, or no such reward.
    """
    store = store_folder(folder)
    if reward:
        about = f"rewards are {reward}"
        return RunSource(name=str(folder), store=store, scorer=RewardScorer(reward), about_rewards=about)
    settings = training_settings(store.resolve().parent)
    if settings is None:
        return RunSource(name=str(folder), store=store)
    try:
        config = training_config(settings)
    except ConfigError as error:
        about = f"the training's rewards cannot be computed: {error}"
        return RunSource(name=str(folder), store=store, about_rewards=about)
    scorer = TrainingScorer(config, by_outcome=isinstance(config, OnlineConfig))
    about = f"rewards, returns and advantages of {config.algorithm} with reward {config.reward}"
    return RunSource(name=str(folder), store=store, scorer=scorer, about_rewards=about)


def training_settings(folder: Path) -> dict[str, Any] | None:
    """The settings in the newest checkpoint of a reinforcement learning, or None if there is none."""
    for checkpoint in reversed(Checkpoints(folder).complete()):
        with suppress(DataError):
            settings = load_config(checkpoint)
            return settings if "num_generations" in settings else None
    return None


def training_config(settings: dict[str, Any]) -> RLConfig:
    """The settings of a training as its command reads them; those it no longer has are left out.

    Raises:
        ConfigError: a value is impossible now.
    """
    name = "train semi-online" if "data" in settings else "train online"
    known = schema_of(command_class(name)).options
    given = {key: value for key, value in settings.items() if (key,) in known}
    command = load_command(name, overrides=given, asks_models=False)
    assert isinstance(command, RLConfig)
    return command
