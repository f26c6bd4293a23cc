"""The decode loop: several prompts, several samples each, one batch.

What prompts have in common is computed once, finished rows leave the batch, and the noise of a row is
a function of its own seed, so that a row draws the same tokens in whatever company it is sampled. Each
step of a row uses one uniform number, turned into a token by inverting the cumulative distribution.

Shapes: B rows, V token ids; S packed trees of L tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from gui_agent.errors import PolicyError
from gui_agent.policies.transformers_encoding import EncodedPrompt
from gui_agent.policies.transformers_model import ImageFeatures, VisionLanguageModel
from gui_agent.policies.transformers_packing import PackedBatch, TokenSequence
from gui_agent.policy import FinishReason, SamplingParams

# A cache is copied to drop rows from it, so a few finished rows are carried along.
_DROP_FINISHED_ABOVE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRow:
    """One continuation to draw."""

    prompt: EncodedPrompt
    params: SamplingParams
    noise_seed: int


@dataclass(slots=True, kw_only=True)
class SampledTokens:
    """Tokens drawn for one row and their log-probabilities at temperature 1."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason = FinishReason.LENGTH


@torch.no_grad()
def sample_rows(model: VisionLanguageModel, rows: Sequence[SamplingRow]) -> list[SampledTokens]:
    """Draw one continuation for each row, in order.

    Raises:
        ImageTokenError: a prompt's placeholders and pictures disagree.
    """
    if not rows:
        return []
    was_training = model.network.training
    model.network.eval()
    try:
        return _sample_rows(model, rows)
    finally:
        model.network.train(was_training)


def _sample_rows(model: VisionLanguageModel, rows: Sequence[SamplingRow]) -> list[SampledTokens]:
    prompts = [
        TokenSequence(
            token_ids=row.prompt.token_ids,
            image_grids=row.prompt.image_grids,
            image_sha256s=row.prompt.image_sha256s,
        )
        for row in rows
    ]
    features = model.encode_images(
        (screenshot for row in rows for screenshot in row.prompt.screenshots), reuse=True
    )
    return _decode(model, rows, _Prefill(model, prompts, features))


class _Prefill:
    """Prompts, computed: keys and values, the last hidden state, and the position that follows."""

    def __init__(
        self,
        model: VisionLanguageModel,
        prompts: Sequence[TokenSequence],
        features: Mapping[str, ImageFeatures],
    ) -> None:
        batches = model.pack(prompts, share=True)
        self.width = max(len(prompt.token_ids) for prompt in prompts)
        order = np.concatenate([batch.sequences for batch in batches])
        back = torch.from_numpy(np.argsort(order)).to(model.device)
        parts = [self._run(model, batch, features) for batch in batches]
        self.hidden_BD, self.position_B, self.lengths_B = (
            torch.cat([getattr(part, name) for part in parts])[back]
            for name in ("hidden_BD", "position_B", "lengths_B")
        )
        self.cache = model.new_cache()
        for layer in range(len(parts[0].layers)):
            keys, values = (torch.cat([part.layers[layer][kind] for part in parts]) for kind in (0, 1))
            self.cache.update(keys[back], values[back], layer)

    def _run(
        self, model: VisionLanguageModel, batch: PackedBatch, features: Mapping[str, ImageFeatures]
    ) -> _PrefilledBatch:
        cache = model.new_cache()
        hidden_SLD = model.run_packed(batch, features, cache=cache)
        tree_B = torch.from_numpy(batch.tree_B).to(model.device)
        place_BT = np.pad(batch.place_BT, ((0, 0), (0, self.width - batch.place_BT.shape[1])), mode="edge")
        gather = (tree_B[:, None], slice(None), torch.from_numpy(place_BT).to(model.device))
        last_B = batch.place_BT[np.arange(len(batch.tree_B)), batch.lengths_B - 1]
        # The last token of a prompt is text, and so the furthest on every axis.
        next_position_B = batch.positions_3SL[0, batch.tree_B, last_B] + 1
        return _PrefilledBatch(
            hidden_BD=hidden_SLD[tree_B, torch.from_numpy(last_B).to(model.device)],
            position_B=torch.from_numpy(next_position_B).to(model.device),
            lengths_B=torch.from_numpy(batch.lengths_B).to(model.device),
            layers=[
                (layer.keys[gather].transpose(1, 2), layer.values[gather].transpose(1, 2))
                for layer in cache.layers
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PrefilledBatch:
    """One packed batch of prompts, unpacked into rows; `layers` holds keys and values."""

    hidden_BD: torch.Tensor
    position_B: torch.Tensor
    lengths_B: torch.Tensor
    layers: list[tuple[torch.Tensor, torch.Tensor]]


def _decode(
    model: VisionLanguageModel, rows: Sequence[SamplingRow], prefill: _Prefill
) -> list[SampledTokens]:
    device = model.device
    sampled = [SampledTokens() for _ in rows]
    noise = [_noise(row) for row in rows]
    settings = _RowSettings.of(rows, device)
    cache = prefill.cache
    active = list(range(len(rows)))
    hidden_BD, position_B = prefill.hidden_BD, prefill.position_B
    padded = bool((prefill.lengths_B < prefill.width).any())
    key_is_real_BK = torch.arange(prefill.width, device=device) < prefill.lengths_B[:, None]
    embed = model.network.get_input_embeddings()
    for step in range(max(row.params.max_new_tokens for row in rows)):
        logprobs_BV = model.log_softmax(model.network.lm_head(hidden_BD))
        uniform_B = torch.tensor(
            [noise[i][step] if step < len(noise[i]) else 0.0 for i in active],
            dtype=torch.float64,
            device=device,
        )
        tokens_B = _choose(logprobs_BV, uniform_B, settings)
        chosen_B = logprobs_BV.gather(1, tokens_B[:, None])[:, 0]
        going_on = _record(model, rows, sampled, active, tokens_B.tolist(), chosen_B.tolist())
        if not any(going_on):
            break
        if going_on.count(False) > _DROP_FINISHED_ABOVE * len(active):
            keep = torch.tensor([k for k, on in enumerate(going_on) if on], device=device)
            active = [active[k] for k in keep.tolist()]
            cache.batch_select_indices(keep)
            tokens_B, position_B, key_is_real_BK = tokens_B[keep], position_B[keep], key_is_real_BK[keep]
            settings = settings.select(keep)
        key_is_real_BK = torch.nn.functional.pad(key_is_real_BK, (0, 1), value=True)
        hidden_BTD = model.run_decoder(
            {"inputs_embeds": embed(tokens_B)[:, None]},
            positions_3BT=position_B[None, :, None].expand(3, -1, 1),
            attention_mask=key_is_real_BK[:, None, None] if padded else None,
            cache=cache,
        )
        hidden_BD = hidden_BTD[:, 0]
        position_B = position_B + 1
    return sampled


def _record(
    model: VisionLanguageModel,
    rows: Sequence[SamplingRow],
    sampled: Sequence[SampledTokens],
    active: Sequence[int],
    tokens: Sequence[int],
    logprobs: Sequence[float],
) -> list[bool]:
    """Append one token to each row that is not finished; say for each active row whether it goes on."""
    going_on = []
    for i, token, logprob in zip(active, tokens, logprobs, strict=True):
        result, limit = sampled[i], rows[i].params.max_new_tokens
        finished = result.finish_reason is FinishReason.STOP or len(result.token_ids) >= limit
        if not finished:
            if not math.isfinite(logprob):
                raise PolicyError(
                    f"token {len(result.token_ids)} of a response has log-probability {logprob}: the model "
                    "computes no numbers any more; its weights hold NaN (training diverged, or the "
                    "checkpoint is damaged), or overflow in its dtype: try another checkpoint, or float32"
                )
            result.token_ids.append(token)
            result.logprobs.append(logprob)
            if token == model.end_token_id:
                result.finish_reason = FinishReason.STOP
            finished = token == model.end_token_id or len(result.token_ids) >= limit
        going_on.append(not finished)
    return going_on


def _noise(row: SamplingRow) -> list[float]:
    """One uniform number in [0, 1) per step; greedy rows need none."""
    if row.params.temperature == 0:
        return []
    return (
        np.random.Generator(np.random.Philox(key=row.noise_seed)).random(row.params.max_new_tokens).tolist()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowSettings:
    """Sampling settings as columns; `filtered` if any row uses top-k or top-p."""

    temperature_B: torch.Tensor
    top_p_B: torch.Tensor
    top_k_B: torch.Tensor
    plain: bool
    filtered: bool

    @classmethod
    def of(cls, rows: Sequence[SamplingRow], device: torch.device) -> _RowSettings:
        params = [row.params for row in rows]
        return cls(
            temperature_B=torch.tensor([p.temperature for p in params], device=device),
            top_p_B=torch.tensor([p.top_p for p in params], device=device),
            top_k_B=torch.tensor([p.top_k for p in params], device=device),
            plain=all(p.temperature == 1 for p in params),
            filtered=any(p.top_p < 1 or p.top_k > 0 for p in params),
        )

    def select(self, keep: torch.Tensor) -> _RowSettings:
        return _RowSettings(
            temperature_B=self.temperature_B[keep],
            top_p_B=self.top_p_B[keep],
            top_k_B=self.top_k_B[keep],
            plain=self.plain,
            filtered=self.filtered,
        )


def _choose(logprobs_BV: torch.Tensor, uniform_B: torch.Tensor, settings: _RowSettings) -> torch.Tensor:
    """One token per row: the most likely at temperature 0, else by inverting the distribution."""
    greedy_B = settings.temperature_B == 0
    if bool(greedy_B.all()):
        return logprobs_BV.argmax(dim=-1)
    if settings.plain:
        probabilities_BV = logprobs_BV.exp()
    else:
        temperature_B = settings.temperature_B.masked_fill(greedy_B, 1.0)
        probabilities_BV = torch.softmax(logprobs_BV / temperature_B[:, None], dim=-1)
    if settings.filtered:
        probabilities_BV = _keep_most_likely(probabilities_BV, settings)
    cumulative_BV = probabilities_BV.double().cumsum(dim=-1)
    total_B = cumulative_BV[:, -1]
    # Below the total, so that the token found is one that adds to it.
    target_B = torch.minimum(uniform_B * total_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    tokens_B = torch.searchsorted(cumulative_BV, target_B[:, None], right=True)[:, 0]
    return torch.where(greedy_B, logprobs_BV.argmax(dim=-1), tokens_B) if bool(greedy_B.any()) else tokens_B


def _keep_most_likely(probabilities_BV: torch.Tensor, settings: _RowSettings) -> torch.Tensor:
    """Zero all tokens outside the top k, and outside the smallest set that holds top p of the rest.

    Source: nucleus sampling, arXiv:1904.09751.
    """
    sorted_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True, stable=True)
    rank_V = torch.arange(sorted_BV.shape[-1], device=sorted_BV.device)
    limit_B = torch.where(settings.top_k_B > 0, settings.top_k_B, sorted_BV.shape[-1])
    kept_BV = sorted_BV * (rank_V < limit_B[:, None])
    kept_BV = kept_BV / kept_BV.sum(dim=-1, keepdim=True)
    before_BV = kept_BV.cumsum(dim=-1) - kept_BV
    kept_BV = kept_BV * ((before_BV < settings.top_p_B[:, None]) | (settings.top_p_B[:, None] >= 1))
    return torch.zeros_like(probabilities_BV).scatter(1, order_BV, kept_BV)
