"""What an update reports of its tokens: sums on each process, means over all of them at the end.

Shapes: N completion tokens of a micro-batch, row after row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator

from trainers.metrics import Metrics
from trainers.processes import largest, total


@dataclass(slots=True)
class TokenSums:
    """Sums over the tokens of one or more mini-batches on this process.

    Attributes:
        num_tokens: of these mini-batches, on all processes.
        by_name: one sum for each metric.
        compared_tokens: tokens that sampler and trainer both have a log-probability of.
        difference: sum of the absolute differences between the two.
        largest_difference: the largest of them.
    """

    num_tokens: int = 0
    by_name: dict[str, torch.Tensor] = field(default_factory=dict)
    compared_tokens: int = 0
    difference: float = 0.0
    largest_difference: float = 0.0

    def add(self, sums: Mapping[str, torch.Tensor]) -> None:
        """Count the sums of one more micro-batch."""
        for name, value in sums.items():
            self.by_name[name] = self.by_name.get(name, 0.0) + value.detach().double()

    def compare(self, logprobs_N: torch.Tensor, sampled_N: torch.Tensor) -> None:
        """Count the differences between the trainer's and the sampler's log-probabilities."""
        difference_N = (logprobs_N.detach() - sampled_N).abs()
        self.compared_tokens += difference_N.numel()
        self.difference += float(difference_N.double().sum())
        self.largest_difference = max(self.largest_difference, float(difference_N.max()))

    def means(self, names: Collection[str], accelerator: Accelerator) -> Metrics:
        """Token means over all processes.

        Args:
            names: what is reported beside what was counted here: the same on all processes, also on one that
                had nothing to compute.
            accelerator: the processes.
        """
        ordered = sorted({*names, *self.by_name})
        local = [self.by_name.get(name, torch.zeros(())) for name in ordered]
        sums = total(torch.stack([torch.as_tensor(v, dtype=torch.float64).cpu() for v in local]), accelerator)
        return {name: float(v) / self.num_tokens for name, v in zip(ordered, sums.tolist(), strict=True)}

    def sampling_difference(self, accelerator: Accelerator) -> Metrics:
        """How far sampler and trainer differ, over all processes; nothing where nothing was compared."""
        sums = torch.tensor([self.difference, float(self.compared_tokens)], dtype=torch.float64)
        difference, compared = total(sums, accelerator).tolist()
        at_most = largest(self.largest_difference, accelerator)
        if not compared:
            return {}
        return {
            "sampling/sampling_logp_difference/mean": difference / compared,
            "sampling/sampling_logp_difference/max": at_most,
        }
