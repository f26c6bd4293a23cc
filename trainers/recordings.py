"""Choosing recordings from a store."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gui_agent.device import StopReason, Verdict
from gui_agent.errors import ConfigError, DataError
from gui_agent.observation import Screenshot
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft_config import SFTConfig
from trajectories.damage import OnDamage
from trajectories.records import Trajectory
from trajectories.replay_task import ReplayTask
from trajectories.store import TrajectoryStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """What there is to imitate or to replay.

    Attributes:
        trajectories: those that succeeded, in the order of the store, at least one.
        screenshots: their pictures, by SHA-256, read when shown.
        num_skipped: damaged recordings, and damaged files of the store, that were left out.
    """

    trajectories: tuple[Trajectory, ...]
    screenshots: Mapping[str, Screenshot]
    num_skipped: int = 0

    @property
    def metrics(self) -> dict[str, int]:
        """What to say of them with every update; nothing where all are there."""
        return {"recordings/skipped": self.num_skipped} if self.num_skipped else {}


def read_recordings(config: SFTConfig | SemiOnlineConfig) -> Recordings:
    """The recordings that `config` names.

    With `on_damage` "skip" every recording is read and every picture decoded here, and what cannot be used
    is left out with a warning each. With "raise" that is left to whoever makes tasks of them.

    Raises:
        ConfigError: the store has none of that split.
        DataError: none succeeded, or none is undamaged; with "raise", the store is damaged.
    """
    store = open_store(config)
    chosen = chosen_trajectories(store, split=config.split, limit=config.max_trajectories)
    if config.on_damage is OnDamage.RAISE:
        return Recordings(trajectories=tuple(successful(chosen)), screenshots=store.screenshots)
    reasons = [damage.message for damage in store.damage]
    replayable = []
    for trajectory in successful(chosen):
        try:
            ReplayTask.from_trajectory(trajectory, store.screenshots).check_pictures()
        except DataError as error:
            reasons.append(f"{store.path}: {error}")
        else:
            replayable.append(trajectory)
    for reason in reasons:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    if not replayable:
        raise DataError(f"{store.path} has no undamaged recording; {_damage(reasons)}")
    return Recordings(trajectories=tuple(replayable), screenshots=store.screenshots, num_skipped=len(reasons))


def open_store(config: SFTConfig | SemiOnlineConfig) -> TrajectoryStore:
    """The store that `config` names, without its damaged files where those are to be left out.

    Raises:
        DataError: there is none, or it is damaged.
    """
    return TrajectoryStore.open(config.data, on_damage=config.on_damage)


def _damage(reasons: Sequence[str]) -> str:
    return f"{len(reasons)} recordings or files are damaged, the first: {reasons[0]}"


def chosen_trajectories(store: TrajectoryStore, *, split: str, limit: int) -> list[Trajectory]:
    """The first `limit` trajectories (0: all) of a split ("": any).

    Raises:
        ConfigError: there is none of that split.
        DataError: the store is empty, or nothing in it can be read.
    """
    splits: set[str] = set()
    chosen: list[Trajectory] = []
    for trajectory in store:
        splits.add(trajectory.split)
        if split in ("", trajectory.split) and (limit == 0 or len(chosen) < limit):
            chosen.append(trajectory)
    if not splits and store.damage:
        reasons = [damage.message for damage in store.damage]
        raise DataError(f"nothing in {store.path} can be read; {_damage(reasons)}")
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

    An episode that reached its goal and was stopped by a limit does not show when to end, see
    `Trajectory.succeeded`. One that a person stopped does: there the person has said when, and each of its
    steps leads to that end.

    Raises:
        DataError: there is none.
    """
    good = [found for found in trajectories if found.succeeded or _was_stopped_at_goal(found)]
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


def _was_stopped_at_goal(trajectory: Trajectory) -> bool:
    """A person stopped it, and the check or a person says that it was done."""
    return trajectory.stop is StopReason.USER and trajectory.outcome.verdict is Verdict.SUCCESS
