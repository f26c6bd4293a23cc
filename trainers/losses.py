"""Losses on padded tensors: clipped surrogate, KL estimators, aggregation.

Shape letters: B rows, T tokens. Masks are 1 where a token was sampled and 0 in padding; what stands in
padding, NaN included, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

import torch

_MAX_LOG_RATIO: Final = 20.0
_MAX_KL: Final = 10.0


class Aggregation(StrEnum):
    """How a loss per token becomes one number."""

    TOKEN_MEAN = "token-mean"
    """Over all tokens: long responses weigh more. The papers' 1/K."""
    SEQ_MEAN_TOKEN_MEAN = "seq-mean-token-mean"
    """The mean over rows of each row's mean over its tokens."""
    SEQ_MEAN_TOKEN_SUM = "seq-mean-token-sum"
    """The mean over rows of each row's sum over its tokens."""


class KlEstimator(StrEnum):
    """Estimates of KL(policy || reference) from sampled tokens (Schulman, "Approximating KL divergence")."""

    K1 = "k1"
    ABS = "abs"
    K2 = "k2"
    K3 = "k3"
    """Never negative and unbiased; also known as `low_var_kl`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoss:
    """The surrogate loss, with gradient, and what to log beside it, without.

    Attributes:
        loss: to minimise.
        clip_fraction: share of tokens whose loss the clip of the ratio decides.
        dual_clip_fraction: share of tokens whose loss the dual clip decides.
        approx_kl: mean of old minus new log-probability.
    """

    loss: torch.Tensor
    clip_fraction: torch.Tensor
    dual_clip_fraction: torch.Tensor
    approx_kl: torch.Tensor


def aggregate(
    values_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    how: Aggregation,
    *,
    num_tokens: float | None = None,
) -> torch.Tensor:
    """One number from a value per token.

    Args:
        values_BT: a loss per token.
        mask_BT: which tokens count; rows without any do not count as rows.
        how: the kind of mean.
        num_tokens: divisor of the token mean, in place of the number of tokens here, so that
            micro-batches and ranks add up to the mean over all of them.
    """
    mask = mask_BT.bool()
    kept_BT = torch.where(mask, values_BT, torch.zeros_like(values_BT))
    sums_B, counts_B = kept_BT.sum(dim=-1), mask.sum(dim=-1)
    rows = (counts_B > 0).sum().clamp(min=1)
    match how:
        case Aggregation.TOKEN_MEAN:
            return sums_B.sum() / (counts_B.sum().clamp(min=1) if num_tokens is None else num_tokens)
        case Aggregation.SEQ_MEAN_TOKEN_MEAN:
            return (sums_B / counts_B.clamp(min=1)).sum() / rows
        case Aggregation.SEQ_MEAN_TOKEN_SUM:
            return sums_B.sum() / rows
        case _:
            assert_never(how)


def policy_loss(
    logprobs_BT: torch.Tensor,
    old_logprobs_BT: torch.Tensor,
    advantages_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float = 3.0,
    how: Aggregation = Aggregation.TOKEN_MEAN,
    num_tokens: float | None = None,
) -> PolicyLoss:
    """The clipped surrogate, bounded for negative advantages by the dual clip.

    Args:
        logprobs_BT: natural-log probabilities of the sampled tokens under the policy, with gradient.
        old_logprobs_BT: the same when they were sampled.
        advantages_BT: one per token, the same within a row.
        mask_BT: which tokens were sampled.
        clip_low: the ratio counts from 1 - clip_low …
        clip_high: … to 1 + clip_high.
        dual_clip: bound of the ratio for negative advantages, more than 1; 0 is off.
        how: the kind of mean.
        num_tokens: see `aggregate`.

    Source: PPO, arXiv:1707.06347, equation 7; dual clip, arXiv:1912.09729, equation 6; the log-ratio is
        clamped to ±20 (reference vectors `policy_loss`).
    """
    # Padding is emptied before anything is computed: behind a NaN even a masked gradient is NaN.
    logprobs_BT, old_logprobs_BT, advantages_BT = (
        torch.where(mask_BT.bool(), values_BT, torch.zeros_like(values_BT))
        for values_BT in (logprobs_BT, old_logprobs_BT, advantages_BT)
    )
    log_ratio_BT = (logprobs_BT - old_logprobs_BT).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    ratio_BT = log_ratio_BT.exp()
    plain_BT = -advantages_BT * ratio_BT
    clipped_BT = -advantages_BT * ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    loss_BT = torch.maximum(plain_BT, clipped_BT)
    bounded = torch.zeros_like(mask_BT, dtype=torch.bool)
    if dual_clip > 0:
        bound_BT = -advantages_BT * dual_clip
        bounded = (advantages_BT < 0) & (loss_BT > bound_BT)
        loss_BT = torch.where(advantages_BT < 0, torch.minimum(loss_BT, bound_BT), loss_BT)
    with torch.no_grad():
        mean = Aggregation.TOKEN_MEAN
        clip_fraction = aggregate((clipped_BT > plain_BT).float(), mask_BT, mean)
        dual_clip_fraction = aggregate(bounded.float(), mask_BT, mean)
        approx_kl = aggregate(-log_ratio_BT, mask_BT, mean)
    return PolicyLoss(
        loss=aggregate(loss_BT, mask_BT, how, num_tokens=num_tokens),
        clip_fraction=clip_fraction,
        dual_clip_fraction=dual_clip_fraction,
        approx_kl=approx_kl,
    )


def kl_estimate(
    logprobs_BT: torch.Tensor, reference_BT: torch.Tensor, estimator: KlEstimator = KlEstimator.K3
) -> torch.Tensor:
    """KL(policy || reference) estimated for each sampled token, shape (B, T).

    k3 clamps the log-ratio to ±20 and the result to ±10.

    Source: Schulman, "Approximating KL divergence"; GRPO, arXiv:2402.03300, equation 4.
    """
    difference_BT = logprobs_BT - reference_BT
    match estimator:
        case KlEstimator.K1:
            return difference_BT
        case KlEstimator.ABS:
            return difference_BT.abs()
        case KlEstimator.K2:
            return difference_BT.square() / 2
        case KlEstimator.K3:
            log_ratio_BT = (-difference_BT).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
            return (log_ratio_BT.exp() - log_ratio_BT - 1).clamp(-_MAX_KL, _MAX_KL)
        case _:
            assert_never(estimator)
