"""Losses on padded tensors."""

from __future__ import annotations

import pytest
import torch

from trainers.losses import Aggregation, KlEstimator, aggregate, kl_estimate, policy_loss

MASK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Aggregation.TOKEN_MEAN, (1 + 2 + 4) / 3),
        (Aggregation.SEQ_MEAN_TOKEN_MEAN, (1.5 + 4) / 2),
        (Aggregation.SEQ_MEAN_TOKEN_SUM, (3 + 4) / 2),
    ],
)
def test_aggregation(how: Aggregation, expected: float) -> None:
    values = torch.tensor([[1.0, 2.0, float("nan")], [4.0, float("inf"), 7.0]])
    assert aggregate(values, MASK, how).item() == pytest.approx(expected)
    padding_row = torch.cat([values, torch.full((1, 3), float("nan"))])
    mask = torch.cat([MASK, torch.zeros(1, 3)])
    assert aggregate(padding_row, mask, how).item() == pytest.approx(expected)


def test_micro_batches_add_up_to_the_global_token_mean() -> None:
    values = torch.arange(6.0).reshape(2, 3)
    whole = aggregate(values, MASK, Aggregation.TOKEN_MEAN)
    parts = [
        aggregate(values[i : i + 1], MASK[i : i + 1], Aggregation.TOKEN_MEAN, num_tokens=3.0)
        for i in range(2)
    ]
    assert sum(parts).item() == pytest.approx(whole.item())


def test_padding_changes_neither_loss_nor_gradient() -> None:
    def gradient(padding: float) -> tuple[float, torch.Tensor]:
        logprobs = torch.tensor([[-1.0, -2.0, padding], [-0.5, padding, padding]], requires_grad=True)
        old = torch.tensor([[-1.2, -1.5, padding], [-0.6, padding, padding]])
        advantages = torch.tensor([[1.0, 1.0, padding], [-2.0, padding, padding]])
        result = policy_loss(logprobs, old, advantages, MASK)
        result.loss.backward()
        assert logprobs.grad is not None
        return result.loss.item(), logprobs.grad

    loss, grad = gradient(0.0)
    nan_loss, nan_grad = gradient(float("nan"))
    assert loss == nan_loss
    torch.testing.assert_close(grad, nan_grad)
    assert grad[0, 2] == 0


def test_on_policy_gradient_is_the_plain_one() -> None:
    logprobs = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    advantages = torch.tensor([[3.0, -1.0]])
    result = policy_loss(logprobs, logprobs.detach(), advantages, torch.ones(1, 2))
    result.loss.backward()
    torch.testing.assert_close(logprobs.grad, -advantages / 2)
    assert (result.clip_fraction, result.dual_clip_fraction, result.approx_kl) == (0, 0, 0)


def test_clips_stop_the_gradient() -> None:
    old = torch.zeros(1, 3)
    logprobs = torch.tensor([[0.5, -0.5, 2.0]], requires_grad=True)
    advantages = torch.tensor([[1.0, -1.0, -1.0]])
    result = policy_loss(logprobs, old, advantages, torch.ones(1, 3))
    result.loss.backward()
    assert not logprobs.grad.any()
    assert result.clip_fraction.item() == pytest.approx(2 / 3)
    assert result.dual_clip_fraction.item() == pytest.approx(1 / 3)
    unbounded = policy_loss(logprobs, old, advantages, torch.ones(1, 3), dual_clip=0)
    assert unbounded.loss > result.loss


def test_a_wild_ratio_stays_finite() -> None:
    result = policy_loss(torch.zeros(1, 1), torch.full((1, 1), -1e4), torch.ones(1, 1) * -1, torch.ones(1, 1))
    assert result.loss.item() == pytest.approx(3.0)


def test_kl_estimators() -> None:
    logprobs, reference = torch.tensor([-1.0, -1.0, 0.0]), torch.tensor([-1.0, -1.5, -100.0])
    assert kl_estimate(logprobs, reference, KlEstimator.K1).tolist() == [0.0, 0.5, 100.0]
    assert kl_estimate(-logprobs, -reference, KlEstimator.ABS).tolist() == [0.0, 0.5, 100.0]
    assert kl_estimate(logprobs, reference, KlEstimator.K2).tolist() == [0.0, 0.125, 5000.0]
    k3 = kl_estimate(logprobs, reference)
    assert k3[0] == 0
    assert k3[1].item() == pytest.approx(0.10653, abs=1e-5)
    assert k3[2] == 10.0
