"""What a mini-batch minimises, as sums over tokens.

An objective sees the log-probabilities of one micro-batch as flat vectors over its completion tokens
(shape (N,)) and returns a sum; the learner divides by the number of tokens of the whole mini-batch, so
that neither micro-batches nor processes nor the order of rows weigh anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from trainers.config import RLConfig

_MAX_LOG_RATIO = 20.0
_MAX_KL = 10.0


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

    Source: PPO, arXiv:1707.06347, equation 7; dual clip, arXiv:1912.09729, equation 6; k3 as in
    GRPO, arXiv:2402.03300, equation 4. Bounds as in UI-S1, section 1.8 of our algorithm notes.
    """

    def objective(logprobs_N: torch.Tensor, targets: TokenTargets) -> Objective:
        assert targets.old_logprobs_N is not None, "policy gradients need old log-probabilities"
        advantages_N = targets.advantages_N
        log_ratio_N = (logprobs_N - targets.old_logprobs_N).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
        ratio_N = log_ratio_N.exp()
        clipped_N = ratio_N.clamp(1 - config.clip_low, 1 + config.clip_high)
        loss_N = torch.maximum(-advantages_N * ratio_N, -advantages_N * clipped_N)
        if config.dual_clip > 0:
            bounded_N = torch.minimum(loss_N, -advantages_N * config.dual_clip)
            loss_N = torch.where(advantages_N < 0, bounded_N, loss_N)
        with torch.no_grad():
            low_N = (ratio_N < 1 - config.clip_low) & (advantages_N < 0)
            high_N = (ratio_N > 1 + config.clip_high) & (advantages_N > 0)
            sums = {
                "clip_ratio/low_mean": low_N.sum(),
                "clip_ratio/high_mean": high_N.sum(),
                "clip_ratio/region_mean": (low_N | high_N).sum(),
                "importance_ratio/mean": ratio_N.sum(),
            }
        if targets.reference_logprobs_N is None:
            return Objective(loss=loss_N.sum(), sums=sums)
        kl_N = k3(logprobs_N, targets.reference_logprobs_N)
        sums["kl"] = kl_N.detach().sum()
        return Objective(loss=(loss_N + config.beta * kl_N).sum(), sums=sums)

    return objective


def k3(logprobs_N: torch.Tensor, reference_N: torch.Tensor) -> torch.Tensor:
    """Unbiased, never negative estimate of KL(policy || reference) for each sampled token."""
    log_ratio_N = (reference_N - logprobs_N).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    return (log_ratio_N.exp() - log_ratio_N - 1).clamp(-_MAX_KL, _MAX_KL)
