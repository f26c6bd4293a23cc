"""The replay part of `eval run`: SOP, step metrics, and long-horizon figures, as JSON-ready values."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.horizon import JudgedSteps, horizon_metrics, judged_steps
from eval.responses import count_responses
from eval.self_conditioning import corrupt_histories, history_error_point
from eval.sop import sop_from_replays
from eval.steps import step_metrics
from gui_agent.device import DeviceFactory, Task
from gui_agent.errors import DataError
from gui_agent.matching import ActionMatcher
from gui_agent.observation import Screenshot
from trajectories.records import EpisodeRecord, Trajectory
from trajectories.replay import ReplayFactory, ReplaySource
from trajectories.replay_task import ReplayTask

Play = Callable[[Sequence[Task], DeviceFactory, str], Coroutine[Any, Any, list[EpisodeRecord]]]
"""Runs the agent on tasks, in their order; the last argument names the episodes and their noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayEvaluation:
    """Replays of one set of recordings.

    Attributes:
        trajectories: the recordings.
        screenshots: their pictures, by SHA-256.
        matcher: says which actions are right.
        seed: of intervals and of wrong histories.
        play: runs the agent.
        horizon: measure accuracy by depth too.
        history_error_rates: measure step accuracy with histories of so many errors too; 0 needs no replay
            of its own.
    """

    trajectories: Sequence[Trajectory]
    screenshots: Mapping[str, Screenshot]
    matcher: ActionMatcher
    seed: int
    play: Play
    horizon: bool = False
    history_error_rates: Sequence[float] = ()

    async def figures(self) -> dict[str, Any]:
        """Everything that was asked for.

        Raises:
            ReplayError: no recording can be replayed.
            DataError: errors in the history were asked for, and no step has a history.
        """
        whole = self._source(single_step=False)
        steps = self._source(single_step=True)
        if self.history_error_rates and not any(task.earlier for task in steps.tasks):
            raise DataError(
                "history_error_rate needs recordings of two steps or more: no step here has a history"
            )
        own = await self._replay(whole.tasks, "sop")
        expert = await self._replay(steps.tasks, "steps")
        matcher = self.matcher.identifier
        # Lengths by order: several recordings may be of one task.
        sop = sop_from_replays(own, [task.max_steps for task in whole.tasks], matcher=matcher, seed=self.seed)
        report: dict[str, Any] = {
            "matcher": matcher,
            "trajectories": len(self.trajectories),
            "refused": [asdict(refusal) for refusal in whole.refused],
            "sop": asdict(sop),
            "steps": asdict(step_metrics(expert, matcher=matcher, seed=self.seed)),
            "responses": asdict(count_responses((*own, *expert))),
        }
        with_expert_history = judged_steps(steps.tasks, expert)
        if self.horizon:
            patched = await self._replay(whole.tasks, "patched", patch_budget=None)
            report["horizon"] = {
                "expert_history": self._horizon(with_expert_history),
                "own_history": self._horizon(judged_steps(whole.tasks, patched)),
            }
        if self.history_error_rates:
            report["history_errors"] = [
                await self._with_history_errors(rate, steps.tasks, with_expert_history)
                for rate in sorted(set(self.history_error_rates))
            ]
        return report

    async def _with_history_errors(
        self, rate: float, tasks: Sequence[ReplayTask], baseline: Sequence[JudgedSteps]
    ) -> dict[str, Any]:
        histories = corrupt_histories(tasks, rate, matcher=self.matcher, seed=self.seed)
        judged = baseline
        if histories.wrong:
            # Named as the replays with right histories are, so that the sampling noise is the same.
            judged = judged_steps(histories.tasks, await self._replay(histories.tasks, "steps"))
        return asdict(history_error_point(histories, judged, baseline, rate=rate, seed=self.seed))

    def _source(self, *, single_step: bool) -> ReplaySource:
        return ReplaySource(self.trajectories, self.screenshots, single_step=single_step, on_damage="skip")

    async def _replay(
        self, tasks: Sequence[ReplayTask], what: str, *, patch_budget: int | None = 0
    ) -> list[Trajectory]:
        factory = ReplayFactory(matcher=self.matcher, patch_budget=patch_budget)
        return [record.trajectory for record in await self.play(tasks, factory, what)]

    def _horizon(self, judged: Sequence[JudgedSteps]) -> dict[str, Any]:
        return horizon_metrics(judged, matcher=self.matcher.identifier, seed=self.seed).to_json()
