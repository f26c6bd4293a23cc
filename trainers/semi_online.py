"""Semi-online RL: recorded expert trajectories, replayed as if live (UI-S1), and its offline variant."""

from __future__ import annotations

from collections.abc import Callable

from gui_agent.agent import Agent, FlatAgent
from gui_agent.device import Device
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import get_format
from gui_agent.matching import get_matcher
from trainers.config import SemiOnlineConfig
from trainers.credit import EstimatorCredit
from trainers.learner import Learner, build_accelerator, load_learner_model
from trainers.loop import Evaluator, TimedPolicy, TrainingLoop, TrainResult
from trainers.metrics import Stopwatch
from trainers.sources import TaskGroups
from trajectories.collect import EpisodeLabels
from trajectories.records import Trajectory
from trajectories.replay import ReplayFactory, ReplaySource, ReplayTask
from trajectories.store import TrajectoryStore

EvaluatorFor = Callable[[TimedPolicy], Evaluator]


async def train_semi_online(
    config: SemiOnlineConfig, *, evaluator_for: EvaluatorFor | None = None
) -> TrainResult:
    """Train on the recordings in `config.data` until a limit of `config` is reached.

    Args:
        config: everything there is to choose.
        evaluator_for: makes the evaluation hook for the policy that is being trained.

    Raises:
        ConfigError: a name, folder or combination of settings is impossible.
        ReplayError: a recording cannot be replayed.

    Source: UI-S1, arXiv:2509.11543, algorithm 1.
    """
    tasks = replay_tasks(config)
    prompt_format = get_format(config.format)
    stopwatch = Stopwatch()
    accelerator = build_accelerator(config)
    model = load_learner_model(config, accelerator=accelerator)
    learner = Learner(model, config, accelerator=accelerator, stopwatch=stopwatch)
    policy = TimedPolicy(
        model,
        stopwatch=stopwatch,
        deterministic=config.deterministic,
        max_batch_rows=config.max_batch_size,
    )

    def agent_for(device: Device) -> Agent:
        return FlatAgent(
            policy, prompt_format, params=config.sampling_params, patch_thought=config.patch_thought
        )

    kind = "offline" if config.single_step else "semi_online"
    source = TaskGroups(
        tasks,
        ReplayFactory(
            matcher=get_matcher(config.matcher),
            patch_budget=None if config.patch_budget < 0 else config.patch_budget,
        ),
        agent_for,
        policy,
        kind=kind,
        num_generations=config.num_generations,
        seed=config.seed,
        max_concurrency=config.max_concurrency,
        labels=EpisodeLabels(suite=kind, split=config.split, policy_name=config.model, device_name="replay"),
    )
    loop = TrainingLoop(
        config,
        source=source,
        policy=policy,
        learner=learner,
        credit=EstimatorCredit(config),
        stopwatch=stopwatch,
        evaluate=evaluator_for(policy) if evaluator_for else None,
    )
    try:
        return await loop.run()
    finally:
        policy.close()


def replay_tasks(config: SemiOnlineConfig) -> list[ReplayTask]:
    """The recordings to train on, in the order of the store.

    Raises:
        ConfigError: the store has none of that split.
        ReplayError: a recording cannot be replayed.
    """
    store = TrajectoryStore.open(config.data)
    chosen = chosen_trajectories(store, split=config.split, limit=config.max_trajectories)
    source = ReplaySource(chosen, store.screenshots, single_step=config.single_step)
    return list(source.tasks)


def chosen_trajectories(store: TrajectoryStore, *, split: str, limit: int) -> list[Trajectory]:
    """The first `limit` trajectories (0: all) of a split ("": any).

    Raises:
        ConfigError: there is none.
    """
    splits: set[str] = set()
    chosen = []
    for trajectory in store:
        splits.add(trajectory.split)
        if split in ("", trajectory.split) and (limit == 0 or len(chosen) < limit):
            chosen.append(trajectory)
    if not chosen:
        found = ", ".join(repr(name) for name in sorted(splits)) or "no trajectory at all"
        raise ConfigError(f'{store.path} has no trajectory of split {split!r}; it has {found}; "" takes all')
    return chosen
