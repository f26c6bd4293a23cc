"""Settings of reinforcement learning on live devices."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.choices import FaultStrategy
from trainers.rl_config import RLConfig


@dataclass(frozen=True, kw_only=True)
class OnlineConfig(RLConfig):
    """RL on live devices.

    Attributes:
        suite: suite of tasks, by name.
        task_seeds: instances per template.
        algorithm: advantage estimator, by name, with options after a colon (gigpo:anchor=perceptual); the
            command gui-agent algorithms lists them, and those that need a recorded expert are refused.
        reward: reward of the steps, by name, with options after a colon; gui-agent rewards lists them.
        filter_std: keep groups whose sums of rewards, one per episode, have a population deviation above
            this; 0 keeps every group that differs at all, -1 keeps all.
        fault_strategy: what becomes of an episode whose device broke.
        max_fault_retries: attempts on other leases under `retry`.
        episode_timeout_s: of one episode, in seconds.
    """

    suite: str = ""
    task_seeds: int = 64
    algorithm: str = "gigpo"
    reward: str = "task"
    filter_std: float | None = 0.0
    fault_strategy: FaultStrategy = FaultStrategy.RETRY
    max_fault_retries: int = 2
    episode_timeout_s: float = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.task_seeds >= 1, "task_seeds", "1 or more")
        self._require(self.max_fault_retries >= 0, "max_fault_retries", "0 or more")
        self._require(self.episode_timeout_s > 0, "episode_timeout_s", "more than 0 seconds")
