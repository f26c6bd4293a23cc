"""What an update's episodes looked like, as numbers for metrics.jsonl."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gui_agent.actions import ParseError
from gui_agent.device import StopReason, Verdict
from gui_agent.errors import DeviceTimeoutError
from trainers.credit import ScoredGroup
from trainers.sources import GroupBatch
from trajectories.records import Trajectory

_ZERO_SPREAD = 1e-6


def sampling_metrics(
    scored: Sequence[ScoredGroup], kept: Sequence[ScoredGroup], batches: Sequence[GroupBatch], *, kind: str
) -> dict[str, Any]:
    """Rewards, filter and behaviour of the episodes sampled for one update.

    Args:
        scored: every group that could be scored. `reward` and its parts are means over all their steps,
            success and progress over all their episodes.
        kept: those that are trained on.
        batches: what the source brought, faults included.
        kind: prefix of the numbers that only this kind of training has.
    """
    trajectories = [record.trajectory for group in scored for record in group.group.records]
    rewards = [step.value for group in scored for episode in group.rewards for step in episode]
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    completions = [sampled.completion for step in steps for sampled in step.completions]
    flat = sum(group.spread < _ZERO_SPREAD for group in scored)
    metrics: dict[str, Any] = {
        "reward": _mean(rewards),
        "reward_std": statistics.pstdev(rewards) if rewards else None,
        "frac_reward_zero_std": flat / len(scored) if scored else None,
        **_reward_parts(scored),
        **_outcomes(trajectories, kind),
        "completions/mean_length": _mean([len(completion.token_ids) for completion in completions]),
        "completions/sampled": sum(step.num_samples for step in steps),
        "completions/parse_errors": _mean([isinstance(step.requested, ParseError) for step in steps]),
        f"{kind}/episodes": len(trajectories),
        f"{kind}/steps_mean": _mean([len(trajectory.steps) for trajectory in trajectories]),
        f"{kind}/patches": sum(trajectory.patches for trajectory in trajectories),
        "groups/sampled": len(scored),
        "groups/kept": len(kept),
        "groups/batches": len(batches),
        "env/faults": sum(batch.faults for batch in batches),
        "env/restarts": sum(batch.retries for batch in batches),
        "env/timeouts": sum(_timed_out(r.trajectory) for batch in batches for r in batch.records),
        "env/groups_dropped": sum(batch.groups_dropped for batch in batches),
    }
    return {name: value for name, value in metrics.items() if value is not None}


def unreadable_responses(scored: Sequence[ScoredGroup]) -> str:
    """Words on responses that could not be read as an action; empty where most could.

    A model that is asked in another prompt format than it speaks earns the same everywhere, so that no group
    is worth training on: nothing that a filter's settings could mend.
    """
    records = [record for group in scored for record in group.group.records]
    requests = [step.requested for record in records for step in record.trajectory.steps]
    errors = [request for request in requests if isinstance(request, ParseError)]
    if 2 * len(errors) <= len(requests):
        return ""
    return (
        f"{len(errors)} of {len(requests)} responses could not be read as an action, the first: "
        f"{errors[0].reason}; check that format is the one that the model was trained in, and that "
        "max_completion_length is long enough"
    )


def _reward_parts(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    parts: dict[str, list[float]] = defaultdict(list)
    for group in scored:
        for episode in group.rewards:
            for step in episode:
                for name, value in step.parts.items():
                    parts[name].append(value)
    return {f"reward/{name}": statistics.fmean(values) for name, values in sorted(parts.items())}


def _outcomes(trajectories: Sequence[Trajectory], kind: str) -> dict[str, Any]:
    """Progress and success among episodes that could be judged; unscored is not zero."""
    judged = [t for t in trajectories if t.outcome.verdict is not Verdict.UNSCORED]
    progress = [t.outcome.progress for t in judged if t.outcome.progress is not None]
    success = [t.succeeded for t in judged]
    names = ("pg", "tsr") if kind in ("semi_online", "offline") else ("progress", "success")
    return {
        f"{kind}/{names[0]}": _mean(progress),
        f"{kind}/{names[1]}": _mean(success),
        f"{kind}/unscored": len(trajectories) - len(judged),
    }


def _timed_out(trajectory: Trajectory) -> bool:
    """Whether the time of the episode ran out, or that of a call to its device."""
    in_device = (trajectory.fault or "").startswith(DeviceTimeoutError.__name__)
    return in_device or trajectory.stop is StopReason.TIME_LIMIT


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
