"""Whether a training's episodes have what its reward is computed from: asked before a model is loaded."""

from __future__ import annotations

import warnings
from typing import Final

from gui_agent.device import DeviceFactory, Outcome, Task
from gui_agent.errors import ConfigError, DeviceError
from gui_agent.observation import Observation
from trainers.rewards.base import Need
from trainers.rewards.registry import get_reward

_STATES: Final = frozenset({Need.STATE_KEYS, Need.STATE_AFTER})


def check_reward(name: str, *, online: bool) -> None:
    """Refuse rewards that no episode of this kind of training could be judged by.

    Args:
        name: of the reward, as configured.
        online: episodes are live, not replays of recordings.

    Raises:
        ConfigError: it is one of them, or there is no such reward.
    """
    needs = get_reward(name).needs
    if online and Need.EXPERT in needs:
        raise ConfigError(
            f"reward is {name!r}, which compares each step with an expert's, and live episodes have "
            "none; use task, task_progress, or process with parts that need no expert"
        )
    if not online and Need.STATE_AFTER in needs:
        raise ConfigError(
            f"reward is {name!r}, which compares the states before and after each step, and a replay has "
            "none after its last; use ui_s1, or process with parts that compare with the expert "
            "(action_type, argument)"
        )


async def check_live_reward(name: str, devices: DeviceFactory, task: Task) -> None:
    """Refuse a reward that needs what these devices do not tell of a task.

    A device that breaks while it is looked at says nothing of the others, and is not held against them.

    Args:
        name: of the reward, as configured.
        devices: where the episodes will run.
        task: one of those to train on.

    Raises:
        ConfigError: they do not tell it.
    """
    needs = get_reward(name).needs
    if not needs & {Need.PROGRESS, *_STATES}:
        return
    try:
        async with devices.lease() as device:
            await device.reset(task)
            missing = _missing(needs, await device.observe(), await device.check())
            kind = type(device).__name__
    except DeviceError as error:
        warnings.warn(f"what devices tell of a task could not be found out: {error}", stacklevel=2)
        return
    if missing:
        raise ConfigError(
            f"reward is {name!r}, but {kind} {missing} (task {task.task_id!r}); leave that out of the "
            "reward, or use task, which needs a verdict alone"
        )


def _missing(needs: frozenset[Need], seen: Observation, judged: Outcome) -> str:
    if needs & _STATES and seen.state_key is None:
        return "gives no state keys"
    if Need.PROGRESS in needs and judged.progress is None:
        return "tells no progress"
    return ""
