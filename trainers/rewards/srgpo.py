"""SRGPO's verifiable process reward, in terms of a GUI.

Source: SRGPO in SeeNav-Agent, arXiv:2512.02631, and its released environment and trainer. The rule is
theirs; that the distance is the share of the task that is still to be done is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from gui_agent.errors import ConfigError
from trainers.rewards.base import Need, StepReward
from trainers.rewards.parts import OverLong, error, outcome, progress_after
from trajectories.records import Trajectory

MIN_GAIN = 0.01


def verifiable_process_reward(
    *,
    distance: float,
    last_distance: float,
    visible: bool = False,
    last_visible: bool = False,
    min_gain: float = MIN_GAIN,
) -> float:
    """1 if the step came nearer to the target by more than `min_gain`, or brought it into view; else 0.

    Args:
        distance: to the target after the step; metres in the release, here the share still to be done.
        last_distance: before the step.
        visible: the target is in view after the step.
        last_visible: it was before.
        min_gain: smaller gains are none; in the unit of the distance.

    Source: released environment (reference vectors `srgpo_process_reward`).
    """
    nearer = distance < last_distance - min_gain
    return float(nearer or (visible and not last_visible))


@dataclass(frozen=True, slots=True, kw_only=True)
class SrgpoReward:
    """Steps by whether they made progress, minus penalties; episodes by how they ended.

    The distance is 1 minus the task's own progress; a GUI has nothing like the target coming into view.
    The step reward is what SRGPO compares in random groups, and the score of an episode is its outcome
    alone (the release also takes the penalties of a row from that row's episode score).

    Attributes:
        success: score of an episode that succeeded.
        min_gain: progress of a step that counts as none, in [0, 1).
        error_penalty: taken from each step whose request could not be read or performed.
        over_long_penalty: taken from each step with an over-long response; 0 needs no record of tokens.
        over_long_share: of the limit; the response is over-long beyond.
        max_completion_length: the limit in tokens; None takes the one that was recorded.
    """

    success: float = 1.0
    min_gain: float = MIN_GAIN
    error_penalty: float = 0.1
    over_long_penalty: float = 0.1
    over_long_share: float = 0.7
    max_completion_length: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_gain < 1:
            raise ConfigError(f"min_gain is {self.min_gain}; expected a share of the task in [0, 1)")
        self._over_long()  # impossible settings are told now

    @property
    def pays_steps(self) -> bool:
        """That is its purpose."""
        return True

    @property
    def needs(self) -> frozenset[Need]:
        """Progress and a verdict, and the tokens where their number counts."""
        tokens = {Need.TOKENS} if self.over_long_penalty else set()
        return frozenset({Need.PROGRESS, Need.VERDICT} | tokens)

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """One reward per step.

        Raises:
            DataError: verdict, progress or the limit of responses is not known.
        """
        parts = {
            "progress_made": _progress_made(trajectory, self.min_gain),
            "error": [-self.error_penalty * value for value in error(trajectory)],
        }
        if self.over_long_penalty:
            parts["over_long"] = [-self.over_long_penalty * value for value in self._over_long()(trajectory)]
        return [
            StepReward(
                value=sum(values[index] for values in parts.values()) + 0.0,
                parts={name: values[index] + 0.0 for name, values in parts.items()},
                episode_value=self.success * reached,
            )
            for index, reached in enumerate(outcome(trajectory))
        ]

    def _over_long(self) -> OverLong:
        return OverLong(share=self.over_long_share, max_completion_length=self.max_completion_length)


def _progress_made(trajectory: Trajectory, min_gain: float) -> list[float]:
    values, distance = [], 1.0
    for step in trajectory.steps:
        last_distance, distance = distance, 1.0 - progress_after(trajectory, step)
        made = verifiable_process_reward(distance=distance, last_distance=last_distance, min_gain=min_gain)
        values.append(0.0 if step.error is not None else made)
    return values
