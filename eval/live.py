"""Live success: episodes on instances that were never trained on, judged by the task's own check.

An episode succeeds if the check says so and the agent stopped by itself, or the world ended the task:
an agent that wanders through the goal and does not notice has not solved the task (as in AndroidWorld).

An episode that a device fault ended is unscored. It is counted and left out of every average; where
nothing could be scored there is no figure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.intervals import Interval, wilson
from gui_agent.actions import Finish, FinishStatus
from gui_agent.device import EVALUATION_SEED_START, Task, TaskSource, Verdict
from gui_agent.errors import ConfigError
from trajectories.records import Trajectory


def training_tasks(source: TaskSource, count: int, *, seed: int) -> list[Task]:
    """`count` instances for training, spread evenly over the templates in a stable order.

    Raises:
        ConfigError: the run's seed is so large that its instances would be those of evaluation.
    """
    templates = source.templates
    rounds = -(-count // len(templates))
    first = seed * 10_000
    if rounds > 10_000 or first + rounds > EVALUATION_SEED_START:
        raise ConfigError(
            f"{count} training instances with seed {seed} would reach the evaluation instances, whose "
            f"seeds start at {EVALUATION_SEED_START}; use a seed below {EVALUATION_SEED_START // 10_000} "
            f"and at most {10_000 * len(templates)} instances"
        )
    tasks = [source.task(template, first + index) for index in range(rounds) for template in templates]
    return tasks[:count]


def evaluation_tasks(source: TaskSource, per_template: int, *, first: int = 0) -> list[Task]:
    """`per_template` instances of every template that training never draws, from number `first` on."""
    seeds = range(EVALUATION_SEED_START + first, EVALUATION_SEED_START + first + per_template)
    return [source.task(template, seed) for seed in seeds for template in source.templates]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateScore:
    """Success on one template.

    Attributes:
        template: the family of tasks.
        success: share of scored episodes that succeeded, in [0, 1]; None if none was scored.
        progress: mean progress of the scored episodes that report one, in [0, 1].
        scored: number of episodes behind `success`.
        unscored: number of episodes that could not be judged.
        mean_steps: mean number of steps of the scored episodes.
    """

    template: str
    success: float | None
    progress: float | None
    scored: int
    unscored: int
    mean_steps: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScore:
    """Success on a suite, with Wilson's 95 % interval over episodes."""

    success: Interval | None
    templates: tuple[TemplateScore, ...]
    scored: int
    unscored: int
    claimed_but_failed: int
    """Episodes whose agent declared success although the check says failure."""
    device_steps: int


def live_score(trajectories: Iterable[Trajectory]) -> LiveScore:
    """Summarise evaluated episodes, one per evaluated instance."""
    by_template: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        by_template[trajectory.template].append(trajectory)
    everything = [trajectory for group in by_template.values() for trajectory in group]
    scored = [trajectory for trajectory in everything if _is_scored(trajectory)]
    return LiveScore(
        # A bootstrap would give 100 % to 100 % where all episodes succeeded, however few they are.
        success=wilson(sum(trajectory.succeeded for trajectory in scored), len(scored)) if scored else None,
        templates=tuple(_template_score(template, group) for template, group in sorted(by_template.items())),
        scored=len(scored),
        unscored=len(everything) - len(scored),
        claimed_but_failed=sum(_claimed(trajectory) and not trajectory.succeeded for trajectory in scored),
        device_steps=sum(len(trajectory.steps) for trajectory in everything),
    )


def _template_score(template: str, group: Sequence[Trajectory]) -> TemplateScore:
    scored = [trajectory for trajectory in group if _is_scored(trajectory)]
    progress = [
        trajectory.outcome.progress for trajectory in scored if trajectory.outcome.progress is not None
    ]
    return TemplateScore(
        template=template,
        success=_mean([float(trajectory.succeeded) for trajectory in scored]),
        progress=_mean(progress),
        scored=len(scored),
        unscored=len(group) - len(scored),
        mean_steps=_mean([len(trajectory.steps) for trajectory in scored]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _is_scored(trajectory: Trajectory) -> bool:
    return trajectory.outcome.verdict is not Verdict.UNSCORED


def _claimed(trajectory: Trajectory) -> bool:
    last = trajectory.steps[-1].requested if trajectory.steps else None
    return isinstance(last, Finish) and last.status is FinishStatus.SUCCESS
