"""Figures about the rewards of many episodes, summed exactly and without keeping the episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from trainers.rewards.base import StepReward, has_verdict, total
from trajectories.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardFigures:
    """What some episodes were worth.

    Attributes:
        episodes: that were scored.
        unscored: whose device broke, or that nobody could judge; they are in no other figure.
        steps: of the scored episodes.
        success: share of the scored episodes that succeeded; None without any.
        reward: mean over all steps; None without any.
        episode_reward: mean over episodes of their scores (see `total`).
        parts: mean over all steps, by the name of the part.
    """

    episodes: int
    unscored: int
    steps: int
    success: float | None
    reward: float | None
    episode_reward: float | None
    parts: dict[str, float]


@dataclass(slots=True)
class RewardSummary:
    """Adds up episodes one by one.

    Sums are exact, so that the means are those that training wrote to metrics.jsonl about the same
    episodes, to the last digit, in whatever order they come.
    """

    _episodes: int = 0
    _unscored: int = 0
    _steps: int = 0
    _successes: int = 0
    _value: Fraction = Fraction()
    _score: Fraction = Fraction()
    _parts: dict[str, Fraction] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, trajectory: Trajectory, rewards: Sequence[StepReward]) -> None:
        """Count a scored episode."""
        self._episodes += 1
        self._steps += len(rewards)
        self._successes += trajectory.succeeded
        self._score += Fraction(total(rewards))
        for reward in rewards:
            self._value += Fraction(reward.value)
            for name, value in reward.parts.items():
                self._parts[name] = self._parts.get(name, Fraction()) + Fraction(value)
                self._counts[name] = self._counts.get(name, 0) + 1

    def add_unscored(self) -> None:
        """Count an episode that has no rewards."""
        self._unscored += 1

    @property
    def figures(self) -> RewardFigures:
        """The figures so far."""
        return RewardFigures(
            episodes=self._episodes,
            unscored=self._unscored,
            steps=self._steps,
            success=self._successes / self._episodes if self._episodes else None,
            reward=_mean(self._value, self._steps),
            episode_reward=_mean(self._score, self._episodes),
            parts={name: float(value) / self._counts[name] for name, value in self._parts.items()},
        )


def can_be_scored(trajectory: Trajectory) -> bool:
    """Whether training would give rewards to the episode: it was judged, and somebody acted in it."""
    return has_verdict(trajectory) and bool(trajectory.steps)


def _mean(value: Fraction, count: int) -> float | None:
    return float(value) / count if count else None  # rounded twice, as by statistics.fmean
