"""What a mini-batch minimises, as sums over tokens.

An objective sees the log-probabilities of one micro-batch as flat vectors over its completion tokens
(shape (N,)) and returns a sum; the learner divides by the number of tokens of the whole mini-batch, so
that neither micro-batches nor processes nor the order of rows weigh anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from trainers.losses import kl_estimate, policy_loss
from trainers.rl_config import RLConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTargets:
    """What is known about the tokens of a micro-batch before the forward pass, each of shape (N,).

    Attributes:
        advantages_N: of the row that a token belongs to.
        old_logprobs_N: below the line of the importance ratio; None in supervised training.
        reference_logprobs_N: under the starting weights; None without a KL term.
    """

    advantages_N: torch.Tensor
    old_logprobs_N: torch.Tensor | None = None
    reference_logprobs_N: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Sums over the tokens of a micro-batch: the loss, with gradient, and what is reported, without."""

    loss: torch.Tensor
    sums: dict[str, torch.Tensor] = field(default_factory=dict)


ObjectiveFn = Callable[[torch.Tensor, TokenTargets], Objective]


def negative_log_likelihood(logprobs_N: torch.Tensor, targets: TokenTargets) -> Objective:
    """Supervised training: the target's tokens become likelier."""
    return Objective(loss=-(logprobs_N * targets.advantages_N).sum())


def policy_gradient(config: RLConfig) -> ObjectiveFn:
    """The clipped surrogate with dual clip, plus beta times the k3 estimate of the KL to the reference.

    Source: see `trainers.losses`; together as in UI-S1, arXiv:2509.11543, equation 12.
    """

    def objective(logprobs_N: torch.Tensor, targets: TokenTargets) -> Objective:
        assert targets.old_logprobs_N is not None, "policy gradients need old log-probabilities"
        surrogate = policy_loss(
            logprobs_N[None],
            targets.old_logprobs_N[None],
            targets.advantages_N[None],
            torch.ones_like(logprobs_N, dtype=torch.bool)[None],
            clip_low=config.clip_low,
            clip_high=config.clip_high,
            dual_clip=config.dual_clip,
            num_tokens=1,  # a sum; the learner divides
        )
        with torch.no_grad():
            ratio_N = (logprobs_N - targets.old_logprobs_N).exp()
            low_N = (ratio_N < 1 - config.clip_low) & (targets.advantages_N < 0)
            high_N = (ratio_N > 1 + config.clip_high) & (targets.advantages_N > 0)
            sums = {
                "clip_ratio/low_mean": low_N.sum(),
                "clip_ratio/high_mean": high_N.sum(),
                "clip_ratio/region_mean": (low_N | high_N).sum(),
                "clip_ratio/dual_mean": surrogate.dual_clip_fraction * len(logprobs_N),
                "importance_ratio/mean": ratio_N.sum(),
            }
        if targets.reference_logprobs_N is None:
            return Objective(loss=surrogate.loss, sums=sums)
        kl = kl_estimate(logprobs_N, targets.reference_logprobs_N).sum()
        return Objective(loss=surrogate.loss + config.beta * kl, sums={**sums, "kl": kl.detach()})

    return objective
