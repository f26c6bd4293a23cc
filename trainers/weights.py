"""Weights on disk: a Hugging Face folder, or adapters beside the processor of their base."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from safetensors.torch import load_file

from gui_agent.errors import DataError
from gui_agent.policies.transformers_loading import DEFAULT_ADAPTER, save_adapter
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_roles import write_roles_file
from gui_agent.policies.weight_files import WeightFile

MODEL_FOLDER: Final = "model"
"""Where they lie in a checkpoint and in an output folder."""


def save_weights(model: VisionLanguageModel, folder: Path) -> None:
    """Write what learns: adapters, or all weights."""
    if model.adapters:
        for name in model.adapters:
            save_adapter(model, folder, adapter=name)
    else:
        model.network.save_pretrained(folder)
    model.processor.save_pretrained(folder)


def load_weights(model: VisionLanguageModel, folder: Path) -> None:
    """Put what `save_weights` wrote into `model`.

    Raises:
        DataError: the folder holds other weights than this model has.
    """
    if model.adapters:
        _load_adapters(model, folder)
    else:
        _load_all(model, folder)
    model.forget_features()


def export_weights(
    model: VisionLanguageModel, folder: Path, *, base_weights: Sequence[WeightFile] = ()
) -> None:
    """Write the finished model: a Hugging Face folder, an adapter merged into it.

    Adapters of several roles cannot be merged into one model; they are written as they are, beside the
    name of their base and its fingerprint.

    Args:
        model: what was trained.
        folder: where to.
        base_weights: fingerprint of the base as the training found it, if it is a local one.
    """
    if len(model.adapters) > 1:
        save_weights(model, folder)
        base_type = model.network.config.model_type
        write_roles_file(
            folder,
            model.network.name_or_path,
            model.adapters,
            base_type=base_type,
            base_weights=base_weights,
        )
        return
    network = copy.deepcopy(model.peft_model).merge_and_unload() if model.adapters else model.network
    network.save_pretrained(folder)
    model.processor.save_pretrained(folder)


def _load_all(model: VisionLanguageModel, folder: Path) -> None:
    network = model.network
    loaded = type(network).from_pretrained(folder, dtype=network.dtype, use_safetensors=True)
    try:
        network.load_state_dict(loaded.state_dict())
    except RuntimeError as error:
        raise DataError(f"{folder} holds other weights than the model that was loaded: {error}") from error


def _load_adapters(model: VisionLanguageModel, folder: Path) -> None:
    from peft import set_peft_model_state_dict

    for name in model.adapters:
        path = folder / "adapter_model.safetensors"
        if name != DEFAULT_ADAPTER:
            path = folder / name / path.name
        result = set_peft_model_state_dict(model.peft_model, load_file(str(path)), adapter_name=name)
        if result.unexpected_keys:
            raise DataError(f"{path} holds weights this adapter has not: {result.unexpected_keys[:3]}")
