"""Log-probabilities of completions under a model that may be learning.

The numbers equal the sampler's: same pixels, same features, same vocabulary. Three savings, all of
them exact:

- each distinct screenshot of a call goes through the vision tower once, and its features are gathered
  into every row that shows it (gradients add up there); a frozen tower's features come from the cache,
- the language-model head is applied to the positions that predict a completion token, and to no other,
- rows whose prompts begin alike (samples of one prompt; roll-outs of one goal whose histories differ)
  may be packed behind one copy of the common beginning, under a mask in which each row sees that
  beginning and itself.

Shapes: B rows, T completion tokens, V token ids; S packed sequences of length L.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from gui_agent.errors import DataError, ImageTokenError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_encoding import mrope_positions
from gui_agent.policies.transformers_model import VisionLanguageModel


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
    share_prefixes: bool = False,
) -> TokenLogprobs:
    """Log-probabilities of the completions, with gradient if it is enabled.

    All rows are computed at once; divide them into micro-batches before.

    Args:
        model: the network; its mode (training or not) is left as it is.
        rows: at least one, each with at least one completion token.
        screenshots: by sha256, all that the rows show.
        entropy: also return entropies.
        share_prefixes: pack rows whose prompts begin alike.

    Raises:
        DataError: no row, a row without completion, or a screenshot that is not there.
        ImageTokenError: placeholders and features of a row disagree.
    """
    _check_rows(rows, screenshots)
    packs = (
        _pack(rows, model.image_token_id) if share_prefixes else [_Pack(rows=(i,)) for i in range(len(rows))]
    )
    layout = _Layout.of(model, rows, packs)
    shown = {sha256: screenshots[sha256] for row in rows for sha256 in row.image_sha256s}
    features = model.encode_images(shown.values(), reuse=model.vision_frozen)
    inputs = model.embed(layout.token_ids_SL, layout.images, features)
    hidden_SLD = model.run_decoder(
        inputs, positions_3BT=layout.positions_3SL, attention_mask=layout.attention_mask
    )
    predicting_ND = hidden_SLD[layout.pack_N, layout.predictor_N]
    logprobs_NV = model.log_softmax(model.network.lm_head(predicting_ND))
    chosen_N = logprobs_NV.gather(1, layout.target_N[:, None])[:, 0]
    return TokenLogprobs(
        logprobs_BT=_unflatten(chosen_N, layout.mask_BT),
        mask_BT=layout.mask_BT,
        entropy_BT=_unflatten(_entropy(logprobs_NV.detach()), layout.mask_BT) if entropy else None,
    )


def _entropy(logprobs_NV: torch.Tensor) -> torch.Tensor:
    # A token that cannot be written has logarithm -inf and adds nothing.
    return -(logprobs_NV.exp() * logprobs_NV.clamp(min=torch.finfo(logprobs_NV.dtype).min)).sum(dim=-1)


def _unflatten(values_N: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    return torch.zeros(mask_BT.shape, dtype=values_N.dtype, device=values_N.device).masked_scatter(
        mask_BT, values_N
    )


def _check_rows(rows: Sequence[TokenRow], screenshots: Mapping[str, Screenshot]) -> None:
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
        for sha256 in row.image_sha256s:
            if sha256 not in screenshots:
                raise DataError(f"row {i} shows screenshot {sha256[:12]}, which was not handed over")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pack:
    """Rows that share the first `prefix_length` tokens and `num_prefix_images` pictures of their prompts."""

    rows: tuple[int, ...]
    prefix_length: int = 0
    num_prefix_images: int = 0


def _pack(rows: Sequence[TokenRow], image_token_id: int) -> list[_Pack]:
    """Put rows with equal prompts behind one copy of the prompt, less its last token.

    The last token stays with each row, so that the predictor of every completion token is its own.
    """
    groups: dict[tuple[tuple[int, ...], tuple[str, ...]], list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault((row.prompt_token_ids, row.image_sha256s), []).append(i)
    return [
        _Pack(
            rows=tuple(members),
            prefix_length=len(rows[members[0]].prompt_token_ids) - 1 if len(members) > 1 else 0,
            num_prefix_images=len(rows[members[0]].image_sha256s) if len(members) > 1 else 0,
        )
        for members in groups.values()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Where every token of every row went: padded sequences, and the position that predicts it."""

    token_ids_SL: torch.Tensor
    positions_3SL: torch.Tensor
    images: list[list[str]]
    attention_mask: torch.Tensor | None
    pack_N: torch.Tensor
    predictor_N: torch.Tensor
    target_N: torch.Tensor
    mask_BT: torch.Tensor

    @classmethod
    def of(cls, model: VisionLanguageModel, rows: Sequence[TokenRow], packs: Sequence[_Pack]) -> _Layout:
        lengths = [
            pack.prefix_length
            + sum(
                len(rows[i].prompt_token_ids) + len(rows[i].token_ids) - pack.prefix_length for i in pack.rows
            )
            for pack in packs
        ]
        width = max(lengths)
        token_ids_SL = np.full((len(packs), width), model.pad_token_id, dtype=np.int64)
        positions_3SL = np.zeros((3, len(packs), width), dtype=np.int64)
        segment_SL = np.full((len(packs), width), -1, dtype=np.int64)
        images: list[list[str]] = []
        place: dict[int, tuple[int, int]] = {}
        for s, pack in enumerate(packs):
            images.append(list(rows[pack.rows[0]].image_sha256s[: pack.num_prefix_images]))
            cursor = 0
            for segment, i in enumerate(pack.rows, start=1):
                ids, positions = _whole_row(model, rows[i])
                start = pack.prefix_length if cursor else 0
                end = cursor + len(ids) - start
                token_ids_SL[s, cursor:end] = ids[start:]
                positions_3SL[:, s, cursor:end] = positions[:, start:]
                segment_SL[s, cursor:end] = segment
                if not cursor:
                    segment_SL[s, : pack.prefix_length] = 0
                images[s].extend(rows[i].image_sha256s[pack.num_prefix_images :])
                place[i] = (s, end - len(rows[i].token_ids))
                cursor = end
        return cls(
            token_ids_SL=torch.from_numpy(token_ids_SL).to(model.device),
            positions_3SL=torch.from_numpy(positions_3SL).to(model.device),
            images=images,
            attention_mask=_tree_mask(segment_SL).to(model.device)
            if any(len(pack.rows) > 1 for pack in packs)
            else None,
            **_targets(rows, place, model.device),
        )


def _whole_row(
    model: VisionLanguageModel, row: TokenRow
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Token ids of prompt and completion, and their M-RoPE positions, shapes (L,) and (3, L)."""
    prompt = mrope_positions(
        row.prompt_token_ids,
        row.image_grids,
        image_token_id=model.image_token_id,
        merge_size=model.merge_size,
    )
    following = prompt.max() + 1 + np.arange(len(row.token_ids))
    return (
        np.asarray(row.prompt_token_ids + row.token_ids, dtype=np.int64),
        np.concatenate([prompt, np.broadcast_to(following, (3, len(following)))], axis=1),
    )


def _tree_mask(segment_SL: npt.NDArray[np.int64]) -> torch.Tensor:
    """Who sees whom: earlier tokens of the same row or of the common prefix (segment 0). (S, 1, L, L)."""
    segment = torch.from_numpy(segment_SL)
    query, key = segment[:, :, None], segment[:, None, :]
    causal = torch.ones(segment.shape[1], segment.shape[1], dtype=torch.bool).tril()
    # Padding sees the padding before it, because a row of the mask that is all False gives NaN.
    return (causal & ((query == key) | ((key == 0) & (query > 0))))[:, None]


def _targets(
    rows: Sequence[TokenRow], place: Mapping[int, tuple[int, int]], device: torch.device
) -> dict[str, torch.Tensor]:
    """For each completion token, row by row: its sequence, the position before it, and its id."""
    lengths = [len(row.token_ids) for row in rows]
    pack_N = np.repeat([place[i][0] for i in range(len(rows))], lengths)
    predictor_N = np.concatenate([place[i][1] - 1 + np.arange(n) for i, n in enumerate(lengths)])
    target_N = np.concatenate([np.asarray(row.token_ids, dtype=np.int64) for row in rows])
    mask_BT = np.arange(max(lengths)) < np.asarray(lengths)[:, None]
    return {
        "pack_N": torch.from_numpy(pack_N).to(device),
        "predictor_N": torch.from_numpy(predictor_N).to(device),
        "target_N": torch.from_numpy(target_N).to(device),
        "mask_BT": torch.from_numpy(mask_BT).to(device),
    }
