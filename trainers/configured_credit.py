"""The credit of the algorithm that a training names."""

from __future__ import annotations

from gui_agent.matching import ActionMatcher
from trainers.advantages.foresight import ForesightOptions
from trainers.algorithms import configured_algorithm, min_group_std
from trainers.credit import EstimatorCredit
from trainers.foresight import ForesightCredit, ForesightReward
from trainers.rl_config import RLConfig


def configured_credit(config: RLConfig, matcher: ActionMatcher | None) -> EstimatorCredit | ForesightCredit:
    """Rewards, filter and advantages.

    Args:
        config: names the algorithm.
        matcher: compares with a recorded expert; None where episodes are live.

    Raises:
        ConfigError: a name is unknown.
    """
    options = configured_algorithm(config).options
    if isinstance(options, ForesightOptions):
        reward = ForesightReward(options=options, matcher=matcher)
        return ForesightCredit(reward, config.learning_roles, filter_std=min_group_std(config))
    return EstimatorCredit(config, by_outcome=matcher is None)
