"""What training made of stored steps: rewards with their parts, returns and advantages, computed again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import Final, Protocol

from gui_agent.errors import GuiAgentError
from gui_agent.observation import Screenshot
from gui_agent.policy import AgentRole
from gui_agent.viewer.quiet import Requests
from trainers.annotate import StepCredit, step_credits
from trainers.rapo import Rapo
from trainers.rewards import can_be_scored, checked, get_reward
from trainers.rl_config import RLConfig
from trajectories.records import Trajectory
from trajectories.store import TrajectoryStore
from trajectories.viewer import CandidateAnnotation, StepAnnotation
from trajectories.viewer.index import EpisodeEntry, StoreIndex

Notes = Mapping[str, Sequence[StepAnnotation]]
_KEPT_BATCHES: Final = 8
_EPISODES_AT_ONCE: Final = 64


class Scope(StrEnum):
    """Which episodes must be looked at together."""

    EPISODE = "episode"
    UPDATE = "update"
    """Advantages compare siblings, and the filter of groups all groups of an update."""
    RUN = "run"
    """Stored successes of earlier updates are learnt from."""


class Scorer(Protocol):
    """Computes what steps were worth."""

    @property
    def scope(self) -> Scope:
        """What `score` must be given at once."""
        ...

    def score(self, trajectories: Sequence[Trajectory], screenshots: Mapping[str, Screenshot]) -> Notes:
        """Annotations by episode id; episodes that nobody could judge are left out."""
        ...


class TrainingScorer:
    """The reward, returns and advantages of a training, from its settings."""

    def __init__(self, config: RLConfig, *, by_outcome: bool) -> None:
        """Arguments as of `trainers.annotate.step_credits`."""
        self._config = config
        self._by_outcome = by_outcome

    @property
    def scope(self) -> Scope:
        """Whole updates; with stored successes, the whole run."""
        return Scope.UPDATE if Rapo.of(self._config) is None else Scope.RUN

    def score(self, trajectories: Sequence[Trajectory], screenshots: Mapping[str, Screenshot]) -> Notes:
        """As training did."""
        found = step_credits(trajectories, self._config, by_outcome=self._by_outcome, screenshots=screenshots)
        return {name: [annotation_of(credit) for credit in credits] for name, credits in found.items()}


class RewardScorer:
    """Any reward by name, without returns and advantages."""

    scope = Scope.EPISODE

    def __init__(self, name: str) -> None:
        """Raises `ConfigError` if there is no such reward."""
        self._reward = get_reward(name)

    def score(self, trajectories: Sequence[Trajectory], screenshots: Mapping[str, Screenshot]) -> Notes:
        """The rewards of each episode."""
        return {
            trajectory.episode_id: [
                StepAnnotation(reward=reward.value, parts=reward.parts)
                for reward in checked(self._reward, trajectory)
            ]
            for trajectory in trajectories
            if can_be_scored(trajectory)
        }


class StoreCredits:
    """The annotations of a store, where a page asks for them; sums of rewards in the background.

    May be asked by several threads.
    """

    def __init__(self, store: TrajectoryStore, index: StoreIndex, scorer: Scorer) -> None:
        """Nothing is computed yet."""
        self._store = store
        self._index = index
        self._scorer = scorer
        self._lock = threading.Lock()
        self._batches: OrderedDict[str, Notes] = OrderedDict()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.totals: dict[str, float] = {}
        self.num_summed = 0
        self.problem = ""

    def of_episode(self, entry: EpisodeEntry) -> Sequence[StepAnnotation]:
        """Annotations of its steps; none if they cannot be computed, and `problem` then says why."""
        key = self._batch_of(entry)
        with self._lock:
            if key not in self._batches:
                entries = [each for each in self._index.refresh().entries if self._batch_of(each) == key]
                self._batches[key] = self._score(entries)
                while len(self._batches) > _KEPT_BATCHES:
                    self._batches.popitem(last=False)
            self._batches.move_to_end(key)
            return self._batches[key].get(entry.episode_id, ())

    def start(self, requests: Requests) -> None:
        """Sum up the rewards of all episodes in a thread, so that lists can be sorted by them.

        Args:
            requests: what the thread lets go before.
        """
        self._thread = threading.Thread(target=self._sum_up, args=(requests,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _batch_of(self, entry: EpisodeEntry) -> str:
        match self._scorer.scope:
            case Scope.EPISODE:
                return entry.episode_id
            case Scope.UPDATE:
                return str(entry.update)
            case Scope.RUN:
                return ""

    def _score(self, entries: Sequence[EpisodeEntry]) -> Notes:
        names = [entry.episode_id for entry in entries]
        try:
            return self._scorer.score(list(self._store.select(names)), self._store.screenshots)
        except GuiAgentError as error:  # episodes of another kind than the reward is for, say
            self.problem = str(error)
            return {}

    def _sum_up(self, requests: Requests) -> None:
        for entries in self._in_batches():
            requests.wait_until_none()
            if self._stopped.is_set():
                return
            for name, notes in self._score(entries).items():
                self.totals[name] = sum(note.reward or 0.0 for note in notes)
            self.num_summed += len(entries)

    def _in_batches(self) -> Iterator[list[EpisodeEntry]]:
        entries = self._index.refresh().entries
        if self._scorer.scope is Scope.EPISODE:
            rest = iter(entries)
            while batch := list(islice(rest, _EPISODES_AT_ONCE)):
                yield batch
            return
        together: dict[str, list[EpisodeEntry]] = {}
        for entry in entries:
            together.setdefault(self._batch_of(entry), []).append(entry)
        yield from together.values()


def annotation_of(credit: StepCredit) -> StepAnnotation:
    """A credit as pages show it: one advantage, or one for each role that learnt."""
    advantages = {} if credit.advantage is None else {"advantage": credit.advantage}
    if AgentRole.PLANNER.value in credit.by_role:  # two roles learn from a step
        advantages = dict(credit.by_role)
    return StepAnnotation(
        reward=credit.reward,
        parts=credit.parts,
        return_=credit.return_,
        advantages=advantages,
        candidates=[
            CandidateAnnotation(reward=each.reward, parts=each.parts, advantage=each.advantage)
            for each in credit.candidates
        ],
    )
