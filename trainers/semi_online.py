"""Semi-online RL: recorded expert trajectories, replayed as if live (UI-S1), and its offline variant."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gui_agent.agent import PatchThought
from gui_agent.agent_spec import AgentKind
from gui_agent.errors import ConfigError
from gui_agent.formats.planner import PlannerFormat, carried_subgoal
from gui_agent.hierarchy import PatchSubgoal
from gui_agent.matching import get_matcher
from trainers.algorithms import configured_algorithm, get_algorithm
from trainers.loop import TrainResult
from trainers.methods import open_method
from trainers.partners import open_partners
from trainers.recordings import Recordings, read_recordings
from trainers.requirements import check_algorithm, check_recorded_states
from trainers.rewards import SAMPLING_LIMIT
from trainers.rewards.requirements import check_reward
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sources import TaskGroups
from trainers.training import AgentBuilder, EvaluatorFor, Training
from trajectories.collect import EpisodeLabels
from trajectories.records import Trajectory
from trajectories.replay import ReplayFactory, ReplaySource, ReplayTask
from trajectories.subgoals import with_subgoals


async def train_semi_online(
    config: SemiOnlineConfig,
    *,
    evaluator_for: EvaluatorFor | None = None,
    build_agents: AgentBuilder | None = None,
) -> TrainResult:
    """Train on the recordings in `config.data` until a limit of `config` is reached.

    Args:
        config: everything there is to choose.
        evaluator_for: makes the evaluation hook for the policy that is being trained.
        build_agents: who acts; agents of the kind that `config` names if None.

    Raises:
        ConfigError: a name, folder or combination of settings is impossible.
        ReplayError: a recording cannot be replayed.

    Source: UI-S1, arXiv:2509.11543, algorithm 1.
    """
    algorithm = configured_algorithm(config)
    check_algorithm(config, algorithm, online=False)
    check_reward(config.reward, online=False)
    recordings = read_recordings(config)
    tasks = replay_tasks(config, recordings)
    check_recorded_states(algorithm, tasks)
    _check_thoughts(config, tasks)
    _check_subgoals(config, tasks)
    matcher = get_matcher(config.matcher)  # a mistake in its name should not cost the time of loading
    async with (
        open_partners(config) as partners,
        open_method(config, build_agents=build_agents, matcher=matcher) as method,
    ):
        training = Training.load(config, build_agents=method.build_agents, partners=partners)
        source = replay_groups(
            config,
            tasks,
            training,
            num_generations=method.episodes_per_group,
            metrics=recordings.metrics,
        )
        result = await training.run(source, method.credit, evaluator_for=evaluator_for)
    return replace(result, recordings_skipped=recordings.num_skipped)


def _check_thoughts(config: SemiOnlineConfig, tasks: Sequence[ReplayTask]) -> None:
    """Patches with the recorded thought need one, where anything comes after them."""
    if config.patch_thought is not PatchThought.OFF_POLICY or config.single_step or not config.patch_budget:
        return
    frames = [frame for task in tasks for frame in task.frames]
    missing = sum(not frame.expert.thought for frame in frames)
    words = f"{missing} of {len(frames)} recorded steps in {config.data} have no thought"
    if missing == len(frames):
        raise ConfigError(
            f"patch_thought is {config.patch_thought.value}, but {words}; use thought_free or on_policy, "
            "or data with thoughts"
        )
    if missing:
        warnings.warn(f"{words}; patches there go without", stacklevel=3)


def _check_subgoals(config: SemiOnlineConfig, tasks: Sequence[ReplayTask]) -> None:
    """Say how many patches will come without a subgoal: a planner's history has a gap there.

    With `single_step` so has the expert's history that it begins with, and nothing else is patched.
    """
    if config.agent is AgentKind.FLAT or config.patch_subgoal is not PatchSubgoal.FROM_DATA:
        return
    if not config.patch_budget and not config.single_step:
        return
    planner_format = config.agent_spec.get_planner_format()
    steps = [(task, number, frame) for task in tasks for number, frame in enumerate(task.frames)]
    missing = [
        f"trajectory {task.trajectory_id!r}, step {len(task.earlier) + number}: {why}"
        for task, number, frame in steps
        if (why := _why_no_subgoal(planner_format, frame.expert.subgoal))
    ]
    if not missing:
        return
    words = (
        f"{len(missing)} of {len(steps)} recorded steps in {config.data} have no subgoal that a patch could "
        f"bring, the first: {missing[0]}"
    )
    if len(missing) == len(steps):
        raise ConfigError(
            f"patch_subgoal is {config.patch_subgoal.value}, but {words}; set subgoals to "
            "data_else_template with data whose widgets are labelled, or patch_subgoal to none"
        )
    warnings.warn(f"{words}; patches there go without", stacklevel=3)


def _why_no_subgoal(planner_format: PlannerFormat, subgoal: str | None) -> str:
    """Empty if an actor can be given the subgoal."""
    if not subgoal:
        return "none is recorded and no template knows the target's name"
    read = carried_subgoal(planner_format, subgoal)
    return "" if isinstance(read, str) else read.reason


def replay_groups(
    config: SemiOnlineConfig,
    tasks: Sequence[ReplayTask],
    training: Training,
    *,
    num_generations: int | None = None,
    metrics: Mapping[str, float] | None = None,
) -> TaskGroups:
    """Groups of replays, every one with the patch budget and the matcher of `config`.

    Args:
        config: of the training.
        tasks: what is replayed.
        training: brings agents and their policy.
        num_generations: replays of one recording; as `config` says if None.
        metrics: what to say of the recordings with every update.
    """
    matcher = get_matcher(config.matcher)
    kind = "offline" if config.single_step else "semi_online"
    return TaskGroups(
        tasks,
        ReplayFactory(matcher=matcher, patch_budget=None if config.patch_budget < 0 else config.patch_budget),
        training.agent_for,
        training.policy,
        kind=kind,
        num_generations=num_generations or config.num_generations,
        seed=config.seed,
        max_concurrency=config.max_concurrency,
        record_elements=get_algorithm(config.algorithm).needs_elements,
        labels=EpisodeLabels(
            suite=kind,
            split=config.split,
            policy_name=config.model,
            device_name="replay",
            source={"matcher": matcher.identifier, SAMPLING_LIMIT: config.max_completion_length},
        ),
        metrics=metrics,
    )


def replay_tasks(config: SemiOnlineConfig, recordings: Recordings | None = None) -> list[ReplayTask]:
    """The recordings to train on, by family and then in the order of the store.

    Args:
        config: names the store and what to take from it.
        recordings: what was read from there; it is read here if None.

    Raises:
        ConfigError: the store has none of that split.
        DataError: none of them reached its goal; those that did not are left out, with a warning.
        ReplayError: a recording cannot be replayed.
    """
    recordings = recordings or read_recordings(config)
    chosen: Sequence[Trajectory] = recordings.trajectories
    if config.agent is AgentKind.HIERARCHICAL:
        chosen = [with_subgoals(trajectory, config.subgoals) for trajectory in chosen]
    return list(ReplaySource(chosen, recordings.screenshots, single_step=config.single_step).tasks)
