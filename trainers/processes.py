"""The processes that share one training, and what they tell each other."""

from __future__ import annotations

from typing import Final

import torch
from accelerate import Accelerator, DistributedType, PartialState

from gui_agent.errors import ConfigError
from trainers.config import LearnerConfig

_WHOLE_WEIGHTS: Final = frozenset({DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU})


def build_accelerator(config: LearnerConfig) -> Accelerator:
    """The processes that share this training, as `accelerate launch` started them.

    Raises:
        ConfigError: they are to shard the weights, which this learner does not do.
    """
    accelerator = Accelerator(cpu=config.device == "cpu")
    if accelerator.distributed_type not in _WHOLE_WEIGHTS:
        raise ConfigError(
            f"accelerate was launched with {accelerator.distributed_type.value}; every process holds all "
            "weights here, so launch with --multi_gpu or --cpu, and use lora_rank where memory is short"
        )
    return accelerator


def this_process() -> PartialState:
    """Which of the processes of a training this is (`process_index`, `num_processes`, `is_main_process`).

    Call it after `build_accelerator`, which says what they talk over.
    """
    return PartialState()


def total(values: torch.Tensor, accelerator: Accelerator) -> torch.Tensor:
    """Sums over all processes, entry by entry, on the CPU."""
    if accelerator.num_processes == 1:
        return values
    return accelerator.reduce(values.to(accelerator.device), reduction="sum").cpu()


def largest(value: float, accelerator: Accelerator) -> float:
    """The largest value of all processes."""
    values = torch.tensor([value], dtype=torch.float64)
    if accelerator.num_processes > 1:
        values = accelerator.gather(values.to(accelerator.device))
    return float(values.max())
