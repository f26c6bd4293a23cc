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
    foreign = isinstance(config, RLConfig) and bool(config.foreign_roles)
    two_roles = config.agent is AgentKind.HIERARCHICAL and not foreign
    by_kind = ROLE_ADAPTERS if two_roles else (DEFAULT_ADAPTER,)
    keep_quiet_without_terminal()
    if not config.model:
        raise ConfigError("model is empty; set it to a checkpoint folder or a name on the hub")
    device = config.device or str((accelerator or build_accelerator(config)).device)
    torch.manual_seed(config.seed)  # adapters begin at random, and alike in all processes
    lora = LoraSettings(rank=config.lora_rank, alpha=config.lora_alpha) if config.lora_rank else None
    model = load_model(
        config.model,
        dtype="bfloat16" if config.bf16 else "float32",
        device=device,
        lora=lora,
        adapters=adapters or by_kind,
        vision_frozen=config.freeze_vision,
        gradient_checkpointing=config.gradient_checkpointing,
    )
    if adapters is None and config.agent is AgentKind.FLAT and adapter_of_role(model.adapters):
        raise ConfigError(
            f"{config.model} holds the adapters of a planner and an actor; train it with --agent "
            "hierarchical, or start from its base"
        )
    return model


def check_frozen_roles(config: LearnerConfig, model: VisionLanguageModel) -> None:
    """Refuse to freeze a role whose weights are the other's too.

    Raises:
        ConfigError: so it is.
    """
    foreign = config.foreign_roles if isinstance(config, RLConfig) else frozenset()
    own = sorted(role.value for role in config.frozen_roles - foreign)
    if own and not adapter_of_role(model.adapters):
        raise ConfigError(
            f"the {own[0]} is to stay as it is, but planner and actor share all weights of {config.model}; "
            "set lora_rank, so that each has an adapter of its own"
        )
    in_turn = isinstance(config, RLConfig) and config.learning_roles(0) < BOTH_ROLES - config.frozen_roles
    if in_turn and not adapter_of_role(model.adapters):
        warnings.warn(
            "by their schedule planner and actor learn in turn, but they share all weights of "
            f"{config.model}, so that whoever rests changes too; set lora_rank, so that each has an adapter "
            "of its own",
            stacklevel=3,
        )


def keep_quiet_without_terminal() -> None:
    """Leave out the progress bars of loading and saving where nobody looks at them."""
    if not sys.stderr.isatty():
        disable_progress_bar()
