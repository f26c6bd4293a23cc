"""The one way from a screenshot to pixels a Qwen-VL vision tower reads.

Resizing is `qwen_vl_utils.process_vision_info` with the bounds of the model's `ImageBudget`;
normalising and cutting into patches is the checkpoint's own image processor. Sampling, training and
supervised fine-tuning all come through here, so they cannot see different pixels.

Neither `qwen_vl_utils` nor the stock Qwen-VL processors import without torchvision, which is needed
for videos only. Processors without the video half take their place: they load stock checkpoints too.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from transformers import (
    AutoProcessor,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
)

from gui_agent.coordinates import ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.observation import Screenshot
from gui_agent.policy import ImageBudget

_MERGE_SIZE_OF_QWEN_VL_UTILS: Final = 2
_STUBBED: Final = (
    "torchvision",
    "torchvision.io",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


def torchvision_is_missing() -> bool:
    """Whether torchvision is not installed."""
    return find_spec("torchvision") is None


def _load_process_vision_info() -> Callable[..., Any]:
    """Import `process_vision_info`; its module imports torchvision even where only pictures are used."""
    if not torchvision_is_missing():
        return importlib.import_module("qwen_vl_utils").process_vision_info
    stubs: dict[str, Any] = {name: ModuleType(name) for name in _STUBBED}
    root, transforms = stubs["torchvision"], stubs["torchvision.transforms"]
    root.__version__ = "0.0.0"
    root.io, root.transforms = stubs["torchvision.io"], transforms
    transforms.functional = stubs["torchvision.transforms.functional"]
    transforms.InterpolationMode = type("InterpolationMode", (), {"BICUBIC": "bicubic"})
    sys.modules.update(stubs)
    try:
        return importlib.import_module("qwen_vl_utils").process_vision_info
    finally:
        # Left behind, they would make transformers believe that torchvision is installed.
        for name in _STUBBED:
            sys.modules.pop(name, None)


process_vision_info: Final = _load_process_vision_info()


class _ImageOnly:
    """A stock processor without its video half, which needs torchvision.

    It writes folders that name no class, so that `AutoProcessor` chooses by the model's configuration: with
    this module imported the image-only class, elsewhere the stock one. A name of ours would be unknown to
    other software, and the stock name would send `AutoProcessor` to a class that cannot be made here.
    """

    image_processor: Any

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None, **_: Any
    ) -> None:
        _name_vision_tokens(self, tokenizer)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> Any:
        """Write the processor; the stock class finds its video half in the image processor's own file."""
        written = super().save_pretrained(save_directory, **options)  # type: ignore[misc]
        self.image_processor.save_pretrained(save_directory)
        for path in Path(save_directory).glob("*_config.json"):
            settings = json.loads(path.read_text(encoding="utf-8"))
            if settings.pop("processor_class", None) is not None:
                path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return written


class ImageOnlyQwen25VLProcessor(_ImageOnly, Qwen2_5_VLProcessor):
    """The stock processor of Qwen2.5-VL without its video half, which needs torchvision."""


class ImageOnlyQwen3VLProcessor(_ImageOnly, Qwen3VLProcessor):
    """The stock processor of Qwen3-VL without its video half, which needs torchvision."""


def _name_vision_tokens(processor: Any, tokenizer: Any) -> None:
    for attribute, token in (
        ("image_token", "<|image_pad|>"),
        ("video_token", "<|video_pad|>"),
        ("vision_start_token", "<|vision_start|>"),
        ("vision_end_token", "<|vision_end|>"),
    ):
        setattr(processor, attribute, token)
        setattr(processor, f"{attribute}_id", tokenizer.convert_tokens_to_ids(token))


PROCESSOR_CLASSES: Final[dict[str, Any]] = {
    "qwen2_5_vl": ImageOnlyQwen25VLProcessor,
    "qwen3_vl": ImageOnlyQwen3VLProcessor,
}
"""The processor class of each supported `model_type`, with or without torchvision: one class, one way."""

# Folders that name the stock classes still get those from `AutoProcessor` where torchvision imports.
AutoProcessor.register(Qwen2_5_VLConfig, ImageOnlyQwen25VLProcessor, exist_ok=True)
AutoProcessor.register(Qwen3VLConfig, ImageOnlyQwen3VLProcessor, exist_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedImage:
    """A screenshot as the vision tower reads it.

    Attributes:
        sha256: name of the screenshot.
        patches_PD: float32 patches, shape (P, channels * temporal_patch * patch ** 2).
        grid: (time, height, width) in patches; their product is P.
        num_tokens: placeholders it takes in a prompt, P divided by the merge size squared.
    """

    sha256: str
    patches_PD: torch.Tensor
    grid: tuple[int, int, int]
    num_tokens: int


class ImageEncoder:
    """Turns screenshots into patches; each is decoded once while it stays in the cache."""

    def __init__(self, image_processor: Any, *, max_pixels: int = 0, cache_bytes: int = 512 * 2**20) -> None:
        """Wrap a checkpoint's image processor.

        Args:
            image_processor: the `image_processor` of a Qwen-VL processor.
            max_pixels: pixels of the largest picture after resizing; 0 takes the checkpoint's own bound. The
                image processor is told, so that it says the same where it is saved.
            cache_bytes: memory for patches; the least recently used leave first.

        Raises:
            ConfigError: `max_pixels` or the merge size does not fit the checkpoint.
        """
        self._processor = image_processor
        self._merge_size = int(image_processor.merge_size)
        self._patch_size = int(image_processor.patch_size)
        factor = self._patch_size * self._merge_size
        if self._merge_size != _MERGE_SIZE_OF_QWEN_VL_UTILS:
            raise ConfigError(
                f"merge_size is {self._merge_size} in the image processor, but qwen_vl_utils resizes for "
                f"{_MERGE_SIZE_OF_QWEN_VL_UTILS}; use a Qwen2.5-VL or Qwen3-VL checkpoint"
            )
        size = image_processor.size
        own = ImageBudget(
            factor=factor, min_pixels=int(size["shortest_edge"]), max_pixels=int(size["longest_edge"])
        )
        self.budget = own.limited(max_pixels)
        if max_pixels:
            image_processor.size = type(size)(shortest_edge=own.min_pixels, longest_edge=max_pixels)
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._cache: OrderedDict[str, EncodedImage] = OrderedDict()
        self.num_decoded = 0

    def encode(self, screenshot: Screenshot) -> EncodedImage:
        """The patches of a screenshot, from the cache if it was seen lately.

        Raises:
            ImageDecodeError: the bytes are damaged.
            ConfigError: the budget leaves its shorter side less than one token.
        """
        encoded = self._cache.get(screenshot.sha256)
        if encoded is None:
            encoded = self._encode(screenshot)
            self._remember(encoded)
        else:
            self._cache.move_to_end(screenshot.sha256)
        return encoded

    def _encode(self, screenshot: Screenshot) -> EncodedImage:
        ScreenGeometry.of(screenshot.width_px, screenshot.height_px, self.budget)  # refuses what has no size
        content = {
            "type": "image",
            "image": screenshot.image(),
            "min_pixels": self.budget.min_pixels,
            "max_pixels": self.budget.max_pixels,
        }
        images, _ = process_vision_info(
            [{"role": "user", "content": [content]}], image_patch_size=self._patch_size
        )
        features = self._processor(images=images, do_resize=False, return_tensors="pt")
        self.num_decoded += 1
        time, height, width = (int(side) for side in features["image_grid_thw"][0])
        return EncodedImage(
            sha256=screenshot.sha256,
            patches_PD=features["pixel_values"],
            grid=(time, height, width),
            num_tokens=time * height * width // self._merge_size**2,
        )

    def _remember(self, encoded: EncodedImage) -> None:
        self._cache[encoded.sha256] = encoded
        self._cached_bytes += _num_bytes(encoded)
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= _num_bytes(oldest)


def _num_bytes(encoded: EncodedImage) -> int:
    return encoded.patches_PD.numel() * encoded.patches_PD.element_size()
