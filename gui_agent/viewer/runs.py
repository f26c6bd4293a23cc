"""A run as the viewer sees it: a store, its list, what its steps were worth, and its curves."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from gui_agent.viewer.credits import Scorer, StoreCredits
from gui_agent.viewer.curves import METRICS_FILE
from trajectories.damage import OnDamage
from trajectories.store import TrajectoryStore
from trajectories.viewer.index import Listing, StoreIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSource:
    """What to show.

    Attributes:
        name: for people.
        store: folder of the trajectory store.
        scorer: says what steps were worth, if anybody can.
        about_rewards: where the rewards come from, or why there are none.
    """

    name: str
    store: Path
    scorer: Scorer | None = None
    about_rewards: str = ""


@dataclass(slots=True)
class ViewedRun:
    """An open run; only read. May be asked by several threads.

    Attributes:
        source: what it was opened from.
        number: in addresses.
    """

    source: RunSource
    number: int
    store: TrajectoryStore = field(init=False)
    index: StoreIndex = field(init=False)
    credits: StoreCredits | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _seen: Listing = field(init=False)

    def __post_init__(self) -> None:
        self.store = TrajectoryStore.open(self.source.store, on_damage=OnDamage.SKIP)
        self.index = StoreIndex(self.source.store)
        self._seen = self.index.refresh()
        if self.source.scorer is not None:
            self.credits = StoreCredits(self.store, self.index, self.source.scorer)

    @property
    def name(self) -> str:
        """For people."""
        return self.source.name

    @property
    def metrics(self) -> Path | None:
        """The file of metrics beside the store, if there is one."""
        for folder in (self.source.store, self.source.store.parent):
            if (folder / METRICS_FILE).is_file():
                return folder / METRICS_FILE
        return None

    def listing(self) -> Listing:
        """All episodes, those included that were appended since."""
        found = self.index.refresh()
        with self._lock:
            if found is not self._seen:
                self.store.refresh()
                self._seen = found
        return found

    def total(self, episode_id: str) -> float | None:
        """Sum of an episode's rewards, once it is known."""
        return None if self.credits is None else self.credits.totals.get(episode_id)
