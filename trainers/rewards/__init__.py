"""Rewards: pure functions from a recorded episode to one number per step, with its parts.

Every reward can be computed again from the stored trajectory.
"""

from trainers.rewards.base import (
    Need,
    RewardFn,
    StepReward,
    checked,
    has_verdict,
    require_verdict,
    total,
)
from trainers.rewards.fathom import FathomReward, redundant_steps
from trainers.rewards.parts import PARTS, SAMPLING_LIMIT, PartSettings, RewardPart
from trainers.rewards.process import ProcessReward
from trainers.rewards.registry import REWARDS, RewardEntry, get_reward
from trainers.rewards.srgpo import SrgpoReward, verifiable_process_reward
from trainers.rewards.summary import RewardFigures, RewardSummary, can_be_scored
from trainers.rewards.task import TaskReward
from trainers.rewards.ui_s1 import (
    Annotation,
    UiS1Reward,
    ui_s1_release_step_reward,
    ui_s1_step_reward,
)

__all__ = [
    "PARTS",
    "REWARDS",
    "SAMPLING_LIMIT",
    "Annotation",
    "FathomReward",
    "Need",
    "PartSettings",
    "ProcessReward",
    "RewardEntry",
    "RewardFigures",
    "RewardFn",
    "RewardPart",
    "RewardSummary",
    "SrgpoReward",
    "StepReward",
    "TaskReward",
    "UiS1Reward",
    "can_be_scored",
    "checked",
    "get_reward",
    "has_verdict",
    "redundant_steps",
    "require_verdict",
    "total",
    "ui_s1_release_step_reward",
    "ui_s1_step_reward",
    "verifiable_process_reward",
]
