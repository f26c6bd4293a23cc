from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoTokenizer

from gui_agent.errors import ConfigError
from gui_agent.policies.transformers_loading import load_processor
from trainers.tiny_model import TinyModelConfig, build_tiny_model, build_tokenizer

CORPUS = ["tap the red button", "open Settings", '{"action": "click", "coordinate": [28, 60]}']
MACRO = '{"action": "click", "coordinate": ['
TOKENIZER = build_tokenizer(TinyModelConfig(macro_tokens=(MACRO,)), CORPUS)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_default_size_loads_and_computes(family: str, tmp_path: Path) -> None:
    folder = build_tiny_model(TinyModelConfig(family=family), CORPUS, tmp_path, seed=0)  # type: ignore[arg-type]
    network = AutoModelForImageTextToText.from_pretrained(folder)
    processor = load_processor(folder)
    assert network.config.model_type == family
    assert 1e6 < sum(parameter.numel() for parameter in network.parameters()) < 5e6
    assert network.lm_head.weight is network.get_input_embeddings().weight
    assert processor.tokenizer.padding_side == "left"
    conversation = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "tap"}]}]
    text = processor.apply_chat_template(conversation, add_generation_prompt=True)
    assert text == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>tap<|im_end|>\n<|im_start|>assistant\n"
    )
    inputs = processor(images=[Image.new("RGB", (112, 224))], text=[text], return_tensors="pt")
    assert (inputs["input_ids"] == network.config.image_token_id).sum() == 32
    with torch.no_grad():
        assert network(**inputs).logits.isfinite().all()


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    config = TinyModelConfig(hidden_size=32, vision_hidden_size=32, bpe_vocab_size=300, number_tokens=0)
    state = torch.random.get_rng_state()
    weights = []
    for index, seed in enumerate((0, 0, 1)):
        folder = build_tiny_model(config, CORPUS, tmp_path / str(index), seed=seed)
        weights.append(AutoModelForImageTextToText.from_pretrained(folder).state_dict())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_tokenizer_is_the_same_after_loading(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*CORPUS, "12 x12 3.14 (299, 300)", "<tool_call>\nümlaut<|im_end|>"):
        assert loaded.encode(text) == TOKENIZER.encode(text)
    assert (loaded.eos_token, loaded.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert loaded.padding_side == "left"


def test_coordinates_and_macros_are_single_tokens() -> None:
    text = MACRO + "28, 160]}"
    pieces = [TOKENIZER.decode([token]) for token in TOKENIZER.encode(text)]
    assert pieces[0] == MACRO
    assert "28" in pieces
    assert "160" in pieces


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_round_trips(text: str) -> None:
    import unicodedata

    if any(token in text for token in TOKENIZER.all_special_tokens):
        return
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "llava"}, "llava"),
        ({"hidden_size": 100}, "do not fit"),
        ({"num_heads": 4, "num_key_value_heads": 3}, "do not fit"),
        ({"vision_hidden_size": 90}, "vision_hidden_size is 90"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TinyModelConfig(**changes)  # type: ignore[arg-type]


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="corpus is empty"):
        build_tiny_model(TinyModelConfig(), [], tmp_path, seed=0)
