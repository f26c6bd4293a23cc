"""The weights as they were when training began: the reference of the KL term."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch

from gui_agent.policies.transformers_model import VisionLanguageModel


class Reference(Protocol):
    """Computes with the weights that training began with, while `in_place` is open."""

    @property
    def model(self) -> VisionLanguageModel:
        """What to compute with."""
        ...

    def in_place(self) -> AbstractContextManager[None]:
        """Put the starting weights in their place, and the present ones back at the end."""
        ...


def starting_weights(model: VisionLanguageModel) -> Reference:
    """The present weights of `model`: its adapters, or a frozen copy of all that learns."""
    return StartingAdapters(model) if model.adapters else StartingCopy(model)


class StartingCopy:
    """A frozen copy of a model; with a vision tower that does not learn, that one is shared.

    Attributes:
        model: the copy.
    """

    def __init__(self, model: VisionLanguageModel) -> None:
        """Copy the present weights of `model`."""
        self.model = copy.copy(model)
        if model.vision_frozen:
            memo = {id(model.network.model.visual): model.network.model.visual}
            self.model.network = copy.deepcopy(model.network, memo)
            decoder: Any = self.model.network.model.language_model
            decoder.requires_grad_(False)
            self.model.network.get_output_embeddings().requires_grad_(False)
        else:
            self.model.network = copy.deepcopy(model.network).requires_grad_(False)
        self.model.network.eval()

    def in_place(self) -> AbstractContextManager[None]:
        """Nothing is to be put anywhere."""
        return nullcontext()


class StartingAdapters:
    """What a model's adapters were.

    Fresh adapters add nothing, so that the base alone stands for them and nothing is copied; adapters that
    were trained before are.

    Attributes:
        model: the model that learns.
    """

    def __init__(self, model: VisionLanguageModel) -> None:
        """Remember the present adapters of `model`."""
        self.model = model
        weights = {name: weight for name, weight in model.network.named_parameters() if _is_adapter(name)}
        fresh = not any(bool(weight.any()) for name, weight in weights.items() if "lora_B" in name)
        self._kept = {} if fresh else {name: weight.detach().clone() for name, weight in weights.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While this is open, the model computes with the adapters that it began with."""
        if not self._kept:
            with self.model.peft_model.disable_adapter():
                yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        """Exchange the present and the kept values; no copy is made."""
        for name, weight in self.model.network.named_parameters():
            if name in self._kept:
                kept: torch.Tensor = self._kept[name]
                self._kept[name], weight.data = weight.data, kept


def _is_adapter(name: str) -> bool:
    return "lora_" in name
