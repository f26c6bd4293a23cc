"""Whether a training has what its algorithm needs: asked before a model is loaded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

from gui_agent.agent_spec import AgentKind
from gui_agent.device import DeviceFactory, Task
from gui_agent.errors import ConfigError, DeviceError
from gui_agent.observation import Observation
from gui_agent.trial import restorable
from trainers.advantages import Anchor, AnchorOptions
from trainers.advantages.foresight import Execution, ForesightOptions, JudgeName
from trainers.algorithms import Algorithm, Need, min_group_std
from trainers.rewards import get_reward
from trainers.rl_config import RLConfig
from trainers.semi_online_config import SemiOnlineConfig
from trajectories.replay import ReplayTask

_KEEP_ALL: Final = -1


def check_algorithm(config: RLConfig, algorithm: Algorithm, *, online: bool) -> None:
    """Refuse settings under which the algorithm has nothing to work with.

    Args:
        config: of the training.
        algorithm: the one that it names.
        online: episodes are live, not replays of recordings.

    Raises:
        ConfigError: something is missing; the message says what to add.
    """
    needs, name = algorithm.entry.needs, algorithm.name
    if config.num_generations < 2:
        _check_lone_episodes(config, algorithm)
    if Need.RECORDING in needs and online:
        raise ConfigError(
            f"algorithm {name!r} compares equal steps of a recording, and on live devices equal step numbers "
            "are different screens; use gigpo (equal states), salt (equal steps) or grpo (whole episodes)"
        )
    if Need.STEP_REWARD in needs and not get_reward(config.reward, compat=config.compat).pays_steps:
        steps = "srgpo_vpr, task_progress or process with parts that judge steps" if online else "ui_s1"
        raise ConfigError(
            f"algorithm {name!r} compares the rewards of single steps, but reward {config.reward!r} pays "
            f"only the outcome; use a reward that judges steps ({steps}), or an algorithm that shares the "
            "outcome out (gigpo, salt, grpo)"
        )
    if isinstance(algorithm.options, ForesightOptions):
        _check_foresight(config, algorithm.options, online=online)
    if Need.NEXT_STATE_KEYS in needs and isinstance(config, SemiOnlineConfig) and config.single_step:
        raise ConfigError(
            f"algorithm {name!r} needs the state that follows each step, and with single_step none does; use "
            "ui_s1_offline, or whole episodes (single_step false)"
        )


def _check_foresight(config: RLConfig, options: ForesightOptions, *, online: bool) -> None:
    if config.agent is not AgentKind.HIERARCHICAL:
        raise ConfigError(
            "algorithm 'foresight' compares the subgoals of a planner, and a flat agent has none; say "
            "--agent hierarchical"
        )
    if not online and (options.judge is JudgeName.PROGRESS or options.lookahead):
        given = f"lookahead={options.lookahead}" if options.lookahead else "judge=progress"
        raise ConfigError(
            f"foresight:{given} tries actions and takes them back, and a recording goes one way only; leave "
            "it out, or train online on devices that can be restored"
        )
    if online and options.execution is not Execution.EXACT:
        raise ConfigError(
            f"foresight:execution={options.execution.value} compares actions with an expert's, and live "
            "there is none: what an action achieves is read from the task; leave it out"
        )
    if config.reward != type(config).reward:
        warnings.warn(
            f"reward={config.reward} has no effect on 'foresight', which pays subgoals and actions itself; "
            "its weights are options: foresight:lambda_format=…,lambda_execution=…",
            stacklevel=4,
        )
    for name in ("filter_solve_rate", "solved_reward", "replay_successes", "scale_informative"):
        value = getattr(config, name)
        if value is not None and value is not False:  # a solved_reward of 0 is one
            raise ConfigError(
                f"{name} compares whole episodes of one task, and foresight plays one of each; leave it out"
            )


async def check_restorable(algorithm: Algorithm, devices: DeviceFactory) -> None:
    """Refuse live devices that cannot take back what an algorithm tries; one that breaks says nothing.

    Raises:
        ConfigError: so they are.
    """
    if not isinstance(algorithm.options, ForesightOptions):
        return
    try:
        async with devices.lease() as device:
            restorable(device)
    except DeviceError as error:
        warnings.warn(f"whether devices can be restored could not be found out: {error}", stacklevel=2)


def _check_lone_episodes(config: RLConfig, algorithm: Algorithm) -> None:
    if Need.GROUP in algorithm.entry.needs:
        raise ConfigError(
            f"num_generations is {config.num_generations}, but {algorithm.name} compares an episode with its "
            "siblings, so every advantage would be 0; set num_generations to 2 or more (papers use 8)"
        )
    filter_std = min_group_std(config)
    if filter_std != _KEEP_ALL:
        raise ConfigError(
            f"num_generations is {config.num_generations}, and groups of one differ in nothing, so that the "
            f"filter would drop them all (filter_std is {filter_std}); set filter_std to -1"
        )


def check_recorded_states(algorithm: Algorithm, tasks: Sequence[ReplayTask]) -> None:
    """Refuse recordings without what the algorithm tells states by; warn if only some lack it.

    Raises:
        ConfigError: no recorded step has it.
    """
    if (anchors := algorithm.anchors) is None:
        return
    frames = [frame for task in tasks for frame in task.frames]
    shortest = min((frame.height_px for frame in frames), default=0)
    if anchors.ignored_top_px >= shortest:
        raise ConfigError(_too_many_rows(anchors, shortest))
    missing = sum(frame.elements is None for frame in frames) if anchors.anchor.needs_elements else 0
    words = f"anchor={anchors.anchor.value}, but {missing} of {len(frames)} recorded steps have no widgets"
    if missing == len(frames):
        raise ConfigError(f"{words}; record them with gui-agent collect --elements, or use another anchor")
    if missing:
        warnings.warn(f"{words}; those states are equal to none", stacklevel=3)


async def check_live_states(algorithm: Algorithm, devices: DeviceFactory, task: Task) -> None:
    """Look at the start of one task, and refuse devices that do not show what states are told by.

    A device that breaks meanwhile says nothing of the others, and is not held against them.

    Raises:
        ConfigError: they do not.
    """
    if (anchors := algorithm.anchors) is None:
        return
    try:
        async with devices.lease() as device:
            await device.reset(task)
            seen = await device.observe()
            kind = type(device).__name__
    except DeviceError as error:
        warnings.warn(f"whether devices show their states could not be found out: {error}", stacklevel=2)
        return
    missing = _missing(anchors, seen)
    if missing:
        raise ConfigError(
            f"algorithm {algorithm.name!r} with anchor={anchors.anchor.value} compares states, but {kind} "
            f"{missing}; use another anchor, such as {algorithm.name}:anchor=screenshot"
        )
    if anchors.ignored_top_px >= seen.screenshot.height_px:
        raise ConfigError(_too_many_rows(anchors, seen.screenshot.height_px))


def _missing(anchors: AnchorOptions, seen: Observation) -> str:
    if anchors.anchor.needs_elements and seen.elements is None:
        return "shows no widgets"
    if anchors.anchor is Anchor.STATE_KEY and seen.state_key is None:
        return "gives no state keys"
    return ""


def _too_many_rows(anchors: AnchorOptions, height_px: int) -> str:
    return (
        f"ignored_top_px is {anchors.ignored_top_px}, but the screen is only {height_px} pixels high; ignore "
        "fewer rows"
    )
