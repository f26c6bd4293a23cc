"""Loading Qwen-VL checkpoints: safetensors only, no code from the checkpoint is ever run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForImageTextToText

from gui_agent.errors import ConfigError
from gui_agent.model_settings import ModelSettings
from gui_agent.policies.checkpoint_folder import check_checkpoint
from gui_agent.policies.transformers_images import PROCESSOR_CLASSES
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_placement import DTYPES, place
from gui_agent.policies.transformers_roles import RoleFolder

DEFAULT_ADAPTER: Final = "default"
_LINEAR_LAYERS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters on linear layers of the language model; the vision tower is left alone.

    Attributes:
        rank: rank of each adapter.
        alpha: the update is scaled by alpha / rank.
        dropout: probability of dropping an input of an adapter in training. Above 0 the log-probabilities
            of a training pass differ from the sampler's.
        target_modules: names of linear layers inside the language model.

    Source: LoRA, arXiv:2106.09685.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: tuple[str, ...] = _LINEAR_LAYERS

    def peft_config(self) -> LoraConfig:
        """The same in peft's words; the pattern keeps equally named layers of the tower out."""
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=rf".*language_model.*\.({'|'.join(self.target_modules)})",
            bias="none",
        )


def load_config(path: str | Path) -> Any:
    """The configuration of a checkpoint, checked to be of a supported architecture.

    Raises:
        ConfigError: nothing is there, or it is no Qwen2.5-VL or Qwen3-VL model.
    """
    check_checkpoint(path)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no model configuration could be read ({error})") from error
    if config.model_type not in PROCESSOR_CLASSES:
        raise ConfigError(
            f"{path}: model_type is {config.model_type!r}; supported are "
            f"{', '.join(sorted(PROCESSOR_CLASSES))}. Serve other models behind an OpenAI-compatible endpoint"
        )
    return config


def load_processor(path: str | Path) -> Any:
    """The processor (tokenizer, image processor, chat template) of a checkpoint.

    Raises:
        ConfigError: nothing is there, or it is of an unsupported architecture.
    """
    processor_class = PROCESSOR_CLASSES[load_config(path).model_type]
    try:
        processor = processor_class.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: its processor cannot be loaded ({error})") from error
    if processor.chat_template is None:
        raise ConfigError(f"{path}: the processor has no chat template; use an instruction-tuned checkpoint")
    _check_tokenizer(path, processor)
    return processor


def load_model(
    path: str | Path,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    lora: LoraSettings | None = None,
    adapters: tuple[str, ...] = (DEFAULT_ADAPTER,),
    image_max_pixels: int = 0,
    vision_frozen: bool = True,
    gradient_checkpointing: bool = False,
) -> VisionLanguageModel:
    """Load a Qwen2.5-VL or Qwen3-VL checkpoint, ready to sample from and to train.

    Args:
        path: a folder in Hugging Face format, or a name on the hub; or a folder with the adapters of roles,
            which are then loaded onto the base that it names.
        dtype: `float32`, `bfloat16` or `float16`, or `auto`; see `place`.
        device: where the weights live, such as `cpu` or `cuda:0`; empty takes the best that is there.
        lora: attach fresh adapters of this shape and freeze everything else; a folder with adapters of its
            own keeps those.
        adapters: names of the adapters to attach, one per role if the roles have their own.
        image_max_pixels: pixels of the largest picture after resizing; 0 takes what the model was trained
            with, which is the bound of the checkpoint's image processor.
        vision_frozen: the vision tower gets no gradient, so that its features stay valid over updates.
        gradient_checkpointing: trade time for memory in training.

    Raises:
        ConfigError: nothing is there, the architecture is not supported, or a setting is impossible.
    """
    roles, said = RoleFolder.read(path), ModelSettings.read(Path(path))
    trained_with = (said.image_max_pixels if said else None) or 0
    model = _load(
        path,
        roles,
        dtype=dtype,
        device=device,
        lora=lora,
        adapters=adapters,
        image_max_pixels=image_max_pixels or (trained_with if roles else 0),  # the processor is the base's
        vision_frozen=vision_frozen,
        gradient_checkpointing=gradient_checkpointing,
    )
    _check_pictures_fit(model.network.config, image_max_pixels)
    shown = model.images.budget.max_pixels
    if trained_with not in (0, shown):
        warnings.warn(
            f"{path} was trained on pictures of at most {trained_with} pixels and is shown up to {shown}; "
            "leave image_max_pixels at 0, unless you mean to change them",
            stacklevel=2,
        )
    return model


def _load(
    path: str | Path,
    roles: RoleFolder | None,
    *,
    dtype: str,
    device: str,
    lora: LoraSettings | None,
    adapters: tuple[str, ...],
    image_max_pixels: int,
    vision_frozen: bool,
    gradient_checkpointing: bool,
) -> VisionLanguageModel:
    if roles is not None:
        roles.check_base()
        base = _load(
            roles.base_model,
            RoleFolder.read(roles.base_model),
            dtype=dtype,
            device=device,
            lora=None,
            adapters=(),
            image_max_pixels=image_max_pixels,
            vision_frozen=True,
            gradient_checkpointing=gradient_checkpointing,
        )
        found_type = base.network.config.model_type
        if roles.base_type not in ("", found_type):  # tiny models of two families have adapters of one shape
            raise ConfigError(
                f"{path}: its adapters were trained on a base of type {roles.base_type}, and "
                f"{roles.base_model} is of type {found_type}; give the base that they were trained on"
            )
        for name, folder in roles.adapters.items():
            load_adapter(base, folder, adapter=name)
        return base
    placement = place(device, dtype)
    config = load_config(path)
    processor = load_processor(path)
    try:
        model, found = AutoModelForImageTextToText.from_pretrained(
            path,
            config=config,
            dtype=DTYPES[placement.dtype],
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",  # takes the masks of packed trees
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"{path}: its weights cannot be loaded from safetensors ({error}); the file is missing or "
            "damaged, or belongs to another config.json: get the checkpoint again, or convert it with "
            "save_pretrained"
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise ConfigError(
            f"{path}: {len(missing)} weights are missing, such as {missing[0]}, and would be random numbers; "
            "get the checkpoint again"
        )
    model.to(placement.device)
    if gradient_checkpointing:
        with _old_names_unmentioned():
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    peft_model = None
    if lora is not None:
        with _old_names_unmentioned():
            peft_model = get_peft_model(model, lora.peft_config(), adapter_name=adapters[0])
            for name in adapters[1:]:
                peft_model.add_adapter(name, lora.peft_config())
    return VisionLanguageModel(
        model,
        processor,
        peft_model=peft_model,
        image_max_pixels=image_max_pixels,
        vision_frozen=vision_frozen or lora is not None,
    )


def _check_pictures_fit(config: Any, image_max_pixels: int) -> None:
    """One picture must fit into a prompt, where its size is chosen here."""
    side_px = config.vision_config.patch_size * config.vision_config.spatial_merge_size
    tokens, longest = image_max_pixels // side_px**2, config.get_text_config().max_position_embeddings
    if tokens >= longest:
        raise ConfigError(
            f"image_max_pixels is {image_max_pixels}, which is {tokens} tokens, but a prompt of this model "
            f"has {longest} at most; expected fewer than {longest * side_px**2}"
        )


def save_adapter(model: VisionLanguageModel, folder: str | Path, *, adapter: str = DEFAULT_ADAPTER) -> Path:
    """Write one adapter in peft's format and return the folder that peft loads it from.

    Raises:
        ConfigError: the model has no adapter of that name.
    """
    if model.peft_model is None or adapter not in model.peft_model.peft_config:
        raise ConfigError(f"the model has no adapter {adapter!r}; load it with lora=LoraSettings(...)")
    model.peft_model.save_pretrained(str(folder), selected_adapters=[adapter])
    # peft puts every adapter but the one named "default" into a folder of its own.
    return Path(folder) if adapter == DEFAULT_ADAPTER else Path(folder) / adapter


def load_adapter(
    model: VisionLanguageModel, folder: str | Path, *, adapter: str = DEFAULT_ADAPTER, trainable: bool = True
) -> None:
    """Read an adapter from disk into the model, in place of one of the same name if there is one.

    Raises:
        ConfigError: the folder holds no adapter, or one of another model than this.
    """
    if not (Path(folder) / "adapter_config.json").is_file():
        raise ConfigError(f"{folder}: no adapter_config.json; expected a folder written by save_adapter")
    try:
        if model.peft_model is None:
            with _old_names_unmentioned():
                model.peft_model = PeftModel.from_pretrained(
                    model.network, str(folder), adapter_name=adapter, is_trainable=trainable
                )
        else:
            if adapter in model.peft_model.peft_config:
                model.peft_model.delete_adapter(adapter)
            model.peft_model.load_adapter(str(folder), adapter_name=adapter, is_trainable=trainable)
            model.peft_model.set_adapter(adapter)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ConfigError(_does_not_fit(folder, model, _reason(error))) from error
    if problem := _other_weights(model, Path(folder), adapter):
        raise ConfigError(_does_not_fit(folder, model, problem))


@contextmanager
def _old_names_unmentioned() -> Iterator[None]:
    """peft, and older transformers, know no other names; nobody who reads of them here can change that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing", FutureWarning)
        yield


def _reason(error: Exception) -> str:
    """The first two lines: torch says in the first that loading failed, and how in the second."""
    return " ".join(line.strip() for line in str(error).strip().splitlines()[:2])


def _other_weights(model: VisionLanguageModel, folder: Path, adapter: str) -> str:
    """How the weights of a file differ from those of the adapter made for them; empty if they do not."""
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        return "adapter_model.safetensors is missing"
    with safe_open(str(file), framework="pt") as stored:
        found = set(stored.keys())
    wanted = set(get_peft_model_state_dict(model.peft_model, adapter_name=adapter))
    if found == wanted:
        return ""
    example = min(found ^ wanted)
    return (
        f"{len(found - wanted)} of its {len(found)} weights have no place in the base, {len(wanted - found)} "
        f"places have no weight, such as {example}"
    )


def _does_not_fit(folder: str | Path, model: VisionLanguageModel, problem: str) -> str:
    return (
        f"{folder}: this adapter does not fit the base {model.network.name_or_path} ({problem}); give the "
        "base that it was trained on, which its adapter_config.json names"
    )


def _check_tokenizer(path: str | Path, processor: Any) -> None:
    """Without its files a tokenizer loads all the same, and knows no word."""
    if processor.tokenizer.encode("a", add_special_tokens=False):
        return
    raise ConfigError(
        f"{path}: the tokenizer has no words; its files (tokenizer.json, or vocab.json and merges.txt) are "
        "missing: get the checkpoint again"
    )
