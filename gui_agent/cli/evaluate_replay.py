"""The replay part of `eval run`: SOP, step metrics, and long-horizon figures, as JSON-ready values."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.blame import error_split, has_planner, judge_plans, subgoal_effect
from eval.horizon import JudgedSteps, horizon_metrics, judged_steps
from eval.oracles import Oracle, why_not
from eval.responses import count_responses
from eval.self_conditioning import corrupt_histories, history_error_point
from eval.sop import sop_from_replays
from eval.steps import step_metrics
from gui_agent.device import DeviceFactory, Task
from gui_agent.errors import DataError
from gui_agent.formats.planner import PlannerFormat
from gui_agent.matching import ActionMatcher
from gui_agent.observation import Screenshot
from trajectories.damage import OnDamage
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
        planner_format: what a planner of the agent speaks.
        horizon: measure accuracy by depth too.
        history_error_rates: measure step accuracy with histories of so many errors too; 0 needs no replay
            of its own.
        oracle: the half of the agent that `play` replaced; recordings that it knows nothing about are left
            out.
    """

    trajectories: Sequence[Trajectory]
    screenshots: Mapping[str, Screenshot]
    matcher: ActionMatcher
    seed: int
    play: Play
    planner_format: PlannerFormat
    horizon: bool = False
    history_error_rates: Sequence[float] = ()
    oracle: Oracle | None = None

    async def figures(self) -> dict[str, Any]:
        """Everything that was asked for.

        Raises:
            ReplayError: no recording can be replayed.
            DataError: errors in the history were asked for, and no step has a history; or the oracle knows
                nothing about any recording.
        """
        source = self._source(single_step=False)
        unknown = self._unknown(source.tasks)
        whole = [task for task in source.tasks if task.trajectory_id not in unknown]
        steps = [task for task in self._source(single_step=True).tasks if task.trajectory_id not in unknown]
        if self.history_error_rates and not any(task.earlier for task in steps):
            raise DataError(
                "history_error_rate needs recordings of two steps or more: no step here has a history"
            )
        own = await self._replay(whole, "sop")
        expert = await self._replay(steps, "steps")
        matcher = self.matcher.identifier
        # Lengths by order: several recordings may be of one task.
        sop = sop_from_replays(own, [task.max_steps for task in whole], matcher=matcher, seed=self.seed)
        report: dict[str, Any] = {
            "matcher": matcher,
            "trajectories": len(self.trajectories),
            "refused": [asdict(refusal) for refusal in source.refused],
            "sop": asdict(sop),
            "steps": asdict(step_metrics(expert, matcher=matcher, seed=self.seed)),
            "responses": asdict(count_responses((*own, *expert))),
        }
        if self.oracle:
            report["unknown_to_oracle"] = unknown
        if has_planner(expert):
            report["errors"] = {
                "expert_history": self._errors(steps, expert),
                "until_first_error": self._errors(whole, own),
            }
        with_expert_history = judged_steps(steps, expert)
        report["steps_right"] = {judged.trajectory_id: judged.marks for judged in with_expert_history}
        if self.horizon:
            patched = await self._replay(whole, "patched", patch_budget=None)
            report["horizon"] = {
                "expert_history": self._horizon(with_expert_history),
                "own_history": self._horizon(judged_steps(whole, patched)),
            }
        if self.history_error_rates:
            report["history_errors"] = [
                await self._with_history_errors(rate, steps, with_expert_history)
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

    def _unknown(self, tasks: Sequence[ReplayTask]) -> dict[str, str]:
        """Recordings that cannot be judged with the oracle, and why."""
        if self.oracle is None:
            return {}
        reasons = {task.trajectory_id: why_not(self.oracle, task, self.planner_format) for task in tasks}
        unknown = {name: reason for name, reason in reasons.items() if reason is not None}
        if len(unknown) == len(reasons):
            raise DataError(
                f"an oracle {self.oracle.value} knows nothing about any of {len(reasons)} recordings: "
                f"{next(iter(unknown.values()))}"
            )
        return unknown

    def _errors(self, tasks: Sequence[ReplayTask], trajectories: Sequence[Trajectory]) -> dict[str, Any]:
        plans = judge_plans(tasks, trajectories, matcher=self.matcher)
        return asdict(error_split(plans, matcher=self.matcher.identifier, seed=self.seed))

    def _source(self, *, single_step: bool) -> ReplaySource:
        return ReplaySource(
            self.trajectories, self.screenshots, single_step=single_step, on_damage=OnDamage.SKIP
        )

    async def _replay(
        self, tasks: Sequence[ReplayTask], what: str, *, patch_budget: int | None = 0
    ) -> list[Trajectory]:
        factory = ReplayFactory(matcher=self.matcher, patch_budget=patch_budget)
        return [record.trajectory for record in await self.play(tasks, factory, what)]

    def _horizon(self, judged: Sequence[JudgedSteps]) -> dict[str, Any]:
        return horizon_metrics(judged, matcher=self.matcher.identifier, seed=self.seed).to_json()


def effect_of_subgoals(
    replay: Mapping[str, Any], with_oracle: Mapping[str, Any], *, seed: int
) -> dict[str, Any]:
    """What the expert's subgoals change, from the figures of a replay and of one with an oracle planner."""
    own, given = (
        [JudgedSteps.from_marks(name, marks) for name, marks in figures["steps_right"].items()]
        for figures in (replay, with_oracle)
    )
    return asdict(subgoal_effect(own, given, seed=seed))
