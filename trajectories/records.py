"""What is kept of an episode: enough to recompute every reward and advantage.

A `Trajectory` is one episode: a list of `Step`s. A step is one decision of the agent: what it was
shown, what it asked for, what was executed, what an expert would have done, and the exact tokens behind
the request.
Pictures are named by the SHA-256 of their bytes and kept once beside the records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gui_agent.actions import Action, Answer, ParseError
from gui_agent.agent import Candidate, RoleCompletion
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.matching import MatchResult
from gui_agent.observation import Screenshot

SCHEMA_VERSION: Final = 2
_BROUGHT_TO_AN_END: Final = frozenset({StopReason.FINISHED, StopReason.TASK_ENDED, StopReason.EXPERT_END})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimings:
    """Seconds of wall clock spent in one step."""

    observe_s: float = 0.0
    decide_s: float = 0.0
    execute_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decision of the agent.

    Attributes:
        index: 0 for the first step of the episode.
        screenshot_sha256: the picture shown; None where converted data came without pictures.
        width_px, height_px: size of the screen; None where converted data does not say.
        requested: what the agent asked for; None in converted data means the same as `executed`.
        executed: what the world performed; None if nothing.
        source: who chose `executed`.
        error: why the request could not be performed, or None.
        expected: the expert's action at this state, where one is known.
        match: how the request compares with `expected`.
        thought: the actor's reasoning.
        subgoal: the planner's instruction.
        format_ok: the response had the form its format asks for.
        completions: everything sampled for this decision.
        progress: the task's own progress after this step, in [0, 1], where known.
        state_key_before, state_key_after: equal for equal states.
        foreground_app: the app in front when the step was decided.
        elements: labelled widgets as JSON-ready dictionaries, where recorded.
        raw_action: the source's own words for the action, verbatim, in converted data.
        timings: where the time went.
        candidates: everything sampled at this state, where several samples were compared.
    """

    index: int
    screenshot_sha256: str | None
    width_px: int | None
    height_px: int | None
    requested: Action | ParseError | None
    executed: Action | None
    source: ActionSource = ActionSource.POLICY
    error: str | None = None
    expected: ExpertAction | None = None
    match: MatchResult | None = None
    thought: str | None = None
    subgoal: str | None = None
    format_ok: bool = True
    completions: tuple[RoleCompletion, ...] = ()
    progress: float | None = None
    state_key_before: str | None = None
    state_key_after: str | None = None
    foreground_app: str | None = None
    elements: tuple[dict[str, Any], ...] | None = None
    raw_action: str | None = None
    timings: StepTimings = StepTimings()
    candidates: tuple[Candidate, ...] = ()

    @property
    def num_samples(self) -> int:
        """Completions that were sampled for this decision, whether or not they were executed."""
        return max(len(self.candidates), len(self.completions))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One episode.

    Attributes:
        episode_id: unique in a store.
        task_id: equal ids share start state and goal.
        template: the family of the task.
        suite: where the task comes from.
        goal: the instruction.
        steps: in time order.
        stop: why the episode ended.
        outcome: what the task's check said; UNSCORED after a fault.
        group_id: episodes with equal ids are siblings, compared with each other in training.
        seed: of the task instance.
        update: number of weight updates when it was sampled.
        policy: name of the agent that acted ("oracle", a model folder, …).
        split: "train", "eval", … or "".
        device: kind of the world.
        source: provenance, JSON-ready (converter, file, row, licence).
        fault: message of the fault that ended the episode.
        wall_s: seconds from reset to check.
        final_screenshot_sha256: the screen after the last step, where somebody looked.
        schema_version: of this record.
    """

    episode_id: str
    task_id: str
    template: str
    suite: str
    goal: str
    steps: tuple[Step, ...]
    stop: StopReason
    outcome: Outcome
    group_id: str = ""
    seed: int = 0
    update: int = 0
    policy: str = ""
    split: str = ""
    device: str = ""
    source: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None
    wall_s: float = 0.0
    final_screenshot_sha256: str | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def succeeded(self) -> bool:
        """The check says success, and the agent, the world or the recording brought the episode to its end.

        An agent that wanders through the goal until it is stopped has not solved the task (as in
        AndroidWorld). Rewards of online training and reports of evaluation both mean this.
        """
        return self.outcome.verdict is Verdict.SUCCESS and self.stop in _BROUGHT_TO_AN_END

    @property
    def answer(self) -> str:
        """What the agent said to the user last; "" for nothing."""
        said = [step.executed.text for step in self.steps if isinstance(step.executed, Answer)]
        return said[-1] if said else ""

    @property
    def patches(self) -> int:
        """Number of steps at which a replayed expert took over."""
        return sum(step.source is ActionSource.PATCH for step in self.steps)

    @property
    def screenshot_sha256s(self) -> tuple[str, ...]:
        """Every picture that the episode or a prompt of it refers to, once, in order of appearance."""
        names: dict[str, None] = {}
        for step in self.steps:
            sampled = (*step.completions, *(candidate.completion for candidate in step.candidates))
            for completion in sampled:
                names.update(dict.fromkeys(completion.image_sha256s))
            if step.screenshot_sha256 is not None:
                names[step.screenshot_sha256] = None
        if self.final_screenshot_sha256 is not None:
            names[self.final_screenshot_sha256] = None
        return tuple(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """An episode together with the pictures that it refers to, by SHA-256."""

    trajectory: Trajectory
    screenshots: Mapping[str, Screenshot] = field(default_factory=dict)
