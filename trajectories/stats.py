"""What a store holds, in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gui_agent.actions import action_name
from trajectories.records import Step, Trajectory
from trajectories.store import TrajectoryStore

NOTHING_DONE = "none"
"""Stands among the types of action for steps at which nothing was executed."""


@dataclass(slots=True, kw_only=True)
class SliceStats:
    """Episodes of one split and suite: how many, how they ended, and how many steps they have."""

    episodes: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    patched_steps: int = 0

    def add(self, trajectory: Trajectory) -> None:
        """Count an episode."""
        self.episodes += 1
        self.verdicts[trajectory.outcome.verdict.value] += 1
        self.steps += len(trajectory.steps)
        self.patched_steps += trajectory.patches


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Of whole numbers: the least, the three quartiles (nearest rank), the greatest, and the mean."""

    least: int
    quartiles: tuple[int, int, int]
    greatest: int
    mean: float

    @classmethod
    def of(cls, values: Sequence[int]) -> Distribution | None:
        """None where there is no value."""
        if not values:
            return None
        ordered = sorted(values)
        ranks = [math.ceil(share * len(ordered)) - 1 for share in (0.25, 0.5, 0.75)]
        low, middle, high = (ordered[rank] for rank in ranks)
        mean = sum(ordered) / len(ordered)
        return cls(least=ordered[0], quartiles=(low, middle, high), greatest=ordered[-1], mean=mean)


@dataclass(slots=True, kw_only=True)
class StoreStats:
    """Numbers of a store.

    Attributes:
        all: of all episodes together.
        slices: by split and suite.
        templates, policies, devices, stops: episodes of each.
        steps_per_episode: one number for each episode.
        actions: steps by what was executed.
        sources: steps by who chose that.
        patched_episodes: episodes with a step at which a replayed expert took over.
        screens: steps by the size of their screen, "1080x2400".
        labels: steps that have a picture, a thought, a subgoal, boxes of the expert, widgets, and sampled
            responses.
        pictures: how many lie in the store.
        picture_bytes, table_bytes: on disk.
    """

    all: SliceStats = field(default_factory=SliceStats)
    slices: dict[tuple[str, str], SliceStats] = field(default_factory=dict)
    templates: Counter[str] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    steps_per_episode: list[int] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    patched_episodes: int = 0
    screens: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    picture_bytes: int = 0
    table_bytes: int = 0

    def add(self, trajectory: Trajectory) -> None:
        """Count an episode."""
        self.all.add(trajectory)
        self.slices.setdefault((trajectory.split, trajectory.suite), SliceStats()).add(trajectory)
        self.templates[trajectory.template] += 1
        self.policies[trajectory.policy] += 1
        self.devices[trajectory.device] += 1
        self.stops[trajectory.stop.value] += 1
        self.steps_per_episode.append(len(trajectory.steps))
        self.patched_episodes += trajectory.patches > 0
        for step in trajectory.steps:
            self._add_step(step)

    def _add_step(self, step: Step) -> None:
        self.actions[NOTHING_DONE if step.executed is None else action_name(step.executed)] += 1
        self.sources[step.source.value] += 1
        size = "unknown" if step.width_px is None else f"{step.width_px}x{step.height_px}"
        self.screens[size] += 1
        expert = step.expected
        labels = {
            "picture": step.screenshot_sha256 is not None,
            "thought": bool(step.thought or (expert and expert.thought)),
            "subgoal": bool(step.subgoal or (expert and expert.subgoal)),
            "boxes": bool(expert and expert.boxes),
            "elements": bool(step.elements),
            "responses": step.num_samples > 0,
        }
        self.labels.update({name: int(there) for name, there in labels.items()})


def store_stats(store: TrajectoryStore, *, on_episode: Callable[[], None] = lambda: None) -> StoreStats:
    """Count everything; one shard is in memory at a time, and no picture is opened.

    Raises:
        DataError: the store is damaged, and was not opened to skip that.
    """
    stats = StoreStats()
    for trajectory in store:
        stats.add(trajectory)
        on_episode()
    files = [file for sha256 in store.screenshots if (file := store.screenshots.file(sha256)) is not None]
    stats.pictures = len(files)
    stats.picture_bytes = _bytes(files)
    stats.table_bytes = _bytes(store.path.glob("*.parquet"))
    return stats


def _bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)
