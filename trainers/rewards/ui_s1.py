"""The reward of UI-S1: form, type and arguments of each action, compared with the expert's.

Source: arXiv:2509.11543, equation 8, and the code that its authors released.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gui_agent.actions import Action, Answer, ParseError, PressKey, action_name
from gui_agent.errors import ConfigError, DataError
from gui_agent.formats.ui_s1 import claimed_action
from gui_agent.matching import ActionMatcher
from trainers.choices import Compat
from trainers.rewards.base import Need, StepReward, where
from trainers.rewards.parts import expert_match
from trajectories.records import Step, Trajectory


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

    @property
    def pays_steps(self) -> bool:
        """Every step by itself."""
        return True

    @property
    def needs(self) -> frozenset[Need]:
        """What the expert did."""
        return frozenset({Need.EXPERT})

    def __call__(self, trajectory: Trajectory) -> list[StepReward]:
        """One reward per step; DataError where no expert is recorded."""
        return [self._step(trajectory, step) for step in trajectory.steps]

    def _step(self, trajectory: Trajectory, step: Step) -> StepReward:
        match = expert_match(trajectory, step, self.matcher)
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

    def _annotation(self, trajectory: Trajectory, step: Step) -> Annotation:
        if not self.annotations:
            return Annotation.GOOD
        listed = trajectory.source.get("annotations", [])
        try:
            return Annotation(listed[step.index])
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{where(trajectory, step)}: expected an annotation, one of {', '.join(Annotation)}: {error}"
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
