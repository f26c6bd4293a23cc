"""Fathom's reward, which pays successes less the more of their calls were redundant, in rule form.

Source: Fathom (RAPO), arXiv:2509.24107. There a language model labels the calls of a search agent; here
rules over the states of the device do, and the two kinds of call have become one. Both are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from gui_agent.errors import ConfigError
from trainers.rewards.base import Need, StepReward, require_verdict
from trainers.rewards.states import no_op, repeated_action, revisited_state
from trajectories.records import Trajectory


def redundant_steps(trajectory: Trajectory) -> list[bool]:
    """Steps that changed nothing, repeated a request in the same state, or led back to an earlier state."""
    parts = (no_op(trajectory), repeated_action(trajectory), revisited_state(trajectory))
    return [any(values) for values in zip(*parts, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FathomReward:
    """One number per episode, given at its last step.

    With rho the share of redundant steps and d the number of other steps minus the redundant ones:

        success: 0.1 f + max(1 - rho, 0.5)
        failure: 0.1 f + 0.4 min(1, d / 24)

    where f is 1 if every response has the right form. The paper has two kinds of call, each with weight
    0.2 and caps of 8 and 16 calls; a GUI has one kind of step, with their sums.

    Attributes:
        format_weight: of f.
        floor: a success is never worth less.
        exploration_weight: most that a failure can earn by steps that led somewhere new.
        exploration_steps: so many earn it.
    """

    format_weight: float = 0.1
    floor: float = 0.5
    exploration_weight: float = 0.4
    exploration_steps: int = 24

    def __post_init__(self) -> None:
        if self.exploration_steps < 1:
            raise ConfigError(f"exploration_steps is {self.exploration_steps}; expected 1 or more")

    @property
    def pays_steps(self) -> bool:
        """It pays whole episodes, at their end."""
        return False

    @property
    def needs(self) -> frozenset[Need]:
        """A verdict, and the states around every step."""
        return frozenset({Need.VERDICT, Need.STATE_KEYS, Need.STATE_AFTER})

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """One reward per step, zero but for the last.

        Raises:
            DataError: there is no verdict, or the states are not named.
        """
        require_verdict(trajectory)
        if not trajectory.steps:
            return []
        redundant = redundant_steps(trajectory)
        num_steps, num_redundant = len(redundant), sum(redundant)
        gain = min(1.0, (num_steps - 2 * num_redundant) / self.exploration_steps)
        success = max(1.0 - num_redundant / num_steps, self.floor) if trajectory.succeeded else 0.0
        formatted = all(step.format_ok for step in trajectory.steps)
        nothing = StepReward.of(format=0.0, success=0.0, exploration=0.0)
        at_end = StepReward.of(
            format=self.format_weight * formatted,
            success=success,
            exploration=0.0 if trajectory.succeeded else self.exploration_weight * gain,
        )
        return [nothing] * (num_steps - 1) + [at_end]
