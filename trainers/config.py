"""Settings that every training has: how weights change. Published values are the defaults.

Names are Hugging Face's where one exists. The classes are flat, so that a recipe is one list of keys
and a command line is one list of flags. `LearnerConfig` is the base; `trainers.rl_config` adds how groups
become advantages; one class per command adds where its rows come from (`trainers.semi_online_config`,
`trainers.online_config`, `trainers.sft_config`). None of these files imports torch.

Source of the defaults: UI-S1, arXiv:2509.11543, table 9 and the release's script where the paper is
silent (`num_generations`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gui_agent.agent_spec import AgentKind
from gui_agent.errors import ConfigError
from gui_agent.policy import AgentRole, check_image_max_pixels
from trainers.choices import SchedulerType

ROLE_LORA_RANK: Final = 32
"""Rank of the adapters of a planner and an actor where none is chosen."""

REPORTER_NAMES: Final = frozenset({"tensorboard", "trackio", "wandb"})


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """How weights change.

    Attributes:
        model: folder or hub name of a Qwen2.5-VL or Qwen3-VL checkpoint.
        output_dir: where metrics, checkpoints and the trajectory store go.
        learning_rate: of AdamW; 0 changes nothing.
        lr_scheduler_type: how the learning rate moves after its warm-up.
        warmup_steps: optimiser steps over which the learning rate rises linearly from zero.
        weight_decay: of AdamW, on matrices only.
        adam_beta1: decay of the first moment.
        adam_beta2: decay of the second moment.
        adam_epsilon: added to the denominator.
        max_grad_norm: gradients are scaled down to this global norm; 0 leaves them alone.
        max_tokens_per_batch: padded tokens in one forward pass; a longer row goes alone.
        max_steps: stop with the update that reaches so many optimiser steps; -1 means no such limit.
        max_cpu_s: stop after this many CPU seconds of this process, those before a resume included; 0 is no
            limit.
        max_rows: stop with the update that reaches so many trained rows; 0 is no limit.
        share_prefixes: compute a prompt once for all its samples in a forward pass; exact, and several times
            faster where siblings share their prompts.
        lora_rank: rank of low-rank adapters on the language model; 0 trains all weights. None is 32 for a
            planner and an actor, who then have adapters of their own, and 0 otherwise; a model that has
            adapters goes on with them.
        lora_alpha: adapters are scaled by lora_alpha / lora_rank.
        image_max_pixels: pixels of the largest screenshot that the model is shown, after resizing; 0 shows it
            what it was trained with. A screen of 1080x2400 is 3,354 tokens of Qwen2.5-VL at its own bound,
            1,272 at 1003520.
        freeze_vision: give the vision tower no gradient, so that features of a screenshot are computed once
            for all.
        bf16: load weights in bfloat16; needs a device that computes in it.
        gradient_checkpointing: trade time for memory in training.
        device: where the weights live ("cpu", "cuda:0"); empty lets accelerate choose.
        seed: of everything random.
        deterministic: serve the policy in lock-step, so that a resumed run repeats every bit (times
            excluded).
        logging_steps: updates between two lines on a stdout that is no terminal.
        save_steps: updates between two checkpoints; 0 writes the last one only.
        save_total_limit: checkpoints to keep; 0 keeps all.
        resume_from_checkpoint: true continues from the newest complete checkpoint in `output_dir`; a path
            names one.
        report_to: any of tensorboard, trackio, wandb; metrics.jsonl is always written.
        agent: flat, or hierarchical: a planner writes a subgoal for each step and an actor executes it. The
            two are adapters of their own, and share all weights with lora_rank=0.
        planner_format: planner format of a hierarchical agent, by name; empty takes compact beside a compact
            `format`, else hi_agent.
        actor_history: earlier steps that a planner's actor is reminded of, at most; -1 leaves that to its
            format, 0 shows it the screen and the subgoal alone.
        freeze_planner: leave the planner as it is; it needs an adapter of its own.
        freeze_actor: leave the actor as it is; it needs an adapter of its own.
    """

    model: str = ""
    output_dir: Path = Path("runs/train")
    learning_rate: float = 1e-6
    lr_scheduler_type: SchedulerType = SchedulerType.CONSTANT
    warmup_steps: int = 0
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    max_tokens_per_batch: int = 4096
    share_prefixes: bool = True
    max_steps: int = -1
    max_cpu_s: float = 0.0
    max_rows: int = 0
    lora_rank: int | None = None
    lora_alpha: int = 32
    image_max_pixels: int = 0
    freeze_vision: bool = True
    bf16: bool = False
    gradient_checkpointing: bool = False
    device: str = ""
    seed: int = 0
    deterministic: bool = True
    logging_steps: int = 1
    save_steps: int = 10
    save_total_limit: int = 2
    resume_from_checkpoint: bool | Path = False
    report_to: tuple[str, ...] = ()
    agent: AgentKind = AgentKind.FLAT
    planner_format: str = ""
    actor_history: int = -1
    freeze_planner: bool = False
    freeze_actor: bool = False

    def __post_init__(self) -> None:
        self._require(self.learning_rate >= 0, "learning_rate", "0 or more")
        self._require(self.max_tokens_per_batch >= 1, "max_tokens_per_batch", "1 or more")
        self._require(self.warmup_steps >= 0, "warmup_steps", "0 or more")
        self._require(self.max_grad_norm >= 0, "max_grad_norm", "0 (off) or more")
        self._require(self.weight_decay >= 0, "weight_decay", "0 or more")
        self._require(0 <= self.adam_beta1 < 1, "adam_beta1", "at least 0 and less than 1")
        self._require(0 <= self.adam_beta2 < 1, "adam_beta2", "at least 0 and less than 1")
        self._require(self.adam_epsilon > 0, "adam_epsilon", "more than 0")
        self._require(self.lora_alpha >= 1, "lora_alpha", "1 or more")
        self._require(self.save_total_limit >= 0, "save_total_limit", "0 (all) or more")
        self._require((self.lora_rank or 0) >= 0, "lora_rank", "0 (all weights) or more")
        self._require(self.max_cpu_s >= 0, "max_cpu_s", "0 (no limit) or more")
        self._require(self.max_rows >= 0, "max_rows", "0 (no limit) or more")
        self._require(self.logging_steps >= 1, "logging_steps", "1 or more")
        self._require(self.save_steps >= 0, "save_steps", "0 (last only) or more")
        self._require(self.max_steps >= -1, "max_steps", "-1 (no limit), 0 or more")
        unknown = sorted(set(self.report_to) - REPORTER_NAMES)
        self._require(not unknown, "report_to", f"any of {', '.join(sorted(REPORTER_NAMES))}")
        if self.adapter_rank and not self.freeze_vision:
            raise ConfigError(
                f"lora_rank={self.adapter_rank} trains adapters of the language model alone, so that "
                "freeze_vision=false has no effect; leave it at true, or set lora_rank=0 to train all weights"
            )
        check_image_max_pixels(self.image_max_pixels)
        self._check_roles()
        decays = self.lr_scheduler_type is not SchedulerType.CONSTANT
        if decays and self.max_steps < 1:
            raise ConfigError(
                f"lr_scheduler_type={self.lr_scheduler_type} ends at max_steps, which is {self.max_steps}; "
                "set max_steps to the number of optimiser steps, or use lr_scheduler_type=constant"
            )

    @property
    def trains_two_roles(self) -> bool:
        """Whether a planner and an actor of one base are both in training."""
        return self.agent is AgentKind.HIERARCHICAL

    @property
    def adapter_rank(self) -> int:
        """Rank of the adapters that are attached to a model without any; 0 trains all weights."""
        if self.lora_rank is not None:
            return self.lora_rank
        return ROLE_LORA_RANK if self.trains_two_roles else 0

    @property
    def frozen_roles(self) -> frozenset[AgentRole]:
        """Roles whose responses are not learnt from."""
        frozen = {AgentRole.PLANNER: self.freeze_planner, AgentRole.ACTOR: self.freeze_actor}
        return frozenset(role for role, is_frozen in frozen.items() if is_frozen)

    def _check_roles(self) -> None:
        self._require(self.actor_history >= -1, "actor_history", "-1 (as the format keeps), 0 or more")
        if self.agent is AgentKind.FLAT and (self.planner_format or self.frozen_roles):
            given = "planner_format" if self.planner_format else "a setting of planner and actor"
            raise ConfigError(f"{given} is set, but a flat agent has no planner; say --agent hierarchical")
        if len(self.frozen_roles) == 2:
            raise ConfigError(
                "the planner and the actor are both left as they are (freeze_planner, freeze_actor, planner, "
                "actor), so that nothing would be trained; leave one of them out"
            )

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise ConfigError(f"{name} is {getattr(self, name)!r}; expected {expected}")


def config_to_dict(config: LearnerConfig) -> dict[str, Any]:
    """The settings as JSON-ready values, paths as text."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
