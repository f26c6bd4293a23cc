"""Choosing recordings from a store."""

from __future__ import annotations

from gui_agent.errors import ConfigError
from trajectories.records import Trajectory
from trajectories.store import TrajectoryStore


def chosen_trajectories(store: TrajectoryStore, *, split: str, limit: int) -> list[Trajectory]:
    """The first `limit` trajectories (0: all) of a split ("": any).

    Raises:
        ConfigError: there is none.
    """
    splits: set[str] = set()
    chosen: list[Trajectory] = []
    for trajectory in store:
        splits.add(trajectory.split)
        if split in ("", trajectory.split) and (limit == 0 or len(chosen) < limit):
            chosen.append(trajectory)
    if not chosen:
        found = ", ".join(repr(name) for name in sorted(splits)) or "no trajectory at all"
        raise ConfigError(f'{store.path} has no trajectory of split {split!r}; it has {found}; "" takes all')
    return chosen
