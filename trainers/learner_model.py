"""Loading the model that a training is to change."""

from __future__ import annotations

import sys
import warnings

import torch
from accelerate import Accelerator
from transformers.utils.logging import disable_progress_bar

from gui_agent.agent_spec import AgentKind
from gui_agent.errors import ConfigError
from gui_agent.policies.transformers_loading import DEFAULT_ADAPTER, LoraSettings, load_model
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_roles import ROLE_ADAPTERS, adapter_of_role
from trainers.config import LearnerConfig
from trainers.processes import build_accelerator
from trainers.rl_config import RLConfig
from trainers.schedule import BOTH_ROLES


def load_learner_model(
    config: LearnerConfig,
    *,
    accelerator: Accelerator | None = None,
    adapters: tuple[str, ...] | None = None,
) -> VisionLanguageModel:
    """Load the checkpoint that `config.model` names, ready to learn.

    Args:
        config: names the model, its adapters' rank and the kind of agent.
        accelerator: says where it lives, if `config` does not.
        adapters: names of those to attach; None gives the roles of a hierarchical agent one each.

    Raises:
        ConfigError: there is none, or bfloat16 is asked for where it cannot be computed.
    """
    by_kind = ROLE_ADAPTERS if config.trains_two_roles else (DEFAULT_ADAPTER,)
    keep_quiet_without_terminal()
    if not config.model:
        raise ConfigError("model is empty; set it to a checkpoint folder or a name on the hub")
    device = config.device or str((accelerator or build_accelerator(config)).device)
    torch.manual_seed(config.seed)  # adapters begin at random, and alike in all processes
    lora = LoraSettings(rank=config.adapter_rank, alpha=config.lora_alpha) if config.adapter_rank else None
    model = load_model(
        config.model,
        dtype="bfloat16" if config.bf16 else "float32",
        device=device,
        lora=lora,
        adapters=adapters or by_kind,
        image_max_pixels=config.image_max_pixels,
        vision_frozen=config.freeze_vision,
        gradient_checkpointing=config.gradient_checkpointing,
    )
    if adapters is None and config.agent is AgentKind.FLAT and adapter_of_role(model.adapters):
        raise ConfigError(
            f"{config.model} holds the adapters of a planner and an actor; train it with --agent "
            "hierarchical, or start from its base"
        )
    _check_rank(config, model)
    return model


def _check_rank(config: LearnerConfig, model: VisionLanguageModel) -> None:
    """Adapters that a model came with have a rank; another one that is asked for would have no effect."""
    for name in model.adapters if config.lora_rank is not None else ():
        rank = int(model.peft_model.peft_config[name].r)
        if config.lora_rank != rank:
            raise ConfigError(
                f"lora_rank is {config.lora_rank}, but the adapter {name!r} of {config.model} has rank "
                f"{rank}; leave lora_rank out to go on training it, or start from its base"
            )


def check_roles(config: LearnerConfig, model: VisionLanguageModel) -> None:
    """Ask whether planner and actor have weights of their own, where one is to stay as it is.

    A role that is frozen must have; one that rests until its turn comes should, and a warning says so.

    Raises:
        ConfigError: a role is to be frozen that shares its weights with the other.
    """
    foreign = config.foreign_roles if isinstance(config, RLConfig) else frozenset()
    own = sorted(role.value for role in config.frozen_roles - foreign)
    if own and not adapter_of_role(model.adapters):
        raise ConfigError(
            f"the {own[0]} is to stay as it is, but planner and actor share all weights of {config.model}; "
            "leave lora_rank=0 out, so that each has an adapter of its own"
        )
    in_turn = isinstance(config, RLConfig) and config.learning_roles(0) < BOTH_ROLES - config.frozen_roles
    if in_turn and not adapter_of_role(model.adapters):
        warnings.warn(
            "by their schedule planner and actor learn in turn, but they share all weights of "
            f"{config.model}, so that whoever rests changes too; leave lora_rank=0 out, so that each has an "
            "adapter of its own",
            stacklevel=3,
        )


def keep_quiet_without_terminal() -> None:
    """Leave out the progress bars of loading and saving where nobody looks at them."""
    if not sys.stderr.isatty():
        disable_progress_bar()
