"""`gui-agent score`: the rewards of stored episodes, computed again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gui_agent.cli.collect import progress_bar
from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder, store_folder
from gui_agent.errors import ConfigError, DataError
from gui_agent.named_options import suggestion
from trainers.rewards import (
    RewardFigures,
    RewardSummary,
    StepReward,
    can_be_scored,
    checked,
    get_reward,
)
from trajectories.records import Trajectory
from trajectories.store import TrajectoryStore

_AS_WIDE_AS_IT_IS = 10_000
"""Columns there may be where no terminal ends."""


class GroupBy(StrEnum):
    """What the rows of the table are."""

    TEMPLATE = "template"
    UPDATE = "update"
    """One row per update of a training; row 0 is the first line of its metrics.jsonl."""
    POLICY = "policy"
    SPLIT = "split"
    SUITE = "suite"


@dataclass(slots=True)
class _Scores:
    """The figures of each row of the table, and of all episodes together."""

    everything: RewardSummary = field(default_factory=RewardSummary)
    rows: dict[str, RewardSummary] = field(default_factory=dict)

    def row(self, name: str) -> RewardSummary:
        """The row of that name, a new one if there is none."""
        return self.rows.setdefault(name, RewardSummary())

    def in_order(self) -> list[tuple[str, RewardSummary]]:
        """Numbers by size, words by the alphabet."""
        return sorted(
            self.rows.items(), key=lambda item: (int(item[0]) if item[0].isdigit() else -1, item[0])
        )


@dataclass(frozen=True, kw_only=True)
class Score:
    """Compute the rewards of stored episodes again, under any reward.

    Give a trajectory store, or the folder of a training or evaluation, whose store is then scored. Rewards
    are functions of the stored episodes: under the reward of a training, --by update --whole-groups gives
    the `reward` and `reward/PART` of its metrics.jsonl. Episodes whose device broke or that nobody could
    judge are counted apart and are in no mean. An episode that lacks what the reward is computed from stops
    the command. Rewards and their parts: docs/algorithms.md.

    Examples:
        gui-agent score runs/quickstart/semi_online --reward ui_s1 --by update --whole-groups
        gui-agent score runs/online --reward task:format_penalty=0.5 --template settings_toggle
        gui-agent score runs/online --reward process:outcome=1,progress=0.5,no_op=-0.1,repeated_action=-0.1
        gui-agent score runs/online --reward fathom --split train --limit 500 --json
        gui-agent score runs/online --reward srgpo_vpr:max_completion_length=64 --output steps.jsonl

    Attributes:
        path: a trajectory store, or a folder that holds one.
        reward: by name, with options after a colon: ui_s1, ui_s1_release, task, task_progress, srgpo_vpr,
            fathom, or process with weights of parts.
        by: what the rows of the table are: template, update, policy, split or suite.
        split: only episodes of this split; empty takes all.
        template: only episodes of this template; empty takes all.
        limit: only the first so many of them; 0 takes all.
        whole_groups: siblings of an unscored episode count as unscored too, as in training.
        json: print one JSON object instead of a table.
        output: file to write one JSON line per step to, with the parts of its reward.
    """

    path: Path = option(positional=True)
    reward: str
    by: GroupBy = GroupBy.TEMPLATE
    split: str = ""
    template: str = ""
    limit: int = 0
    whole_groups: bool = False
    json: bool = False
    output: Path | None = None

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ConfigError(f"limit is {self.limit}; expected 0 (all) or more")
        get_reward(self.reward)

    def run(self) -> int:
        """Score, print the figures and write the steps.

        Raises:
            ConfigError: no episode is of that split and template.
            DataError: the store is empty, or an episode lacks what the reward is computed from.
        """
        store = TrajectoryStore.open(store_folder(self.path))
        scores = self._score(store)
        if self.json:
            print(json.dumps(self._report(store, scores), indent=2))
        else:
            self._print(store, scores)
        return 0

    def dry_run(self) -> int:
        """Check the reward and the store."""
        store = TrajectoryStore.open(store_folder(self.path))
        print(f"would score up to {self.limit or len(store)} of {len(store)} episodes with {self.reward}")
        return 0

    def _score(self, store: TrajectoryStore) -> _Scores:
        """The figures of every row and of all together; one shard is in memory at a time."""
        reward = get_reward(self.reward)
        scores = _Scores()
        with ExitStack() as stack:
            lines = None if self.output is None else stack.enter_context(_WholeFile(self.output))
            bar = stack.enter_context(progress_bar())
            task = bar.add_task("episodes", total=min(self.limit or len(store), len(store)))
            for siblings in self._together(store):
                scored = all(can_be_scored(trajectory) for trajectory in siblings)
                for trajectory in siblings:
                    row = scores.row(str(getattr(trajectory, self.by.value)))
                    rewards = checked(reward, trajectory) if scored else None
                    _count(trajectory, rewards, (row, scores.everything))
                    if lines is not None and rewards is not None:
                        lines.writelines(_lines(trajectory, rewards))
                bar.advance(task, len(siblings))
        return scores

    def _together(self, store: TrajectoryStore) -> Iterator[Sequence[Trajectory]]:
        """Episodes that are scored or left out together: each alone, or whole groups of siblings."""
        chosen = self._chosen(store)
        if not self.whole_groups:
            yield from ([trajectory] for trajectory in chosen)
            return
        for _, siblings in groupby(chosen, key=lambda each: each.group_id or each.episode_id):
            yield list(siblings)  # a training stores siblings side by side

    def _chosen(self, store: TrajectoryStore) -> Iterator[Trajectory]:
        """Episodes of the split and the template.

        Raises:
            ConfigError: there is none.
            DataError: there is none at all.
        """
        seen: dict[str, set[str]] = {"split": set(), "template": set()}

        def wanted(trajectory: Trajectory) -> bool:
            for name, values in seen.items():
                values.add(getattr(trajectory, name))
            right_split = self.split in ("", trajectory.split)
            return right_split and self.template in ("", trajectory.template)

        found = False
        for trajectory in islice(filter(wanted, store), self.limit or None):
            found = True
            yield trajectory
        if not len(store):
            raise DataError(f"{store.path} holds no episode; fill it with gui-agent collect or a training")
        if not found:
            raise ConfigError(self._nothing(store, seen))

    def _nothing(self, store: TrajectoryStore, seen: dict[str, set[str]]) -> str:
        for name, values in seen.items():
            asked = getattr(self, name)
            if asked and asked not in values:
                return f"{store.path} has no episode of {name} {asked!r}; {suggestion(asked, sorted(values))}"
        return f"{store.path} has no episode of split {self.split!r} and template {self.template!r} at once"

    def _report(self, store: TrajectoryStore, scores: _Scores) -> dict[str, Any]:
        reward = get_reward(self.reward)
        return {
            "store": str(store.path),
            "reward": self.reward,
            "pays_steps": reward.pays_steps,
            "needs": sorted(reward.needs),
            "all": asdict(scores.everything.figures),
            self.by.value: {name: asdict(row.figures) for name, row in scores.in_order()},
        }

    def _print(self, store: TrajectoryStore, scores: _Scores) -> None:
        everything = scores.everything.figures
        title = f"{self.reward} on {store.path}"
        table = Table(title=title, caption="means per step; parts with their weights", box=SIMPLE)
        table.add_column(self.by.value, overflow="fold")
        for name in ("episodes", "success", "steps", "reward", "per episode", *everything.parts):
            table.add_column(name, justify="right", overflow="fold")
        for name, row in scores.in_order():
            table.add_row(name or "–", *_cells(row.figures, everything))
        table.add_section()
        table.add_row("all", *_cells(everything, everything))
        console = Console(markup=False, width=None if sys.stdout.isatty() else _AS_WIDE_AS_IT_IS)
        console.print(table)
        if everything.unscored:
            console.print(
                f"{everything.unscored} episodes are unscored (their device broke, or nobody could judge "
                "them) and in none of these figures"
            )
        if self.output is not None:
            console.print(f"{everything.steps} steps in {self.output}")


def _count(
    trajectory: Trajectory, rewards: Sequence[StepReward] | None, summaries: Sequence[RewardSummary]
) -> None:
    for summary in summaries:
        if rewards is None:
            summary.add_unscored()
        else:
            summary.add(trajectory, rewards)


def _lines(trajectory: Trajectory, rewards: Sequence[StepReward]) -> Iterator[str]:
    """The steps of an episode as they are written to a file."""
    for step, given in zip(trajectory.steps, rewards, strict=True):
        line = {
            "episode_id": trajectory.episode_id,
            "group_id": trajectory.group_id,
            "template": trajectory.template,
            "update": trajectory.update,
            "step": step.index,
            "reward": given.value,
            "parts": given.parts,
        }
        if given.episode_value is not None:
            line["episode_value"] = given.episode_value
        yield json.dumps(line) + "\n"


def _cells(figures: RewardFigures, everything: RewardFigures) -> list[str]:
    return [
        f"{figures.episodes} + {figures.unscored}?" if figures.unscored else str(figures.episodes),
        "–" if figures.success is None else f"{figures.success:.1%}",
        str(figures.steps),
        _number(figures.reward),
        _number(figures.episode_reward),
        *(_number(figures.parts.get(name)) for name in everything.parts),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


class _WholeFile:
    """A file of text that gets its name when it is complete."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise ConfigError(f"output {path} is a folder; give the name of a file, such as steps.jsonl")
        make_folder(path.parent, "folder of the output")
        self._path = path
        self._unfinished = path.with_name(path.name + ".tmp")

    def __enter__(self) -> TextIO:
        self._file = self._unfinished.open("w", encoding="utf-8")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink()
