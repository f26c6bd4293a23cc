"""Which settings of a training change nothing beside the others, or not what they seem to: always said."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator
from typing import Any

from gui_agent.agent_spec import AgentKind
from gui_agent.hierarchy import PatchSubgoal
from trainers.advantages.foresight import ForesightOptions
from trainers.algorithms import EstimatorSettings, get_algorithm, min_group_std
from trainers.choices import Compat, FaultStrategy
from trainers.config import LearnerConfig
from trainers.online_config import OnlineConfig
from trainers.rewards import get_reward
from trainers.rl_config import RLConfig
from trainers.semi_online_config import SemiOnlineConfig


def warn_without_effect(config: LearnerConfig) -> None:
    """Warn of every setting that was chosen and changes nothing, or does what few will want."""
    for words in settings_without_effect(config):
        warnings.warn(words, stacklevel=2)


def settings_without_effect(config: LearnerConfig) -> list[str]:
    """A sentence for each setting that is not its default and changes nothing, or misleads, beside others."""
    found = [*_of_weights(config), *_of_warmup(config), *_of_epochs(config)]
    if isinstance(config, RLConfig):
        found += [*_of_groups(config), *_of_partner(config), *_of_methods(config), *_of_temperature(config)]
    if isinstance(config, SemiOnlineConfig):
        found += _of_patches(config)
    if isinstance(config, OnlineConfig):
        found += _of_faults(config)
    return found


def _of_weights(config: LearnerConfig) -> Iterator[str]:
    if not config.adapter_rank and _is_chosen(config, "lora_alpha"):
        yield _no_effect(config, "lora_alpha", "without lora_rank")
    if config.agent is AgentKind.FLAT:
        for name in ("subgoals", "patch_subgoal"):
            if _is_chosen(config, name):
                yield _no_effect(config, name, "on a flat agent, which has no planner")


def _of_warmup(config: LearnerConfig) -> Iterator[str]:
    limits = {"max_steps": config.max_steps}
    if isinstance(config, RLConfig):
        limits["max_updates * num_mini_batches"] = config.max_updates * config.num_mini_batches
    # 0 makes no step at all, and less is no limit.
    name, steps = min(limits.items(), key=lambda limit: limit[1] if limit[1] > 0 else math.inf)
    if config.learning_rate and 0 < steps < config.warmup_steps:
        highest = config.learning_rate * steps / config.warmup_steps
        yield (
            f"learning_rate={config.learning_rate:g} is never reached: warmup_steps={config.warmup_steps} is "
            f"more than {name}={steps}, so that it rises to {highest:.3g} at most; lower warmup_steps"
        )


def _of_epochs(config: LearnerConfig) -> Iterator[str]:
    """RL counts updates and may end at `max_steps` or after its epochs; imitation counts steps."""
    limit = "max_updates" if isinstance(config, RLConfig) else "max_steps"
    if getattr(config, limit) >= 0 and _is_chosen(config, "num_train_epochs"):
        yield _no_effect(config, "num_train_epochs", f"where {limit} says when to stop")


def _of_temperature(config: RLConfig) -> Iterator[str]:
    if config.temperature != 1:
        yield (
            f"temperature={config.temperature:g} trains off policy: to the loss samples were drawn at 1, and "
            "nothing corrects for the difference; set temperature to 1 unless that is meant"
        )


def _of_groups(config: RLConfig) -> Iterator[str]:
    asks_who_solved = (config.filter_solve_rate, config.max_solve_rate)
    if config.solved_reward is not None and asks_who_solved == (None, None) and not config.replay_successes:
        where = "without filter_solve_rate, max_solve_rate or replay_successes"
        yield _no_effect(config, "solved_reward", where)
    filter_std = min_group_std(config)
    if config.scale_informative and filter_std >= 0:
        yield (
            f"scale_informative has hardly an effect with filter_std={filter_std}, which drops "
            "groups that teach nothing; set filter_std to -1"
        )
    if config.api_key_env and not any("://" in name for name in (config.planner, config.actor)):
        yield _no_effect(config, "api_key_env", "without a planner or an actor behind an endpoint")


def _of_partner(config: RLConfig) -> Iterator[str]:
    if config.partner_image_max_pixels and not config.foreign_roles:
        yield _no_effect(config, "partner_image_max_pixels", "without a planner or an actor of its own")


def _of_methods(config: RLConfig) -> Iterator[str]:
    """`compat` switches what some estimators, one reward and the filter of replays compute, nothing else."""
    if config.compat is Compat.PAPER:
        return
    of_paper = get_algorithm(config.algorithm)
    of_release = get_algorithm(config.algorithm, EstimatorSettings(compat=config.compat))
    same_reward = get_reward(config.reward) == get_reward(config.reward, compat=config.compat)
    compares_returns = isinstance(config, SemiOnlineConfig) and min_group_std(config) >= 0
    if isinstance(of_paper.options, ForesightOptions):  # it pays by itself, and compares no returns
        yield _no_effect(config, "compat", f"on algorithm {config.algorithm!r}")
    elif of_paper.estimator == of_release.estimator and same_reward and not compares_returns:
        yield _no_effect(config, "compat", f"on algorithm {config.algorithm!r} and reward {config.reward!r}")


def _of_patches(config: SemiOnlineConfig) -> Iterator[str]:
    names = ["patch_thought"]
    plans = config.agent is AgentKind.HIERARCHICAL  # a flat agent's are named above
    if plans:
        names.append("patch_subgoal")
    if config.single_step:
        for name in ("patch_budget", *names):
            if _is_chosen(config, name):
                yield _no_effect(config, name, "with single_step, where no step follows a patch")
    elif config.patch_budget == 0:
        for name in (*names, "subgoals") if plans else names:
            if _is_chosen(config, name):
                yield _no_effect(config, name, "with patch_budget=0")
    elif plans and config.patch_subgoal is PatchSubgoal.NONE and _is_chosen(config, "subgoals"):
        yield _no_effect(config, "subgoals", "with patch_subgoal=none")


def _of_faults(config: OnlineConfig) -> Iterator[str]:
    if config.fault_strategy is FaultStrategy.DROP_GROUP and _is_chosen(config, "max_fault_retries"):
        yield _no_effect(config, "max_fault_retries", "with fault_strategy=drop_group")


def _is_chosen(config: LearnerConfig, name: str) -> bool:
    """Whether a setting that the command has is another than its default."""
    default = next((field.default for field in dataclasses.fields(config) if field.name == name), None)
    return hasattr(config, name) and getattr(config, name) != default


def _no_effect(config: LearnerConfig, name: str, where: str) -> str:
    value: Any = getattr(config, name)
    return f"{name}={value} has no effect {where}"
