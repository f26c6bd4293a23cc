"""Rewards of live episodes by what the task's own check says, as online RL usually pays them."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.rewards.base import Need, StepReward, require_verdict
from trainers.rewards.parts import bad_format, error, outcome, progress
from trajectories.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReward:
    """Judges live episodes by what the task's own check says.

    Attributes:
        success: given to the last step of an episode that succeeded, see `Trajectory.succeeded`: reaching
            the goal counts only if the agent says that it is done, or the world ends the task.
        progress_weight: times the progress of the task that a step made; 0 ignores progress.
        format_penalty: taken from each step whose response has the wrong form.
        error_penalty: taken from each step whose request could not be performed.
    """

    success: float = 1.0
    progress_weight: float = 0.0
    format_penalty: float = 0.1
    error_penalty: float = 0.0

    @property
    def pays_steps(self) -> bool:
        """Only where progress or errors count."""
        return bool(self.progress_weight or self.error_penalty)

    @property
    def needs(self) -> frozenset[Need]:
        """A verdict, and progress where it counts."""
        return frozenset({Need.VERDICT} | ({Need.PROGRESS} if self.progress_weight else set()))

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """One reward per step.

        Raises:
            DataError: the device broke or nobody could judge (leave such episodes out of the group first),
                or progress counts and is not recorded.
        """
        require_verdict(trajectory)
        parts = {
            "outcome": [self.success * value for value in outcome(trajectory)],
            "format": [-self.format_penalty * value for value in bad_format(trajectory)],
        }
        if self.progress_weight:
            parts["progress"] = [self.progress_weight * value for value in progress(trajectory)]
        if self.error_penalty:
            parts["error"] = [-self.error_penalty * value for value in error(trajectory)]
        return [
            StepReward.of(**{name: values[index] + 0.0 for name, values in parts.items()})
            for index in range(len(trajectory.steps))
        ]
