"""Rewards: pure functions from a recorded episode to one number per step, with its parts.

Every reward can be computed again from the stored trajectory.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from gui_agent.actions import Action, Answer, ParseError, PressKey, action_name
from gui_agent.device import StopReason, Verdict
from gui_agent.errors import ConfigError, DataError
from gui_agent.formats.ui_s1 import claimed_action
from gui_agent.matching import ActionMatcher, MatchResult
from trainers.config import Compat
from trajectories.records import Step, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReward:
    """The reward of one step; `value` is the sum of `parts`."""

    value: float
    parts: dict[str, float]

    @classmethod
    def of(cls, **parts: float) -> StepReward:
        """The sum of named parts."""
        return cls(value=sum(parts.values()), parts=parts)


class RewardFn(Protocol):
    """One reward per step of an episode; changes nothing and draws nothing."""

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """Judge.

        Raises:
            DataError: the episode lacks what the reward is computed from.
        """
        ...


class Annotation(StrEnum):
    """What an expert step is worth imitating (the release's undocumented `annotation`)."""

    GOOD = "GOOD"
    NEUTRAL = "NEUTRAL"
    HARMFUL = "HARMFUL"


def ui_s1_step_reward(*, format_ok: bool, type_match: bool, exact_match: bool) -> StepReward:
    """0.1 for the form; then 0.4 for the type; then 0.5 for the exact action: 0, 0.1, 0.5 or 1.

    Source: UI-S1, arXiv:2509.11543, equation 8.
    """
    right_type = format_ok and type_match
    return StepReward.of(
        format=0.1 * format_ok,
        type=0.4 * right_type,
        exact=0.5 * (right_type and exact_match),
    )


def ui_s1_release_step_reward(
    *,
    format_ok: bool,
    judged: bool,
    type_match: bool,
    exact_match: bool,
    annotation: Annotation = Annotation.GOOD,
) -> StepReward:
    """0.1 for the form plus 0.9 times 0, 0.1, 0.5 or 1 for the action, whatever the form.

    Args:
        format_ok: the response has the right form.
        judged: the action could be compared at all.
        type_match: the right type.
        exact_match: the right action.
        annotation: HARMFUL turns the action's score round, NEUTRAL fixes it at one half.

    Source: the training code that UI-S1 released (reference vectors `uis1_step_reward`).
    """
    if not judged:
        return StepReward.of(format=0.1 * format_ok, action=0.0)
    score = (1.0 if exact_match else 0.5) if type_match else 0.1
    match annotation:
        case Annotation.HARMFUL:
            score = 1.0 - score
        case Annotation.NEUTRAL:
            score = 0.5
        case Annotation.GOOD:
            pass
    return StepReward.of(format=0.1 * format_ok, action=0.9 * score)


@dataclass(frozen=True, slots=True, kw_only=True)
class UiS1Reward:
    """Compares each step with the expert's.

    Attributes:
        compat: the paper's equation 8, or the release's formula.
        matcher: compares again, from the recorded request and expectation; None takes the match that
            was recorded when the episode was sampled.
        annotations: per-step annotations stand in the trajectory's source as a list `annotations`
            (release only); step `index` reads entry `index`.
    """

    compat: Compat = Compat.PAPER
    matcher: ActionMatcher | None = None
    annotations: bool = False

    def __post_init__(self) -> None:
        if self.annotations and self.compat is not Compat.RELEASE:
            raise ConfigError("annotations belong to the release's reward; set compat to release")

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """One reward per step; DataError where no expert is recorded."""
        return [self._step(trajectory, step) for step in trajectory.steps]

    def _step(self, trajectory: Trajectory, step: Step) -> StepReward:
        match = self._match(trajectory, step)
        if self.compat is Compat.PAPER:
            return ui_s1_step_reward(
                format_ok=step.format_ok, type_match=match.type_match, exact_match=match.exact_match
            )
        return ui_s1_release_step_reward(
            format_ok=step.format_ok,
            judged=_release_judges(step),
            type_match=match.type_match,
            exact_match=match.exact_match,
            annotation=self._annotation(trajectory, step),
        )

    def _match(self, trajectory: Trajectory, step: Step) -> MatchResult:
        where = f"trajectory {trajectory.episode_id!r}, step {step.index}"
        if self.matcher is None:
            if step.match is None:
                raise DataError(f"{where}: no match with an expert is recorded; sample it by replay")
            return step.match
        requested = step.requested if step.requested is not None else step.executed
        if step.expected is None or requested is None or step.width_px is None or step.height_px is None:
            raise DataError(f"{where}: comparing again needs request, expected action and screen size")
        return self.matcher.match(requested, step.expected, step.width_px, step.height_px)

    def _annotation(self, trajectory: Trajectory, step: Step) -> Annotation:
        if not self.annotations:
            return Annotation.GOOD
        listed = trajectory.source.get("annotations", [])
        try:
            return Annotation(listed[step.index])
        except (IndexError, ValueError) as error:
            raise DataError(
                f"trajectory {trajectory.episode_id!r}, step {step.index}: expected an annotation, one of "
                f"{', '.join(Annotation)}: {error}"
            ) from error


def _release_judges(step: Step) -> bool:
    """Whether the release's matcher gives an answer and does not stumble.

    It stumbles over arguments that are missing or of the wrong kind, but looks at them only once the
    name of the action is the expected one.
    """
    if not isinstance(step.requested, ParseError):
        return True
    claimed = claimed_action(step.requested.text)
    if claimed is None or step.expected is None:
        return False
    return claimed != _release_name(step.expected.action)


def _release_name(expert: Action) -> str:
    """The name that the release expects for an expert's action."""
    if isinstance(expert, Answer | PressKey):
        return "type"
    name = action_name(expert)
    return "terminate" if name == "finish" else name


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

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """One reward per step.

        Raises:
            DataError: the device broke or nobody could judge; leave such episodes out of the group first.
        """
        verdict = trajectory.outcome.verdict
        if trajectory.stop is StopReason.DEVICE_FAULT or verdict is Verdict.UNSCORED:
            raise DataError(
                f"trajectory {trajectory.episode_id!r} has no verdict (stop {trajectory.stop.value}, "
                f"outcome {verdict.value}); unscored is not zero: filter it out before rewards are given"
            )
        rewards, reached = [], 0.0
        for step in trajectory.steps:
            made = 0.0 if step.progress is None else step.progress - reached
            reached += made
            last = step is trajectory.steps[-1]
            rewards.append(
                StepReward.of(
                    outcome=self.success * (last and trajectory.succeeded),
                    progress=self.progress_weight * made,
                    format=-self.format_penalty * (not step.format_ok),
                    error=-self.error_penalty * (step.error is not None),
                )
            )
        return rewards


REWARDS: Final[dict[str, Callable[[], RewardFn]]] = {
    "ui_s1": UiS1Reward,
    "ui_s1_release": lambda: UiS1Reward(compat=Compat.RELEASE),
    "task": TaskReward,
    "task_progress": lambda: TaskReward(progress_weight=1.0),
}


def get_reward(name: str) -> RewardFn:
    """The reward of that name; `ConfigError` with a suggestion if there is none."""
    if name in REWARDS:
        return REWARDS[name]()
    close = difflib.get_close_matches(name, REWARDS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"unknown reward {name!r}; {hint}known are {', '.join(REWARDS)}")


def total(rewards: Sequence[StepReward]) -> float:
    """The undiscounted sum."""
    return sum(reward.value for reward in rewards)
