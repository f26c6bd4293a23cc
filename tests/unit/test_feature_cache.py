"""Remembered features of screenshots: bounded, the oldest first to go, one count for all copies."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from PIL import Image

from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_loading import load_model
from gui_agent.policies.transformers_model import FeatureCache, ImageFeatures


def features(num_numbers: int) -> ImageFeatures:
    return ImageFeatures(embeddings_ND=torch.zeros(num_numbers, 1), deepstack_ND=())


def test_what_was_used_last_stays() -> None:
    cache = FeatureCache(max_bytes=8)
    cache.remember("a", features(1))
    cache.remember("b", features(1))
    cache.remember("a", features(1))
    cache.remember("c", features(1))
    assert [name in cache for name in "abc"] == [True, False, True]
    assert cache.num_bytes == 8
    cache.remember("large", features(100))
    assert "large" in cache, "one screenshot fits however large it is"
    assert "c" not in cache
    cache.clear()
    assert (cache.num_bytes, "large" in cache) == (0, False)


def test_a_copy_for_the_reference_counts_in_the_same_cache(tiny_model_dir: Path) -> None:
    model = load_model(tiny_model_dir)
    reference = copy.copy(model)
    shown = [Screenshot.from_image(Image.new("RGB", (56, 56), color)) for color in ("red", "green")]
    for _ in range(3):
        reference.encode_images(shown, reuse=True)
        model.forget_features()
    assert reference._features is model._features
    assert model._features.num_bytes == 0
