"""What a reward is: one number per step of a recorded episode, with its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gui_agent.device import Verdict
from gui_agent.errors import DataError
from trajectories.records import Step, Trajectory


class Need(StrEnum):
    """What a reward is computed from, beyond what every recorded step has."""

    EXPERT = "expert"
    """A recorded match with an expert's action: episodes of replay have one."""
    VERDICT = "verdict"
    """The task's check said success or failure."""
    PROGRESS = "progress"
    """The task's own progress after every step."""
    STATE_KEYS = "state_keys"
    """Names of the states before the steps."""
    STATE_AFTER = "state_after"
    """Names of the states that the steps led to, the last one included: live episodes have them."""
    TOKENS = "tokens"
    """The sampled tokens, and the limit they were sampled under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReward:
    """The reward of one step.

    Attributes:
        value: what the step is worth by itself: the sum of `parts`.
        parts: by name, weights applied.
        episode_value: what the step adds to the score of its episode, where that is something else than
            `value`: SRGPO judges steps by what they did and episodes by how they ended.
    """

    value: float
    parts: dict[str, float]
    episode_value: float | None = None

    @classmethod
    def of(cls, **parts: float) -> StepReward:
        """The sum of named parts."""
        return cls(value=sum(parts.values()), parts=parts)


class RewardFn(Protocol):
    """One reward per step of an episode; changes nothing and draws nothing."""

    @property
    def pays_steps(self) -> bool:
        """Whether it judges what single steps did; form, length and the end of an episode are none."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """What an episode must have so that it can be judged."""
        ...

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """Judge.

        Raises:
            DataError: the episode lacks what the reward is computed from.
        """
        ...


def checked(reward: RewardFn, trajectory: Trajectory) -> tuple[StepReward, ...]:
    """The rewards of an episode, one finite number for each of its steps.

    Raises:
        DataError: a number is missing, not finite or one too many; the message names episode, step and part.
    """
    rewards = tuple(reward(trajectory))
    if len(rewards) != len(trajectory.steps):
        raise DataError(
            f"trajectory {trajectory.episode_id!r} has {len(trajectory.steps)} steps, but "
            f"{type(reward).__name__} gave {len(rewards)} rewards; a reward gives one for every step"
        )
    for step, given in zip(trajectory.steps, rewards, strict=True):
        numbers = {f"part {name!r}": value for name, value in given.parts.items()}
        numbers["value"] = given.value
        if given.episode_value is not None:
            numbers["episode_value"] = given.episode_value
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise DataError(
                    f"{where(trajectory, step)}: {name} of {type(reward).__name__} is {value}; a reward is a "
                    "finite number: correct the reward, or leave the episode out"
                )
    return rewards


def total(rewards: Sequence[StepReward]) -> float:
    """The score of an episode: the undiscounted sum."""
    return sum(each.value if each.episode_value is None else each.episode_value for each in rewards)


def where(trajectory: Trajectory, step: Step) -> str:
    """Names a step in a message."""
    return f"trajectory {trajectory.episode_id!r}, step {step.index}"


def has_verdict(trajectory: Trajectory) -> bool:
    """Whether the episode could be judged: nothing broke, and its task has a check."""
    return not trajectory.stop.is_fault and trajectory.outcome.verdict is not Verdict.UNSCORED


def require_verdict(trajectory: Trajectory) -> None:
    """Refuse an episode that nobody could judge.

    Raises:
        DataError: the device broke, or the task has no verdict.
    """
    if not has_verdict(trajectory):
        raise DataError(
            f"trajectory {trajectory.episode_id!r} has no verdict (stop {trajectory.stop.value}, "
            f"outcome {trajectory.outcome.verdict.value}); unscored is not zero: filter it out before "
            "rewards are given"
        )
