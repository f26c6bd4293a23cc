"""Builds a Qwen-VL of one to five million parameters, saved as an ordinary Hugging Face folder.

It has the architecture, the special tokens and the manner of prompts of its big relatives, so that
nothing that loads, samples or trains it knows that it is tiny. Two things make it learn in minutes on
a CPU: whole numbers are single tokens, so that a coordinate is one decision, and texts that never
change ("macros", such as the frame of a tool call) are single tokens too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    Qwen2_5_VLConfig,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
)

from gui_agent.errors import ConfigError
from gui_agent.policies.transformers_images import PROCESSOR_CLASSES
from gui_agent.policy import ImageBudget

Family = Literal["qwen2_5_vl", "qwen3_vl"]

END_OF_TEXT: Final = "<|endoftext|>"
END_OF_TURN: Final = "<|im_end|>"
SPECIAL_TOKENS: Final = (
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Qwen writes these without marking them as special, so that a model may say them.
_MARKUP_TOKENS: Final = ("<tool_call>", "</tool_call>", "<think>", "</think>")
_MERGE_SIZE: Final = 2
_TEMPORAL_PATCH_SIZE: Final = 2
# Qwen2Tokenizer splits text this way whatever it was trained with: words, single digits, punctuation.
_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE: Final = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- else -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyModelConfig:
    """Size and vocabulary of a tiny model; the defaults suit screens of 112 by 224 pixels.

    Attributes:
        family: architecture, `qwen2_5_vl` or `qwen3_vl`.
        hidden_size: width of the language model.
        num_layers: depth of the language model.
        num_heads: attention heads; must divide `hidden_size`.
        num_key_value_heads: heads of keys and values; must divide `num_heads`.
        mlp_size: width inside the language model's feed-forward layers.
        vision_hidden_size: width of the vision tower.
        vision_depth: depth of the vision tower.
        vision_heads: attention heads of the vision tower.
        vision_mlp_size: width inside the tower's feed-forward layers.
        patch_size_px: side of a patch; a token covers two by two patches.
        max_image_tokens: larger pictures are shrunk to this many tokens.
        rope_theta: base of the rotary frequencies. Far below 1e4 the model cannot match content.
        initializer_range: standard deviation of fresh weights; the usual 0.02 is too small at this width.
        bpe_vocab_size: tokens learnt from the corpus, the 256 bytes included.
        number_tokens: whole numbers from 10 up to this one, excluded, are one token each; 0 for none.
        macro_tokens: texts that are one token each.
        max_positions: longest sequence.
    """

    family: Family = "qwen3_vl"
    hidden_size: int = 128
    num_layers: int = 3
    num_heads: int = 4
    num_key_value_heads: int = 2
    mlp_size: int = 384
    vision_hidden_size: int = 96
    vision_depth: int = 2
    vision_heads: int = 4
    vision_mlp_size: int = 192
    patch_size_px: int = 14
    max_image_tokens: int = 1024
    rope_theta: float = 10_000.0
    initializer_range: float = 0.06
    bpe_vocab_size: int = 600
    number_tokens: int = 300
    macro_tokens: tuple[str, ...] = ()
    max_positions: int = 4096

    def __post_init__(self) -> None:
        if self.family not in PROCESSOR_CLASSES:
            raise ConfigError(f"family is {self.family!r}; expected one of {', '.join(PROCESSOR_CLASSES)}")
        if self.hidden_size % (2 * self.num_heads) or self.num_heads % self.num_key_value_heads:
            raise ConfigError(
                f"{self.num_heads} heads with {self.num_key_value_heads} of keys and values do not fit a "
                f"width of {self.hidden_size}; each must divide the one before, with an even width per head"
            )
        if self.vision_hidden_size % (4 * self.vision_heads):
            raise ConfigError(
                f"vision_hidden_size is {self.vision_hidden_size}; expected a multiple of 4 x "
                f"{self.vision_heads} vision heads"
            )

    @property
    def image_budget(self) -> ImageBudget:
        """How pictures are resized for the model."""
        factor = self.patch_size_px * _MERGE_SIZE
        return ImageBudget(
            factor=factor, min_pixels=4 * factor**2, max_pixels=self.max_image_tokens * factor**2
        )


def build_tiny_model(config: TinyModelConfig, corpus: Iterable[str], out_dir: str | Path, seed: int) -> Path:
    """Build a model with random weights and save it with its tokenizer and processor.

    Args:
        config: sizes and vocabulary.
        corpus: texts to learn the tokenizer from: prompts and answers of the task at hand.
        out_dir: folder to write, made if missing.
        seed: of the weights.

    Returns:
        The folder, for `load_model`, or for `AutoModelForImageTextToText` and `load_processor`.

    Raises:
        ConfigError: the corpus is empty.
    """
    tokenizer = build_tokenizer(config, corpus)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoModelForImageTextToText.from_config(_model_config(config, tokenizer))
    generation = network.generation_config
    generation.pad_token_id = tokenizer.pad_token_id
    generation.eos_token_id = tokenizer.eos_token_id
    network.save_pretrained(out_dir)
    _processor(config, tokenizer).save_pretrained(out_dir)
    return Path(out_dir)


def build_tokenizer(config: TinyModelConfig, corpus: Iterable[str]) -> Qwen2Tokenizer:
    """Learn a byte-level BPE of Qwen's kind, with its special tokens, numbers and macros added.

    Raises:
        ConfigError: the corpus is empty.
    """
    texts = list(corpus)
    if not any(texts):
        raise ConfigError("the corpus is empty; pass prompts and answers of the task to learn tokens from")
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learner.decoder = decoders.ByteLevel()
    bpe = trainers.BpeTrainer(
        vocab_size=config.bpe_vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(texts, bpe)
    learnt = json.loads(learner.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=[
            tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in learnt["merges"]
        ],
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        unk_token=None,
        extra_special_tokens=list(SPECIAL_TOKENS[1:]),
        model_max_length=config.max_positions,
        # Only what is passed here is saved; set later, it would be right again after loading.
        padding_side="left",
    )
    plain = [*_MARKUP_TOKENS, *config.macro_tokens]
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
    numbers = [str(number) for number in range(10, config.number_tokens)]
    tokenizer.add_tokens(
        [AddedToken(text, special=False, normalized=False, single_word=True) for text in numbers]
    )
    return tokenizer


def _processor(config: TinyModelConfig, tokenizer: Qwen2Tokenizer) -> Any:
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=config.patch_size_px,
        merge_size=_MERGE_SIZE,
        temporal_patch_size=_TEMPORAL_PATCH_SIZE,
        size={
            "shortest_edge": config.image_budget.min_pixels,
            "longest_edge": config.image_budget.max_pixels,
        },
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    processor_class = PROCESSOR_CLASSES[config.family]
    return processor_class(image_processor=image_processor, tokenizer=tokenizer, chat_template=CHAT_TEMPLATE)


def _model_config(config: TinyModelConfig, tokenizer: Qwen2Tokenizer) -> Any:
    token_id = tokenizer.convert_tokens_to_ids
    vision: dict[str, Any] = {
        "depth": config.vision_depth,
        "hidden_size": config.vision_hidden_size,
        "intermediate_size": config.vision_mlp_size,
        "num_heads": config.vision_heads,
        "out_hidden_size": config.hidden_size,
        "patch_size": config.patch_size_px,
        "spatial_merge_size": _MERGE_SIZE,
        "temporal_patch_size": _TEMPORAL_PATCH_SIZE,
        "initializer_range": config.initializer_range,
    }
    head_size = config.hidden_size // config.num_heads
    text: dict[str, Any] = {
        "vocab_size": -(-len(tokenizer) // 64) * 64,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.mlp_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": 1e-6,
        "initializer_range": config.initializer_range,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
    }
    shared: dict[str, Any] = {
        "image_token_id": token_id("<|image_pad|>"),
        "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_end_token_id": token_id("<|vision_end|>"),
        "tie_word_embeddings": True,
    }
    # The sections of time, height and width share the rotary frequencies of half a head.
    side = head_size // 2 * 3 // 8
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": config.rope_theta,
        "mrope_section": [head_size // 2 - 2 * side, side, side],
    }
    if config.family == "qwen2_5_vl":
        # Screens are small: every layer of the tower attends to all of it, none to windows.
        vision |= {
            "window_size": config.patch_size_px * _MERGE_SIZE * 4,
            "fullatt_block_indexes": list(range(config.vision_depth)),
        }
        text |= {"bos_token_id": None, "rope_parameters": rope}
        return Qwen2_5_VLConfig(text_config=text, vision_config=vision, **shared)
    vision |= {"num_position_embeddings": 256, "deepstack_visual_indexes": [0]}
    text |= {"head_dim": head_size, "rope_parameters": rope | {"mrope_interleaved": True}}
    return Qwen3VLConfig(text_config=text, vision_config=vision, **shared)
