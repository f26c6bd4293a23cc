"""Adapters as they were when training began: the reference of the KL term."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gui_agent.policies.transformers_model import VisionLanguageModel


class StartingAdapters:
    """What a model's adapters were.

    Fresh adapters add nothing, so that the base alone stands for them and nothing is copied; adapters that
    were trained before are.
    """

    def __init__(self, model: VisionLanguageModel) -> None:
        """Remember the present adapters of `model`."""
        self._model = model
        weights = {name: weight for name, weight in model.network.named_parameters() if _is_adapter(name)}
        fresh = not any(bool(weight.any()) for name, weight in weights.items() if "lora_B" in name)
        self._kept = {} if fresh else {name: weight.detach().clone() for name, weight in weights.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While this is open, the model computes with the adapters that it began with."""
        if not self._kept:
            with self._model.peft_model.disable_adapter():
                yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        """Exchange the present and the kept values; no copy is made."""
        for name, weight in self._model.network.named_parameters():
            if name in self._kept:
                kept: torch.Tensor = self._kept[name]
                self._kept[name], weight.data = weight.data, kept


def _is_adapter(name: str) -> bool:
    return "lora_" in name
