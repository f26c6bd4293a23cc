"""Log-probabilities of completions under a model that may be learning.

The numbers equal the sampler's: same pixels, same features, same vocabulary. Three savings, all of
them exact:

- each distinct screenshot of a call goes through the vision tower once, and its features are gathered
  into every row that shows it (gradients add up there); a frozen tower's features come from the cache,
- the language-model head is applied to the positions that predict a completion token, and to no other,
- rows whose prompts begin alike (samples of one prompt; roll-outs of one goal whose histories differ)
  are packed into a tree, see `gui_agent.policies.transformers_packing`.

Shapes: B rows, T completion tokens, N completion tokens of all rows, V token ids; S trees of L tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.checkpoint import checkpoint

from gui_agent.errors import DataError, ImageTokenError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_packing import PackedBatch, TokenSequence

# Above this many logits (64 Mi, 256 MiB in float32) the head is applied in pieces.
_MAX_LOGITS: Final = 64 * 2**20


class TokenRow(Protocol):
    """One prompt and one completion, as token ids."""

    @property
    def prompt_token_ids(self) -> tuple[int, ...]:
        """The prompt as it was read, placeholders expanded."""
        ...

    @property
    def image_grids(self) -> tuple[tuple[int, int, int], ...]:
        """(time, height, width) in patches of each picture."""
        ...

    @property
    def image_sha256s(self) -> tuple[str, ...]:
        """Names of the pictures, in reading order."""
        ...

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The completion."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainTokenRow:
    """A `TokenRow` and nothing else."""

    prompt_token_ids: tuple[int, ...]
    image_grids: tuple[tuple[int, int, int], ...]
    image_sha256s: tuple[str, ...]
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """Log-probabilities of the completion tokens of some rows.

    Attributes:
        logprobs_BT: natural logarithm, float32, at temperature 1; 0 behind the end of a row.
        mask_BT: True where a row has a token.
        entropy_BT: entropy in nats of the distribution that each token was drawn from, without
            gradient; None if it was not asked for.
    """

    logprobs_BT: torch.Tensor
    mask_BT: torch.Tensor
    entropy_BT: torch.Tensor | None


def token_logprobs(
    model: VisionLanguageModel,
    rows: Sequence[TokenRow],
    screenshots: Mapping[str, Screenshot],
    *,
    entropy: bool = False,
    share_prefixes: bool = True,
) -> TokenLogprobs:
    """Log-probabilities of the completions, with gradient if it is enabled.

    All rows are computed at once; divide them into micro-batches before.

    Args:
        model: the network; its mode (training or not) is left as it is.
        rows: at least one, each with at least one completion token.
        screenshots: by sha256, all that the rows show.
        entropy: also return entropies.
        share_prefixes: compute common beginnings once; off, every row is computed alone.

    Raises:
        DataError: no row, a row without completion, a completion with a token that can never be sampled,
            or a screenshot that is not there.
        ImageTokenError: placeholders and features of a row disagree.
    """
    _check_rows(model, rows, screenshots)
    shown = {sha256: screenshots[sha256] for row in rows for sha256 in row.image_sha256s}
    features = model.encode_images(shown.values(), reuse=model.vision_frozen)
    sequences = [
        TokenSequence(
            token_ids=row.prompt_token_ids + row.token_ids,
            image_grids=row.image_grids,
            image_sha256s=row.image_sha256s,
        )
        for row in rows
    ]
    lengths = [len(row.token_ids) for row in rows]
    predictors: list[torch.Tensor] = []
    order: list[int] = []
    for batch in model.pack(sequences, share=share_prefixes):
        hidden_SLD = model.run_packed(batch, features)
        tree_N, place_N = _predictors(batch, lengths)
        predictors.append(
            hidden_SLD[torch.from_numpy(tree_N).to(model.device), torch.from_numpy(place_N).to(model.device)]
        )
        order.extend(batch.sequences)
    target_N = np.concatenate([np.asarray(rows[i].token_ids) for i in order])
    scores = _score(
        model, torch.cat(predictors), torch.from_numpy(target_N).to(model.device), entropy=entropy
    )
    width = max(lengths)
    flat_N = np.concatenate([i * width + np.arange(lengths[i]) for i in order])
    to_rows = _ToRows(shape=(len(rows), width), index_N=torch.from_numpy(flat_N).to(model.device))
    return TokenLogprobs(
        logprobs_BT=to_rows(scores.logprobs_N),
        mask_BT=to_rows(torch.ones_like(scores.logprobs_N, dtype=torch.bool)),
        entropy_BT=None if scores.entropy_N is None else to_rows(scores.entropy_N),
    )


def _predictors(
    batch: PackedBatch, lengths: Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tree and place of the token before each completion token, sequence by sequence."""
    trees, places = [], []
    for b, sequence in enumerate(batch.sequences):
        end = int(batch.lengths_B[b]) - 1
        places.append(batch.place_BT[b, end - lengths[sequence] : end])
        trees.append(np.full(lengths[sequence], batch.tree_B[b]))
    return np.concatenate(trees), np.concatenate(places)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ToRows:
    """Puts flat values of N tokens into a padded array of rows."""

    shape: tuple[int, int]
    index_N: torch.Tensor

    def __call__(self, values_N: torch.Tensor) -> torch.Tensor:
        empty = torch.zeros(self.shape[0] * self.shape[1], dtype=values_N.dtype, device=values_N.device)
        return empty.scatter(0, self.index_N, values_N).view(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    logprobs_N: torch.Tensor
    entropy_N: torch.Tensor | None


def _score(
    model: VisionLanguageModel, hidden_ND: torch.Tensor, target_N: torch.Tensor, *, entropy: bool
) -> _Scores:
    """Apply the head; in pieces that are computed again in the backward pass where it would be large."""
    piece = max(1, _MAX_LOGITS // len(model.allowed_V))

    def score(hidden_ND: torch.Tensor, target_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        logprobs_NV = model.log_softmax(model.network.lm_head(hidden_ND))
        chosen_N = logprobs_NV.gather(1, target_N[:, None])[:, 0]
        return chosen_N, _entropy(logprobs_NV.detach()) if entropy else None

    if len(target_N) <= piece:
        pieces = [score(hidden_ND, target_N)]
    else:
        pieces = [
            checkpoint(score, hidden, target, use_reentrant=False)
            for hidden, target in zip(hidden_ND.split(piece), target_N.split(piece), strict=True)
        ]
    return _Scores(
        logprobs_N=torch.cat([logprobs for logprobs, _ in pieces]),
        entropy_N=torch.cat([found for _, found in pieces if found is not None]) if entropy else None,
    )


def _entropy(logprobs_NV: torch.Tensor) -> torch.Tensor:
    # A token that cannot be written has logarithm -inf and adds nothing.
    return -(logprobs_NV.exp() * logprobs_NV.clamp(min=torch.finfo(logprobs_NV.dtype).min)).sum(dim=-1)


def _check_rows(
    model: VisionLanguageModel, rows: Sequence[TokenRow], screenshots: Mapping[str, Screenshot]
) -> None:
    if not rows:
        raise DataError("no rows to compute log-probabilities of; skip the update instead")
    for i, row in enumerate(rows):
        if not row.token_ids or not row.prompt_token_ids:
            raise DataError(f"row {i} has an empty prompt or completion; drop it")
        if len(row.image_sha256s) != len(row.image_grids):
            raise ImageTokenError(
                f"row {i} names {len(row.image_sha256s)} pictures but has {len(row.image_grids)} grids; "
                "drop it"
            )
        if (token := model.first_forbidden(row.token_ids)) is not None:
            kind = ImageTokenError if token == model.image_token_id else DataError
            raise kind(
                f"row {i} has {model.tokenizer.decode([token])!r} (token {token}) in its completion, which "
                "has probability 0 because it can never be sampled; drop the row, or leave the token out"
            )
        for sha256 in row.image_sha256s:
            if sha256 not in screenshots:
                raise DataError(f"row {i} shows screenshot {sha256[:12]}, which was not handed over")
