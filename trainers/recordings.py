"""Choosing recordings from a store."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from gui_agent.errors import ConfigError, DataError
from trajectories.records import Trajectory
from trajectories.store import TrajectoryStore


def chosen_trajectories(store: TrajectoryStore, *, split: str, limit: int) -> list[Trajectory]:
    """The first `limit` trajectories (0: all) of a split ("": any).

    Raises:
        ConfigError: there is none of that split.
        DataError: the store is empty.
    """
    splits: set[str] = set()
    chosen: list[Trajectory] = []
    for trajectory in store:
        splits.add(trajectory.split)
        if split in ("", trajectory.split) and (limit == 0 or len(chosen) < limit):
            chosen.append(trajectory)
    if not splits:
        raise DataError(
            f"{store.path} has no trajectory at all; fill it with gui-agent collect or gui-agent data convert"
        )
    if not chosen:
        found = ", ".join(repr(name) for name in sorted(splits))
        raise ConfigError(f'{store.path} has no trajectory of split {split!r}; it has {found}; "" takes all')
    return chosen


def successful(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Those that succeeded: nobody should imitate the others, and a warning counts them.

    An episode that reached its goal and was stopped by a limit does not show how to end, see
    `Trajectory.succeeded`.

    Raises:
        DataError: there is none.
    """
    good = [trajectory for trajectory in trajectories if trajectory.succeeded]
    left_out = len(trajectories) - len(good)
    words = f"{left_out} of {len(trajectories)} trajectories did not succeed or were not scored"
    if not good:
        raise DataError(
            f"{words}, and none is left to imitate; record successful ones with gui-agent collect "
            "--only-success"
        )
    if left_out:
        warnings.warn(f"{words} and are left out: they are nothing to imitate", stacklevel=2)
    return good
