"""A limit of picture sizes is kept by models behind an endpoint, too."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from gui_agent.coordinates import ScreenGeometry
from gui_agent.errors import ConfigError
from gui_agent.observation import Screenshot
from gui_agent.policies.openai_http import Endpoint, OpenAIPolicy
from gui_agent.policies.server import create_app
from gui_agent.policies.transformers_loading import load_model
from gui_agent.policies.transformers_policy import TransformersPolicy
from gui_agent.policy import ImageBudget, ImagePart, Message, Role, SampleKey, SamplingParams, TextPart

LIMIT = 12 * 28**2
PARAMS = SamplingParams(max_new_tokens=8)
KEY = SampleKey(seed=1, update=0, episode="e", step=0)
SCREEN = Screenshot.from_image(Image.radial_gradient("L").resize((230, 470)).convert("RGB"))
PROMPT = (Message(role=Role.USER, parts=(ImagePart(screenshot=SCREEN), TextPart(text="tap it"))),)


async def test_a_served_model_sees_what_a_local_one_of_the_same_limit_sees(
    tiny_model_dir_qwen3: Path,
) -> None:
    local = TransformersPolicy(load_model(tiny_model_dir_qwen3, image_max_pixels=LIMIT))
    roomy = TransformersPolicy(load_model(tiny_model_dir_qwen3))
    app = create_app(roomy, models=("m",))
    expected = await local.sample(PROMPT, n=2, params=PARAMS, key=KEY)
    async with await OpenAIPolicy.connect(
        Endpoint(base_url="http://server/v1"),
        image_max_pixels=LIMIT,
        transport=httpx.ASGITransport(app),
    ) as served:
        assert served.image_budget == local.image_budget
        assert list(await served.sample(PROMPT, n=2, params=PARAMS, key=KEY)) == list(expected)
    with pytest.raises(ConfigError, match="shows its model at most 802816"):
        await OpenAIPolicy.connect(
            Endpoint(base_url="http://server/v1"),
            image_max_pixels=2 * 802816,
            transport=httpx.ASGITransport(app),
        )
    local.close()
    roomy.close()


async def test_the_folder_that_vllm_serves_says_how_pictures_are_resized(
    tiny_model_dir_qwen3: Path,
) -> None:
    for root, expected in (
        (str(tiny_model_dir_qwen3), ImageBudget(max_pixels=802816)),
        ("/on/another/computer", ImageBudget()),
        ("", ImageBudget()),
    ):
        models = {"data": [{"id": "m", "owned_by": "vllm", "root": root}]}
        transport = httpx.MockTransport(lambda _, models=models: httpx.Response(200, json=models))
        async with await OpenAIPolicy.connect(
            Endpoint(base_url="http://s/v1"), transport=transport
        ) as policy:
            assert policy.image_budget == expected


@pytest.mark.parametrize("owner", ["vllm", "somebody"])
async def test_vllm_resizes_by_itself_and_others_get_smaller_pictures(owner: str) -> None:
    asked: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": "m", "owned_by": owner}]})
        asked.append(json.loads(request.content))
        choice = {"index": 0, "message": {"role": "assistant", "content": "tap"}, "finish_reason": "stop"}
        return httpx.Response(200, json={"model": "m", "choices": [choice]})

    endpoint = Endpoint(base_url="http://server/v1", require_tokens=False)
    async with await OpenAIPolicy.connect(
        endpoint, image_max_pixels=LIMIT, transport=httpx.MockTransport(handler)
    ) as policy:
        [completion] = await policy.sample(PROMPT, params=PARAMS, key=KEY)
    budget = ImageBudget(max_pixels=LIMIT)
    shown = ScreenGeometry.of(SCREEN.width_px, SCREEN.height_px, budget)
    url = asked[0]["messages"][0]["content"][0]["image_url"]["url"]
    sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))

    assert policy.image_budget == budget
    assert completion.image_grids == ((1, shown.resized_height_px // 14, shown.resized_width_px // 14),)
    if owner == "vllm":
        assert sent.size == (SCREEN.width_px, SCREEN.height_px)
        assert asked[0]["mm_processor_kwargs"] == {"min_pixels": 4 * 28**2, "max_pixels": LIMIT}
    else:
        assert sent.size == (shown.resized_width_px, shown.resized_height_px)
