"""Whatever the screen and the limit of its pixels: a target that is written is read again where it was."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gui_agent.actions import Click
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import get_format
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_encoding import PromptEncoder
from gui_agent.policies.transformers_images import ImageEncoder
from gui_agent.policies.transformers_loading import load_processor
from gui_agent.policy import ImageBudget

FORMATS = ("ui_s1", "mobile_use", "compact")
SIDES = st.integers(40, 900)
cached_processor = cache(load_processor)


@settings(max_examples=60)
@given(width_px=SIDES, height_px=SIDES, num_tokens=st.integers(4, 300), data=st.data())
def test_targets_come_back_and_tokens_are_those_of_the_processor(
    tiny_model_dir_qwen2_5: Path, width_px: int, height_px: int, num_tokens: int, data: st.DataObject
) -> None:
    processor = cached_processor(tiny_model_dir_qwen2_5)
    images = ImageEncoder(processor.image_processor, max_pixels=num_tokens * 28**2)
    screenshot = Screenshot.from_image(Image.new("RGB", (width_px, height_px), (90, 120, 150)))
    try:
        geometry = ScreenGeometry.of(width_px, height_px, images.budget)
    except ConfigError:  # too long for so few tokens
        with pytest.raises(ConfigError, match="raise image_max_pixels"):
            images.encode(screenshot)
        return
    x, y = data.draw(st.integers(0, width_px - 1)), data.draw(st.integers(0, height_px - 1))
    prompts = PromptEncoder(processor, images)
    alone = processor.image_processor(images=[screenshot.image()], return_tensors="pt")["image_grid_thw"][0]
    tokens = int(alone.prod()) // 4
    size = geometry.resized_width_px, geometry.resized_height_px

    assert size == (int(alone[2]) * 14, int(alone[1]) * 14)
    assert tokens <= num_tokens
    for name in FORMATS:
        prompt_format = get_format(name, image_budget=images.budget)
        assert prompt_format.space is CoordinateSpace.RESIZED_PIXELS
        prompt = prompt_format.prompt("tap it", (), screenshot)
        encoded = prompts.encode(prompt)
        assert encoded.image_grids == (tuple(alone.tolist()),)
        assert encoded.token_ids.count(prompts.image_token_id) == tokens
        if name == "mobile_use":
            assert f"resolution is {size[0]}x{size[1]}" in prompt[0].text
        back = prompt_format.parse(prompt_format.render(Click(x=x, y=y), "it", geometry), geometry).action
        assert isinstance(back, Click)
        for was, read, shown_px, resized_px in (
            (x, back.x, width_px, size[0]),
            (y, back.y, height_px, size[1]),
        ):
            last = was / shown_px * resized_px > resized_px - 1  # the far edge itself is outside
            assert abs(read - was) <= (1 if last else 0.5) * shown_px / resized_px + 1


@given(SIDES, SIDES, st.integers(4, 3000), st.sampled_from([28, 32]))
def test_a_screen_is_within_its_limit_or_refused(
    width_px: int, height_px: int, num_tokens: int, factor: int
) -> None:
    budget = ImageBudget(factor=factor, min_pixels=4 * factor**2).limited(num_tokens * factor**2)
    try:
        size = ScreenGeometry.of(width_px, height_px, budget)
    except ConfigError:
        return
    assert size.resized_width_px * size.resized_height_px <= budget.max_pixels
