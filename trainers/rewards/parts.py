"""The parts that process rewards are made of: what can be verified about each step of an episode.

A part is a pure function of the recorded episode that gives one number per step. What a part needs and
the episode does not have is a `DataError` that names the step, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gui_agent.errors import ConfigError, DataError
from gui_agent.matching import ActionMatcher, MatchResult
from trainers.rewards.base import Need, require_verdict, where
from trainers.rewards.states import no_op, repeated_action, revisited_state, screen_changed
from trajectories.records import Step, Trajectory

Values = list[float]
Compute = Callable[[Trajectory], Values]

SAMPLING_LIMIT: Final = "max_completion_length"
"""Where the source of a trajectory says how many tokens a response could have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSettings:
    """Settings of those parts that have any.

    Attributes:
        matcher: compares with the expert again; None takes the matches that were recorded.
        over_long_share: see `OverLong.share`.
        max_completion_length: see `OverLong.max_completion_length`.
    """

    matcher: ActionMatcher | None = None
    over_long_share: float = 0.7
    max_completion_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardPart:
    """One thing that can be verified about a step.

    Attributes:
        compute: one number per step of an episode.
        configure: `compute` with other settings, where the part has any.
        lowest, highest: range of the numbers.
        pays_steps: it judges what a step did, not how it was written or how the episode ended.
        needs: what an episode must have.
        summary: what the number means, in one line.
        source: the method that it comes from.
    """

    compute: Compute
    configure: Callable[[PartSettings], Compute] | None = None
    lowest: float = 0.0
    highest: float = 1.0
    pays_steps: bool
    needs: frozenset[Need] = frozenset()
    summary: str
    source: str


def format_ok(trajectory: Trajectory) -> Values:
    """1 where the response has the form that its prompt format asks for."""
    return [float(step.format_ok) for step in trajectory.steps]


def bad_format(trajectory: Trajectory) -> Values:
    """1 where the response has another form: the penalty that leaves well-formed steps at 0."""
    return [float(not step.format_ok) for step in trajectory.steps]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionType:
    """1 where the request is the same kind of action as the expert's (see `expert_match`)."""

    matcher: ActionMatcher | None = None

    def __call__(self, trajectory: Trajectory) -> Values:
        """Compare every step."""
        return [float(expert_match(trajectory, step, self.matcher).type_match) for step in trajectory.steps]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """1 where the request is the expert's action, arguments included (see `expert_match`)."""

    matcher: ActionMatcher | None = None

    def __call__(self, trajectory: Trajectory) -> Values:
        """Compare every step."""
        return [float(expert_match(trajectory, step, self.matcher).exact_match) for step in trajectory.steps]


def expert_match(trajectory: Trajectory, step: Step, matcher: ActionMatcher | None = None) -> MatchResult:
    """How a step compares with the expert's.

    Args:
        trajectory: named in messages.
        step: to be compared.
        matcher: compares again; None takes the match that was recorded when the episode was sampled.

    Raises:
        DataError: no match is recorded, or what comparing again needs.
    """
    if matcher is None:
        if step.match is None:
            raise DataError(
                f"{where(trajectory, step)}: no match with an expert is recorded; sample it by replay, or "
                "compare again where the expert's action is recorded (ui_s1:matcher=ui_s1)"
            )
        return step.match
    requested = step.requested if step.requested is not None else step.executed
    if step.expected is None or requested is None or step.width_px is None or step.height_px is None:
        raise DataError(
            f"{where(trajectory, step)}: comparing again needs request, expected action and screen size"
        )
    return matcher.match(requested, step.expected, step.width_px, step.height_px)


def outcome(trajectory: Trajectory) -> Values:
    """1 at the last step of an episode that succeeded, see `Trajectory.succeeded`."""
    require_verdict(trajectory)
    values = [0.0] * len(trajectory.steps)
    if values:
        values[-1] = float(trajectory.succeeded)
    return values


def progress(trajectory: Trajectory) -> Values:
    """How much of the task's own progress a step made, negative where it undid some.

    The sum over an episode is the progress at its end, since every task begins at 0.
    """
    reached = 0.0
    values = []
    for step in trajectory.steps:
        now = progress_after(trajectory, step)
        values.append(now - reached)
        reached = now
    return values


def progress_after(trajectory: Trajectory, step: Step) -> float:
    """The task's own progress after a step, in [0, 1].

    Raises:
        DataError: nobody asked, or the task has none.
    """
    if step.progress is None:
        raise DataError(
            f"{where(trajectory, step)}: the progress of the task is not recorded; take a suite whose check "
            "tells progress (virtual phone, MiniWoB++), record with track_progress on, or leave progress out "
            "of the reward"
        )
    return step.progress


def error(trajectory: Trajectory) -> Values:
    """1 where the request could not be performed; in a replay, where it is not what the expert did."""
    return [float(step.error is not None) for step in trajectory.steps]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverLong:
    """1 where a response of the step is longer than a share of the limit.

    Attributes:
        share: of the limit, in (0, 1].
        max_completion_length: the limit in tokens; None takes the one that the trajectory was sampled under.
    """

    share: float = 0.7
    max_completion_length: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"over_long_share is {self.share}; expected a share in (0, 1]")
        if self.max_completion_length is not None and self.max_completion_length < 1:
            raise ConfigError(
                f"max_completion_length is {self.max_completion_length}; expected 1 or more tokens"
            )

    def __call__(self, trajectory: Trajectory) -> Values:
        """Count the tokens of every step."""
        longest = self.share * self._limit(trajectory)
        return [float(_longest_response(trajectory, step) > longest) for step in trajectory.steps]

    def _limit(self, trajectory: Trajectory) -> int:
        limit = self.max_completion_length or trajectory.source.get(SAMPLING_LIMIT)
        if not isinstance(limit, int):
            raise DataError(
                f"trajectory {trajectory.episode_id!r} does not say under which limit its responses were "
                f"sampled; give it among the options of the reward, such as {SAMPLING_LIMIT}=512"
            )
        return limit


def _longest_response(trajectory: Trajectory, step: Step) -> int:
    lengths: Sequence[int] = [len(sampled.completion.token_ids) for sampled in step.completions]
    if not lengths:
        raise DataError(
            f"{where(trajectory, step)}: no sampled response is recorded, so that nobody knows its length; "
            "leave over_long out of the reward (srgpo_vpr:over_long_penalty=0), or judge a model's episodes"
        )
    return max(lengths)


PARTS: Final[dict[str, RewardPart]] = {
    "format": RewardPart(
        compute=format_ok,
        pays_steps=False,
        summary="the response has the form that its prompt format asks for",
        source="UI-S1, eq. 8",
    ),
    "bad_format": RewardPart(
        compute=bad_format,
        pays_steps=False,
        summary="the response has another form",
        source="ours, the penalty form of `format`",
    ),
    "action_type": RewardPart(
        compute=ActionType(),
        configure=lambda settings: ActionType(matcher=settings.matcher),
        pays_steps=True,
        needs=frozenset({Need.EXPERT}),
        summary="the request is of the same kind as the expert's action",
        source="UI-S1, eq. 8",
    ),
    "argument": RewardPart(
        compute=Argument(),
        configure=lambda settings: Argument(matcher=settings.matcher),
        pays_steps=True,
        needs=frozenset({Need.EXPERT}),
        summary="the request is the expert's action, arguments included",
        source="UI-S1, eq. 8",
    ),
    "outcome": RewardPart(
        compute=outcome,
        pays_steps=False,
        needs=frozenset({Need.VERDICT}),
        summary="at the last step: the episode succeeded",
        source="GRPO for agents, GiGPO",
    ),
    "progress": RewardPart(
        compute=progress,
        lowest=-1.0,
        pays_steps=True,
        needs=frozenset({Need.PROGRESS}),
        summary="progress of the task that the step made, negative where it undid some",
        source="potential-based shaping; ours for GUIs",
    ),
    "screen_changed": RewardPart(
        compute=screen_changed,
        pays_steps=True,
        needs=frozenset({Need.STATE_KEYS, Need.STATE_AFTER}),
        summary="the state after the step is another one than before",
        source="ours",
    ),
    "no_op": RewardPart(
        compute=no_op,
        pays_steps=True,
        needs=frozenset({Need.STATE_KEYS, Need.STATE_AFTER}),
        summary="a performed action changed nothing; Wait, Answer, Finish and PressKey excepted",
        source="Fathom's redundant calls, in rule form",
    ),
    "repeated_action": RewardPart(
        compute=repeated_action,
        pays_steps=True,
        needs=frozenset({Need.STATE_KEYS}),
        summary="the same request was made before in the same state; Wait excepted",
        source="Fathom's redundant calls, in rule form",
    ),
    "revisited_state": RewardPart(
        compute=revisited_state,
        pays_steps=True,
        needs=frozenset({Need.STATE_KEYS, Need.STATE_AFTER}),
        summary="the step led back to an earlier state of the episode",
        source="Fathom's redundant calls, in rule form",
    ),
    "error": RewardPart(
        compute=error,
        pays_steps=True,
        summary="the request could not be performed; in a replay: is not what the expert did",
        source="invalid-action penalty of GiGPO and SRGPO",
    ),
    "over_long": RewardPart(
        compute=OverLong(),
        configure=lambda settings: OverLong(
            share=settings.over_long_share, max_completion_length=settings.max_completion_length
        ),
        pays_steps=False,
        needs=frozenset({Need.TOKENS}),
        summary="a response is longer than 70 % of the limit (`over_long_share`)",
        source="release of SRGPO",
    ),
}
