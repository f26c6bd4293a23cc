from __future__ import annotations

import json
import random
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers
from packaging.version import Version
from PIL import Image, ImageDraw
from transformers import AutoProcessor, Qwen2VLImageProcessorPil
from transformers.utils import is_torchvision_available

from gui_agent.coordinates import ScreenGeometry
from gui_agent.errors import ConfigError, ImageDecodeError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_images import ImageEncoder, process_vision_info
from gui_agent.policies.transformers_loading import load_processor


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = random.Random(seed)
    image = Image.new("RGB", (width, height), (240, 240, 245))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.randrange(width), rng.randrange(height)
        color = tuple(rng.randrange(256) for _ in range(3))
        draw.rectangle([x, y, x + width // 5, y + height // 9], fill=color)
    return image


@pytest.mark.parametrize(("width", "height"), [(112, 224), (301, 517), (40, 30), (1080, 2400)])
@pytest.mark.parametrize("patch_size", [14, 16])
def test_patches_equal_the_official_image_processor(width: int, height: int, patch_size: int) -> None:
    pixels_per_token = (2 * patch_size) ** 2
    official = Qwen2VLImageProcessorPil(
        patch_size=patch_size,
        size={"shortest_edge": 4 * pixels_per_token, "longest_edge": 600 * pixels_per_token},
    )
    picture = _picture(width, height)
    expected = official(images=[picture], return_tensors="pt")

    encoded = ImageEncoder(official).encode(Screenshot.from_image(picture))

    assert torch.equal(encoded.patches_PD, expected["pixel_values"])
    assert list(encoded.grid) == expected["image_grid_thw"][0].tolist()
    assert encoded.num_tokens == encoded.patches_PD.shape[0] // 4


def test_patches_equal_the_whole_processor_of_a_checkpoint(tiny_model_dir: Path) -> None:
    processor = load_processor(tiny_model_dir)
    picture = _picture(200, 333)
    expected = processor(images=[picture], text=["<|image_pad|>"], return_tensors="pt")

    encoded = ImageEncoder(load_processor(tiny_model_dir).image_processor).encode(
        Screenshot.from_image(picture)
    )

    assert torch.equal(encoded.patches_PD, expected["pixel_values"])


def test_saved_folders_load_by_the_configuration_of_their_model(tiny_model_dir: Path, tmp_path: Path) -> None:
    processor = load_processor(tiny_model_dir)
    processor.save_pretrained(tmp_path)
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        assert "processor_class" not in json.loads((tmp_path / name).read_text())
    # Stock classes look here for the settings of their video half.
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["patch_size"] == 14
    (tmp_path / "config.json").write_bytes((tiny_model_dir / "config.json").read_bytes())
    assert load_processor(tmp_path).image_processor.size == processor.image_processor.size
    if Version(transformers.__version__) >= Version("5.20"):  # older ones do not let a class be registered
        assert type(AutoProcessor.from_pretrained(tmp_path)) is type(processor)


def test_geometry_of_coordinates_is_the_size_the_tower_sees(tiny_model_dir_qwen3: Path) -> None:
    processor = load_processor(tiny_model_dir_qwen3).image_processor
    encoder = ImageEncoder(processor, max_pixels=100 * 28 * 28)
    geometry = ScreenGeometry.of(1080, 2400, encoder.budget)

    _, height, width = encoder.encode(Screenshot.from_image(_picture(1080, 2400))).grid

    assert (width * 14, height * 14) == (geometry.resized_width_px, geometry.resized_height_px)
    assert width * height // 4 <= 100
    assert processor.size["longest_edge"] == 100 * 28 * 28  # what a checkpoint saved from here says


def test_each_screenshot_is_decoded_once_while_cached(tiny_model_dir_qwen3: Path) -> None:
    processor = load_processor(tiny_model_dir_qwen3).image_processor
    shots = [Screenshot.from_image(_picture(112, 224, seed)) for seed in range(3)]
    roomy = ImageEncoder(processor)
    for shot in shots * 4:
        roomy.encode(shot)
    assert roomy.num_decoded == 3

    one_picture = 128 * 1176 * 4
    narrow = ImageEncoder(processor, cache_bytes=2 * one_picture)
    for index in (0, 1, 0, 2, 0, 1):  # 1 was used least recently when 2 came
        narrow.encode(shots[index])
    assert narrow.num_decoded == 4


def test_damaged_bytes_are_an_error(tiny_model_dir_qwen3: Path) -> None:
    encoder = ImageEncoder(load_processor(tiny_model_dir_qwen3).image_processor)
    whole = Screenshot.from_image(_picture(112, 224))
    with pytest.raises(ImageDecodeError):
        encoder.encode(Screenshot(data=whole.data[:200], width_px=112, height_px=224))


def test_bounds_that_no_picture_keeps_are_refused(tiny_model_dir_qwen3: Path) -> None:
    processor = load_processor(tiny_model_dir_qwen3).image_processor
    with pytest.raises(ConfigError, match=r"3136 pixels.*1,280 tokens are 1003520"):
        ImageEncoder(processor, max_pixels=1280)  # tokens, where pixels are meant
    strip = Screenshot.from_image(_picture(40, 2400))
    with pytest.raises(ConfigError, match=r"40x2400.*raise image_max_pixels"):
        ImageEncoder(processor, max_pixels=16 * 28 * 28).encode(strip)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_no_stub_of_torchvision_stays_behind() -> None:
    assert process_vision_info.__module__ == "qwen_vl_utils.vision_process"
    assert not [name for name in sys.modules if name.split(".")[0] == "torchvision"]
    assert not is_torchvision_available()
