"""The episodes of a session that have ended: kept in a store, judged by a person, exported."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from gui_agent.demo.commands import SetOutcome
from gui_agent.demo.episode import episode_event
from gui_agent.demo.events import EpisodeEvent, ExportedEvent
from gui_agent.demo.export import export_episodes
from gui_agent.demo.protocol import ProtocolError
from gui_agent.device import Outcome, Verdict
from gui_agent.observation import Screenshot
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore

_VOTES: Final = {
    Verdict.SUCCESS: "a person says that it was done",
    Verdict.FAILURE: "a person says that it was not done",
}


class Archive:
    """Keeps episodes; the store is used by one thread at a time.

    Attributes:
        store: where the episodes go.
        episodes: those of this session that have ended, oldest first.
    """

    def __init__(self, store: TrajectoryStore) -> None:
        """Nothing is kept yet."""
        self.store = store
        self.episodes: list[EpisodeEvent] = []
        self._checked: dict[str, Outcome] = {}
        self._pictures: dict[str, Screenshot] = {}
        self._lock = asyncio.Lock()

    async def keep(self, record: EpisodeRecord) -> EpisodeEvent:
        """Store an episode, if anything happened in it.

        Raises:
            OSError: it cannot be written.
        """
        trajectory = record.trajectory
        self._pictures = dict(record.screenshots)  # those of an episode that is not stored are shown, too
        if trajectory.steps:
            async with self._lock:
                await asyncio.to_thread(self.store.append, record)
        self._checked[trajectory.episode_id] = trajectory.outcome
        self.episodes.append(episode_event(trajectory, stored=bool(trajectory.steps)))
        return self.episodes[-1]

    async def judge(self, command: SetOutcome) -> EpisodeEvent:
        """Take a person's word for the outcome, or take it back.

        Raises:
            ProtocolError: there is no such episode or verdict.
        """
        ids = [event.episode_id for event in self.episodes if event.stored]
        if command.episode_id not in ids:
            raise ProtocolError(f"no stored episode {command.episode_id!r} of this session", code="bad_value")
        if command.verdict not in list(Verdict):
            raise ProtocolError("verdict must be success, failure or unscored", code="bad_value")
        outcome = _voted(self._checked[command.episode_id], Verdict(command.verdict))
        async with self._lock:
            await asyncio.to_thread(self.store.judge, command.episode_id, outcome)
        (place,) = (i for i, event in enumerate(self.episodes) if event.episode_id == command.episode_id)
        verdict, detail = outcome.verdict.value, outcome.detail
        self.episodes[place] = replace(self.episodes[place], verdict=verdict, detail=detail)
        return self.episodes[place]

    async def export(self, chosen: tuple[str, ...]) -> ExportedEvent:
        """Make a zip of the chosen episodes, or of all of this session.

        Raises:
            DataError: there is none, or one is not in the store.
        """
        ids = chosen or tuple(event.episode_id for event in self.episodes if event.stored)
        async with self._lock:
            made = await asyncio.to_thread(export_episodes, self.store, ids)
        return ExportedEvent(
            path=f"/exports/{made.name}",
            name=made.name,
            num_episodes=len(set(ids)),
            num_bytes=made.stat().st_size,
        )

    def exported(self, name: str) -> Path | None:
        """A zip that was exported, or None."""
        file = self.store.path / "exports" / name
        return file if name.endswith(".zip") and "/" not in name and file.is_file() else None

    def picture(self, sha256: str) -> Screenshot | None:
        """A screen of a kept episode, or None if there is none of that name."""
        if (found := self._pictures.get(sha256)) is not None:
            return found
        return self.store.screenshot(sha256) if sha256 in self.store.screenshots else None


def _voted(checked: Outcome, verdict: Verdict) -> Outcome:
    """The outcome with a person's word before that of the check; without a word the check's stands."""
    if verdict is Verdict.UNSCORED:
        return checked
    said = f"{_VOTES[verdict]}; the check: {checked.verdict.value}"
    return replace(checked, verdict=verdict, detail=said + (f" ({checked.detail})" if checked.detail else ""))
