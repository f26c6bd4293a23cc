"""A recorded expert trajectory as a world (semi-online reinforcement learning, UI-S1).

A `ReplayDevice` shows the expert's screenshots one after the other. A request that matches what the
expert did leads to the next one. A request that does not is a mismatch: while the patch budget lasts,
the expert's action is what was executed (source PATCH) and the episode goes on; after that it ends.

Source: UI-S1, arXiv:2509.11543, algorithm 1.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from gui_agent.actions import ACTION_TYPES, Action, Finish, ParseError
from gui_agent.device import (
    ActionResult,
    ActionSource,
    Device,
    ExpertAction,
    Outcome,
    StopReason,
    Task,
    Verdict,
)
from gui_agent.errors import ConfigError, DataError, DeviceError, ReplayError
from gui_agent.matching import MatchResult
from gui_agent.observation import Observation, Screenshot
from trajectories.damage import OnDamage
from trajectories.records import Trajectory
from trajectories.replay_task import ReplayFrame, ReplayTask

__all__ = [
    "Matcher",
    "Refusal",
    "ReplayDevice",
    "ReplayFactory",
    "ReplayFrame",
    "ReplaySource",
    "ReplayTask",
]


class Matcher(Protocol):
    """What the replay needs of an action matcher."""

    def match(self, predicted: Action, expected: ExpertAction, width_px: int, height_px: int) -> MatchResult:
        """Compare a request with the expert's action on a screen of that size."""
        ...


class ReplayDevice:
    """A device over one recording at a time.

    The verdict is SUCCESS only if every frame was matched without a patch; progress is the share of
    frames matched before the first mismatch.
    """

    def __init__(self, matcher: Matcher, *, patch_budget: int | None = 1) -> None:
        """Make a device.

        Args:
            matcher: says when a request is what the expert did.
            patch_budget: mismatches that are patched in one episode (epsilon of UI-S1); None is no limit.
        """
        if patch_budget is not None and patch_budget < 0:
            raise ConfigError(f"patch_budget is {patch_budget}; expected 0 or more, or None for no limit")
        self._matcher = matcher
        self._budget = patch_budget
        self._task: ReplayTask | None = None
        self._state = _ReplayState()

    @property
    def action_space(self) -> frozenset[type]:
        """Every type of action: whether it is right is for the matcher to say."""
        return frozenset(ACTION_TYPES)

    async def reset(self, task: Task) -> None:
        """Go to the first frame; `ConfigError` if the task is none of this kind."""
        if not isinstance(task, ReplayTask):
            raise ConfigError(
                f"a ReplayDevice plays ReplayTask, not {type(task).__name__}; make one with "
                "ReplayTask.from_trajectory"
            )
        self._task = task
        self._state = _ReplayState()

    async def observe(self) -> Observation:
        """Show the current frame; after the end, the last."""
        task = self._current()
        frame = task.frames[min(self._state.position, len(task.frames) - 1)]
        return Observation(
            screenshot=task.picture(frame),
            elements=frame.elements,
            foreground_app=frame.foreground_app,
            state_key=frame.state_key,
        )

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Go on if the request matches; else patch it while the budget lasts; else end."""
        task = self._current()
        state = self._state
        if state.position >= len(task.frames):
            raise DeviceError(f"replay of {task.task_id!r} is over; reset before executing more")
        frame = task.frames[state.position]
        match = self._compare(action, frame)
        last = state.position + 1 == len(task.frames)
        if match.exact_match and not isinstance(action, ParseError):
            self._state = state.matched()
            stop = StopReason.EXPERT_END if last else None
            if isinstance(action, Finish):
                stop = StopReason.FINISHED
            return ActionResult(executed=action, expected=frame.expert, match=match, stop=stop)
        reason = action.reason if isinstance(action, ParseError) else match.reason
        error = f"not what the expert did: {reason}"
        if self._budget is not None and state.patches >= self._budget:
            self._state = state.missed()
            return ActionResult(
                executed=None,
                error=error,
                expected=frame.expert,
                match=match,
                stop=StopReason.PATCH_BUDGET_SPENT,
            )
        self._state = state.patched()
        return ActionResult(
            executed=frame.expert.action,
            error=error,
            source=ActionSource.PATCH,
            expected=frame.expert,
            match=match,
            stop=StopReason.EXPERT_END if last else None,
        )

    async def check(self) -> Outcome:
        """Success iff everything matched without a patch."""
        task = self._current()
        state, num_frames = self._state, len(task.frames)
        done = state.prefix == num_frames
        return Outcome(
            verdict=Verdict.SUCCESS if done else Verdict.FAILURE,
            progress=state.prefix / num_frames,
            detail=f"{state.prefix} of {num_frames} steps matched before the first mismatch, "
            f"{state.patches} patched",
        )

    async def close(self) -> None:
        """Nothing to give back."""

    async def next_expert_action(self) -> ExpertAction | None:
        """What the expert did at the current frame; None after the end."""
        task = self._current()
        if self._state.position >= len(task.frames):
            return None
        return task.frames[self._state.position].expert

    async def snapshot(self) -> Any:
        """The position in the recording."""
        return self._current(), self._state

    async def restore(self, snapshot: Any) -> None:
        """Go back to a position."""
        self._task, self._state = snapshot

    def _compare(self, action: Action | ParseError, frame: ReplayFrame) -> MatchResult:
        if isinstance(action, ParseError):
            return MatchResult(type_match=False, exact_match=False, reason=f"no action: {action.reason}")
        return self._matcher.match(action, frame.expert, frame.width_px, frame.height_px)

    def _current(self) -> ReplayTask:
        if self._task is None:
            raise DeviceError("a ReplayDevice shows nothing before its first reset")
        return self._task


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReplayState:
    """Where a replay stands: next frame, patches used, frames matched before the first mismatch."""

    position: int = 0
    patches: int = 0
    prefix: int = 0
    clean: bool = True

    def matched(self) -> _ReplayState:
        prefix = self.prefix + 1 if self.clean else self.prefix
        return _ReplayState(position=self.position + 1, patches=self.patches, prefix=prefix, clean=self.clean)

    def patched(self) -> _ReplayState:
        return _ReplayState(
            position=self.position + 1, patches=self.patches + 1, prefix=self.prefix, clean=False
        )

    def missed(self) -> _ReplayState:
        return _ReplayState(position=self.position, patches=self.patches, prefix=self.prefix, clean=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFactory:
    """Lends a fresh `ReplayDevice` each time; there is no limit to how many."""

    matcher: Matcher
    patch_budget: int | None = 1

    @property
    def capacity(self) -> int:
        """As many as anyone asks for."""
        return sys.maxsize

    def lease(self) -> AbstractAsyncContextManager[Device]:
        """Borrow a device."""
        return self._lease()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Device]:
        device = ReplayDevice(self.matcher, patch_budget=self.patch_budget)
        try:
            yield device
        finally:
            await device.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A trajectory that cannot be replayed, and why."""

    episode_id: str
    reason: str


class ReplaySource:
    """A task source over recordings."""

    def __init__(
        self,
        trajectories: Iterable[Trajectory],
        screenshots: Mapping[str, Screenshot] | None = None,
        *,
        suite: str = "replay",
        successful_only: bool = True,
        single_step: bool = False,
        on_damage: OnDamage = OnDamage.RAISE,
    ) -> None:
        """Read recordings.

        Args:
            trajectories: a `TrajectoryStore`, or any iterable of trajectories.
            screenshots: pictures by SHA-256; those of the store if None.
            suite: the name of this source.
            successful_only: leave out recordings that are not known to have succeeded (listed in `refused`).
            single_step: one task per step, with the expert's earlier steps as history.
            on_damage: "raise" at the first recording that cannot be replayed, or "skip" it and list it
                in `refused`; pictures are then decoded here, not only looked for.

        Raises:
            ReplayError: see `on_damage`, or no recording is left.
            ConfigError: there are no screenshots to show.
        """
        pictures = screenshots if screenshots is not None else getattr(trajectories, "screenshots", None)
        if pictures is None:
            raise ConfigError(
                "ReplaySource needs `screenshots` when it is not given a TrajectoryStore; pass them"
            )
        self._suite = suite
        self.refused: list[Refusal] = []
        self._tasks: dict[str, list[ReplayTask]] = {}
        for trajectory in trajectories:
            if successful_only and trajectory.outcome.verdict is not Verdict.SUCCESS:
                verdict = trajectory.outcome.verdict.value
                self.refused.append(Refusal(episode_id=trajectory.episode_id, reason=f"outcome {verdict}"))
                continue
            try:
                task = ReplayTask.from_trajectory(trajectory, pictures)
                if on_damage is OnDamage.SKIP:
                    task.check_pictures()
            except DataError as error:
                if on_damage is OnDamage.RAISE:
                    raise
                self.refused.append(Refusal(episode_id=trajectory.episode_id, reason=str(error)))
                continue
            tasks = task.single_steps() if single_step else [task]
            self._tasks.setdefault(trajectory.template, []).extend(tasks)
        if not self._tasks:
            first = f"; the first because of {self.refused[0].reason}" if self.refused else ""
            raise ReplayError(
                f"nothing to replay: {len(self.refused)} recordings were refused and none is left{first}; "
                "replay needs complete recordings of success, such as gui-agent collect --only-success keeps"
            )

    @property
    def suite(self) -> str:
        """The name of this source."""
        return self._suite

    @property
    def templates(self) -> Sequence[str]:
        """The families of recorded tasks, sorted."""
        return sorted(self._tasks)

    @property
    def tasks(self) -> Sequence[ReplayTask]:
        """All tasks, by family and then in the order of recording."""
        return [task for template in self.templates for task in self._tasks[template]]

    def __len__(self) -> int:
        return sum(len(tasks) for tasks in self._tasks.values())

    def task(self, template: str, seed: int) -> ReplayTask:
        """The recording number `seed` of a family, counted round and round."""
        tasks = self._tasks.get(template)
        if tasks is None:
            raise ConfigError(
                f"suite {self._suite!r} has no template {template!r}; it has {', '.join(self.templates)}"
            )
        return tasks[seed % len(tasks)]
