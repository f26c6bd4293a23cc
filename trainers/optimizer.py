"""One optimiser step: gradients of all processes summed, clipped, checked, applied.

AdamW works on float32 whatever the weights are: weights in bfloat16 get float32 masters, because a
step of 1e-6 vanishes in their rounding.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file

from gui_agent.errors import ConfigError, DataError
from trainers.choices import SchedulerType
from trainers.config import LearnerConfig

_TENSORS: Final = "optimizer.safetensors"
_COUNTERS: Final = "optimizer.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one optimiser step did.

    Attributes:
        grad_norm: global norm before clipping; not finite if the step was skipped.
        learning_rate: of this step.
        skipped: the gradient was not finite, so the weights were left alone.
    """

    grad_norm: float
    learning_rate: float
    skipped: bool


def learning_rate_at(step: int, config: LearnerConfig) -> float:
    """The learning rate of optimiser step `step`, counted from 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    remaining = max(1, config.max_steps - config.warmup_steps)
    done = min(1.0, (step - config.warmup_steps) / remaining)
    match config.lr_scheduler_type:
        case SchedulerType.CONSTANT:
            return config.learning_rate
        case SchedulerType.LINEAR:
            return config.learning_rate * (1 - done)
        case SchedulerType.COSINE:
            return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class WeightOptimizer:
    """AdamW over the parameters that learn.

    Attributes:
        num_steps: steps so far, skipped ones included.
        num_skipped: steps left out because the gradient was not finite.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, torch.nn.Parameter]],
        config: LearnerConfig,
        accelerator: Accelerator,
    ) -> None:
        """Optimise those of `parameters`, given with their names, that require a gradient.

        Raises:
            ConfigError: none does.
        """
        self._config = config
        self._accelerator = accelerator
        self._weights = {name: weight for name, weight in parameters if weight.requires_grad}
        if not self._weights:
            raise ConfigError("no weight of the model requires a gradient; there is nothing to train")
        self._masters = {name: _master(weight) for name, weight in self._weights.items()}
        decayed = [master for master in self._masters.values() if master.ndim >= 2]
        plain = [master for master in self._masters.values() if master.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self._adam = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            fused=True,
        )
        self.num_steps = 0
        self.num_skipped = 0

    @property
    def num_weights(self) -> int:
        """Numbers that learn."""
        return sum(weight.numel() for weight in self._weights.values())

    def add_gradients(self) -> None:
        """Add what one backward pass brought, in float32; call it after each.

        In bfloat16 a sum over many forward passes would stop growing once each of them is less than a 256th
        of it. A weight that took part nowhere, such as an adapter of another role, gets no gradient: it is
        not even decayed.
        """
        for name, weight in self._weights.items():
            master = self._masters[name]
            if master is weight or weight.grad is None:
                continue
            brought = weight.grad.float()
            master.grad = brought if master.grad is None else master.grad.add_(brought)
            weight.grad = None

    def step(self) -> StepResult:
        """Sum the gradients over processes and apply them, unless they are not finite."""
        if self._accelerator.num_processes > 1:
            self._sum_over_processes()
        gradients = [master.grad for master in self._masters.values() if master.grad is not None]
        assert gradients, "step follows at least one backward pass"
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in gradients]))
        grad_norm = float(norm)
        learning_rate = learning_rate_at(self.num_steps, self._config)
        skipped = not math.isfinite(grad_norm)
        self.num_steps += 1  # before weights move: one that breaks off has begun, see RunFolder.rescue
        if skipped:
            self.num_skipped += 1
        else:
            limit = self._config.max_grad_norm
            if 0 < limit < grad_norm:
                torch._foreach_mul_(gradients, limit / (grad_norm + 1e-6))
            for group in self._adam.param_groups:
                group["lr"] = learning_rate
            self._adam.step()
            self._publish()
        for master in self._masters.values():
            master.grad = None
        return StepResult(grad_norm=grad_norm, learning_rate=learning_rate, skipped=skipped)

    def save(self, folder: Path) -> None:
        """Write moments and masters by parameter name, and the counters."""
        tensors: dict[str, torch.Tensor] = {}
        for name, master in self._masters.items():
            for key, value in self._adam.state[master].items():
                tensors[f"{name}|{key}"] = value.detach().cpu().contiguous()
            if master is not self._weights[name]:
                tensors[f"{name}|master"] = master.detach().cpu().contiguous()
        save_file(tensors, str(folder / _TENSORS))
        counters = {"num_steps": self.num_steps, "num_skipped": self.num_skipped}
        (folder / _COUNTERS).write_text(json.dumps(counters) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; the weights themselves must have been loaded before.

        Raises:
            DataError: the folder holds moments of other parameters.
        """
        tensors = load_file(str(folder / _TENSORS))
        known = {name.rpartition("|")[0] for name in tensors}
        if known - set(self._masters):
            raise DataError(
                f"{folder / _TENSORS} holds moments of {sorted(known - set(self._masters))[0]!r}, which does "
                "not learn in this run; resume with the settings in the checkpoint's config.json"
            )
        for name, master in self._masters.items():
            state: dict[str, Any] = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = tensors.get(f"{name}|{key}")
                if value is not None:
                    state[key] = value.to(master.device)
            if state:
                self._adam.state[master] = state
            with torch.no_grad():
                if master is not self._weights[name]:
                    master.copy_(tensors.get(f"{name}|master", self._weights[name]))
        counters = json.loads((folder / _COUNTERS).read_text(encoding="utf-8"))
        self.num_steps, self.num_skipped = counters["num_steps"], counters["num_skipped"]

    def _sum_over_processes(self) -> None:
        """One sum over one flat buffer: all gradients, and for each weight who had one."""
        masters = list(self._masters.values())
        device = masters[0].device
        present = torch.tensor([float(master.grad is not None) for master in masters], device=device)
        gradients = [torch.zeros_like(m) if m.grad is None else m.grad for m in masters]
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), present])
        total = self._accelerator.reduce(flat, reduction="sum")
        *pieces, present = total.split([*(master.numel() for master in masters), len(masters)])
        for master, piece, count in zip(masters, pieces, present.tolist(), strict=True):
            master.grad = piece.view_as(master) if count else None

    @torch.no_grad()
    def _publish(self) -> None:
        for name, master in self._masters.items():
            weight = self._weights[name]
            if master is not weight:
                weight.copy_(master)


def _master(weight: torch.nn.Parameter) -> torch.Tensor:
    if weight.dtype is torch.float32:
        return weight
    return weight.detach().float().clone()
