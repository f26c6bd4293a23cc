"""A loaded Qwen-VL model with all that sampling and training must agree on.

Both read pictures through the same encoder, both put features into prompts by the same function, and
both take log-probabilities over the same vocabulary: every special token except the end of turn, and
every id that the tokenizer does not know, has probability zero in training exactly as in sampling.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers import DynamicCache

from gui_agent.errors import ConfigError, ImageTokenError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_encoding import PromptEncoder
from gui_agent.policies.transformers_images import ImageEncoder
from gui_agent.policies.transformers_packing import PackedBatch, PackingRules, TokenSequence, pack

_SMALLEST_TREE: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFeatures:
    """What the vision tower made of one screenshot.

    Attributes:
        embeddings_ND: one row per placeholder token, width of the language model.
        deepstack_ND: the same from earlier layers of the tower (Qwen3-VL), else empty.
    """

    embeddings_ND: torch.Tensor
    deepstack_ND: tuple[torch.Tensor, ...]

    @property
    def num_bytes(self) -> int:
        """Memory of all tensors."""
        return sum(t.numel() * t.element_size() for t in (self.embeddings_ND, *self.deepstack_ND))


class FeatureCache:
    """The features that were used last, within a number of bytes.

    A copy of a model that shares its frozen tower shares the cache too, and so its count of bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        """Hold up to `max_bytes`, and one screenshot however large."""
        self._max_bytes = max_bytes
        self._features: OrderedDict[str, ImageFeatures] = OrderedDict()
        self.num_bytes = 0

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._features

    def __getitem__(self, sha256: str) -> ImageFeatures:
        return self._features[sha256]

    def remember(self, sha256: str, features: ImageFeatures) -> None:
        """Keep features as the last that were used; the oldest make room."""
        if sha256 in self._features:
            self._features.move_to_end(sha256)
            return
        self._features[sha256] = features
        self.num_bytes += features.num_bytes
        while self.num_bytes > self._max_bytes and len(self._features) > 1:
            _, oldest = self._features.popitem(last=False)
            self.num_bytes -= oldest.num_bytes

    def clear(self) -> None:
        """Drop everything."""
        self._features.clear()
        self.num_bytes = 0


class VisionLanguageModel:
    """A network, its processor and its vocabulary of tokens that may be written.

    Attributes:
        network: the Hugging Face model; with adapters, the model they are attached to.
        peft_model: peft's wrapper of the network, or None without adapters.
        processor: the Hugging Face processor.
        images: the image path.
        prompts: the prompt encoder.
        family: `qwen2_5_vl` or `qwen3_vl`.
        allowed_V: which token ids can be sampled, bool, shape (V,).
        num_images_encoded: passes of one picture through the vision tower so far.
    """

    def __init__(
        self,
        network: Any,
        processor: Any,
        *,
        peft_model: Any = None,
        image_max_pixels: int = 0,
        vision_frozen: bool = True,
        feature_cache_bytes: int = 1024 * 2**20,
    ) -> None:
        """Wrap a loaded network; see `load_model` for the usual way to get one.

        Raises:
            ConfigError: `image_max_pixels` is below the smallest picture.
        """
        _flatten_patch_convolution(network.model.visual.patch_embed.proj)
        self.network = network
        self.peft_model = peft_model
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.family = str(network.config.model_type)
        self.images = ImageEncoder(processor.image_processor, max_pixels=image_max_pixels)
        self.prompts = PromptEncoder(processor, self.images)
        self.image_token_id = self.prompts.image_token_id
        self.end_token_id = self.prompts.end_token_id
        self.merge_size = int(network.config.vision_config.spatial_merge_size)
        pad = self.tokenizer.pad_token_id
        self.pad_token_id = int(self.end_token_id if pad is None else pad)
        allowed_V = self._allowed_tokens()
        self._allowed_ids = frozenset(torch.nonzero(allowed_V).flatten().tolist())
        self.allowed_V = allowed_V.to(self.device)
        self._suppression_V = torch.zeros(len(self.allowed_V), device=self.device).masked_fill(
            ~self.allowed_V, -torch.inf
        )
        self._features = FeatureCache(feature_cache_bytes)
        self.num_images_encoded = 0
        self._vision_frozen = vision_frozen
        if vision_frozen:
            network.model.visual.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return torch.device(self.network.device)

    @property
    def vision_frozen(self) -> bool:
        """Whether the vision tower never changes, so that features outlive updates."""
        return self._vision_frozen

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the attached adapters."""
        return () if self.peft_model is None else tuple(self.peft_model.peft_config)

    def use_adapter(self, name: str) -> None:
        """Make one adapter the active one; the others keep their weights and get no gradient.

        Raises:
            ConfigError: there is no adapter of that name.
        """
        if name not in self.adapters:
            raise ConfigError(f"no adapter {name!r}; attached are {', '.join(self.adapters) or 'none'}")
        if self.peft_model.active_adapter != name:
            self.peft_model.set_adapter(name)

    def weights_changed(self) -> None:
        """Say that an update was made: features survive it only if the tower is frozen."""
        if not self._vision_frozen:
            self.forget_features()

    def forget_features(self) -> None:
        """Drop all remembered features, for instance after weights were loaded into the network."""
        self._features.clear()

    def encode_images(self, screenshots: Iterable[Screenshot], *, reuse: bool) -> dict[str, ImageFeatures]:
        """Features of distinct screenshots by sha256, each passed through the tower once.

        Args:
            screenshots: repeats are fine.
            reuse: take and remember features without gradient. Only right while the tower's weights
                stay as they are; a training pass through a tower that learns must not.

        Raises:
            ImageDecodeError: a screenshot is damaged.
        """
        distinct = {screenshot.sha256: screenshot for screenshot in screenshots}
        if not reuse:
            return self._run_tower(list(distinct.values()))
        missing = [screenshot for sha256, screenshot in distinct.items() if sha256 not in self._features]
        with torch.no_grad():
            fresh = self._run_tower(missing)
        found = {sha256: fresh[sha256] if sha256 in fresh else self._features[sha256] for sha256 in distinct}
        for sha256, features in found.items():
            self._features.remember(sha256, features)
        return found

    def first_forbidden(self, token_ids: Iterable[int]) -> int | None:
        """The first of these tokens that can never be written, or None."""
        return next((token for token in token_ids if token not in self._allowed_ids), None)

    def log_softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Log-probabilities over the tokens that can be written, float32, at temperature 1."""
        return torch.log_softmax(logits.float() + self._suppression_V, dim=-1)

    def embed(
        self,
        token_ids_BT: torch.Tensor,
        images: Sequence[Sequence[str]],
        features: Mapping[str, ImageFeatures],
    ) -> dict[str, Any]:
        """Input embeddings with features in the place of placeholders, as arguments of `run_decoder`.

        Args:
            token_ids_BT: padded token ids, shape (B, T).
            images: for each row the sha256 of its pictures in reading order.
            features: by sha256.

        Raises:
            ImageTokenError: a row has not exactly one placeholder per feature.
        """
        embeddings_BTD = self.network.get_input_embeddings()(token_ids_BT)
        is_image_BT = token_ids_BT == self.image_token_id
        expected = [sum(len(features[sha256].embeddings_ND) for sha256 in row) for row in images]
        actual = is_image_BT.sum(dim=1).tolist()
        if actual != expected:
            row = next(i for i, pair in enumerate(zip(actual, expected, strict=True)) if pair[0] != pair[1])
            raise ImageTokenError(
                f"row {row} of {len(expected)} has {actual[row]} image placeholders for {expected[row]} "
                "image features; it was truncated or its pictures were lost, drop it"
            )
        ordered = [features[sha256] for row in images for sha256 in row]
        if not ordered:
            return {"inputs_embeds": embeddings_BTD}
        gathered = torch.cat([image.embeddings_ND for image in ordered]).to(embeddings_BTD.dtype)
        inputs: dict[str, Any] = {
            "inputs_embeds": embeddings_BTD.masked_scatter(is_image_BT[..., None], gathered)
        }
        if ordered[0].deepstack_ND:
            inputs["visual_pos_masks"] = is_image_BT
            inputs["deepstack_visual_embeds"] = [
                torch.cat(layer) for layer in zip(*(image.deepstack_ND for image in ordered), strict=True)
            ]
        return inputs

    def run_decoder(
        self,
        inputs: Mapping[str, Any],
        *,
        positions_3BT: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: DynamicCache | None = None,
    ) -> torch.Tensor:
        """Hidden states of the language model, shape (B, T, D).

        Args:
            inputs: what `embed` returned.
            positions_3BT: M-RoPE positions.
            attention_mask: bool, shape (B, 1, T, T + cached), or None for plain causal attention.
            cache: keys and values so far; extended in place.
        """
        output = self.network.model.language_model(
            **inputs,
            position_ids=positions_3BT,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def pack(self, sequences: Sequence[TokenSequence], *, share: bool) -> list[PackedBatch]:
        """Lay sequences out for `run_packed`; with `share`, common beginnings are computed once.

        Raises:
            ImageTokenError: placeholders and pictures of a sequence disagree.
        """
        width = int(self.network.config.get_text_config().hidden_size)
        longest = max((len(sequence.token_ids) for sequence in sequences), default=0)
        rules = PackingRules(
            image_token_id=self.image_token_id,
            pad_token_id=self.pad_token_id,
            merge_size=self.merge_size,
            share=share,
            # The linear layers cost more than attention up to a few widths; beyond, long sequences must
            # still find room for what siblings have of their own.
            max_tokens=max(_SMALLEST_TREE, 4 * width, 2 * longest),
        )
        return pack(sequences, rules)

    def run_packed(
        self, batch: PackedBatch, features: Mapping[str, ImageFeatures], *, cache: DynamicCache | None = None
    ) -> torch.Tensor:
        """Hidden states of a packed batch, shape (S, L, D); `cache` must be empty."""
        mask = None
        if batch.mask_SLL is not None:
            mask = torch.from_numpy(batch.mask_SLL).to(self.device)[:, None]
        return self.run_decoder(
            self.embed(torch.from_numpy(batch.token_ids_SL).to(self.device), batch.images, features),
            positions_3BT=torch.from_numpy(batch.positions_3SL).to(self.device),
            attention_mask=mask,
            cache=cache,
        )

    def new_cache(self) -> DynamicCache:
        """An empty cache of keys and values for `run_decoder`."""
        return DynamicCache(config=self.network.config.get_text_config())

    def _run_tower(self, screenshots: Sequence[Screenshot]) -> dict[str, ImageFeatures]:
        if not screenshots:
            return {}
        images = [self.images.encode(screenshot) for screenshot in screenshots]
        visual = self.network.model.visual
        patches = torch.cat([image.patches_PD for image in images])
        grids = torch.tensor([image.grid for image in images], device=self.device)
        output = visual(patches.to(device=self.device, dtype=visual.dtype), grid_thw=grids, return_dict=True)
        sizes = [image.num_tokens for image in images]
        embeddings = output.pooler_output.split(sizes)
        deepstack = [layer.split(sizes) for layer in getattr(output, "deepstack_features", None) or ()]
        self.num_images_encoded += len(images)
        return {
            image.sha256: ImageFeatures(
                embeddings_ND=embeddings[i], deepstack_ND=tuple(layer[i] for layer in deepstack)
            )
            for i, image in enumerate(images)
        }

    def _allowed_tokens(self) -> torch.Tensor:
        """Known, and not special unless it ends the turn."""
        num_tokens = int(self.network.config.get_text_config().vocab_size)
        allowed = torch.zeros(num_tokens, dtype=torch.bool)
        allowed[list(self.tokenizer.get_vocab().values())] = True
        special = {i for i, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        special.update(self.tokenizer.all_special_ids)
        allowed[[token for token in special if token < num_tokens]] = False
        allowed[self.end_token_id] = True
        return allowed


class _PatchConvolution(torch.nn.Conv3d):
    """A convolution whose kernel covers its whole input: a matrix product, several times faster as one."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Shape (P, channels, time, height, width) to (P, D, 1, 1, 1)."""
        flat = torch.nn.functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)
        return flat[..., None, None, None]


def _flatten_patch_convolution(projection: Any) -> None:
    """Give the patch embedding the faster forward; its parameters, their names and its values stay."""
    if type(projection) is torch.nn.Conv3d and projection.kernel_size == projection.stride:
        projection.__class__ = _PatchConvolution
