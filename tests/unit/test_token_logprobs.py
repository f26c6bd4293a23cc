from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from gui_agent.errors import DataError, ImageTokenError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_loading import LoraSettings, load_model
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_policy import SampleRequest, TransformersPolicy
from gui_agent.policy import ImagePart, Message, Prompt, Role, SampleKey, SamplingParams, TextPart
from trainers.forward import PlainTokenRow, token_logprobs


def _screenshot(color: str, size: tuple[int, int] = (112, 224)) -> Screenshot:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle([20, 40, 80, 90], fill=color)
    return Screenshot.from_image(image)


RED, BLUE, GREEN = _screenshot("red"), _screenshot("blue"), _screenshot("green", (168, 112))
SCREENSHOTS = {shot.sha256: shot for shot in (RED, BLUE, GREEN)}


def _prompt(*parts: str | Screenshot) -> Prompt:
    found = tuple(
        TextPart(text=part) if isinstance(part, str) else ImagePart(screenshot=part) for part in parts
    )
    return (Message(role=Role.USER, parts=found),)


PROMPTS = (
    _prompt(RED, "tap the red button"),
    _prompt(RED, "tap the red button History: 1. tapped Settings"),
    _prompt(BLUE, "open Settings", RED, "scrolled down"),
    _prompt("no picture"),
    _prompt(GREEN, BLUE, "tap"),
)


def _sampled_rows(
    model: VisionLanguageModel, n: int = 3
) -> tuple[list[PlainTokenRow], list[tuple[float, ...]]]:
    policy = TransformersPolicy(model)
    requests = [
        SampleRequest(
            prompt=prompt,
            n=n,
            params=SamplingParams(max_new_tokens=4 + 3 * step),
            key=SampleKey(seed=0, update=0, episode="e", step=step),
        )
        for step, prompt in enumerate(PROMPTS)
    ]
    rows, logprobs = [], []
    for prompt, completions in zip(PROMPTS, policy.sample_batch(requests), strict=True):
        shots = tuple(part.screenshot.sha256 for part in prompt[0].parts if isinstance(part, ImagePart))
        for completion in completions:
            rows.append(
                PlainTokenRow(
                    prompt_token_ids=completion.prompt_token_ids,
                    image_grids=completion.image_grids,
                    image_sha256s=shots,
                    token_ids=completion.token_ids,
                )
            )
            logprobs.append(completion.logprobs)
    policy.close()
    return rows, logprobs


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> VisionLanguageModel:
    return load_model(tiny_model_dir)


@pytest.mark.parametrize("share_prefixes", [False, True])
def test_training_sees_the_samplers_log_probabilities(
    model: VisionLanguageModel, share_prefixes: bool
) -> None:
    rows, sampled = _sampled_rows(model)
    result = token_logprobs(model, rows, SCREENSHOTS, share_prefixes=share_prefixes)
    for i, logprobs in enumerate(sampled):
        assert result.mask_BT[i].sum() == len(logprobs)
        assert torch.allclose(result.logprobs_BT[i, : len(logprobs)], torch.tensor(logprobs), atol=1e-5)
        assert not result.logprobs_BT[i, len(logprobs) :].any()


@pytest.mark.parametrize("share_prefixes", [False, True])
def test_order_padding_and_packing_change_nothing(model: VisionLanguageModel, share_prefixes: bool) -> None:
    rows, _ = _sampled_rows(model)
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    shuffled = token_logprobs(
        model, [rows[i] for i in order], SCREENSHOTS, entropy=True, share_prefixes=share_prefixes
    )
    for place, i in enumerate(order):
        alone = token_logprobs(model, [rows[i]], SCREENSHOTS, entropy=True)
        length = len(rows[i].token_ids)
        assert torch.allclose(shuffled.logprobs_BT[place, :length], alone.logprobs_BT[0], atol=1e-5)
        assert shuffled.entropy_BT is not None
        assert alone.entropy_BT is not None
        assert torch.allclose(shuffled.entropy_BT[place, :length], alone.entropy_BT[0], atol=1e-5)


def test_sharing_gives_the_same_gradients(tiny_model_dir: Path) -> None:
    model = load_model(tiny_model_dir, vision_frozen=False)
    rows, _ = _sampled_rows(model)
    weights = torch.randn(len(rows), 1, generator=torch.Generator().manual_seed(0))
    gradients = []
    for share_prefixes in (False, True):
        model.network.zero_grad()
        result = token_logprobs(model, rows, SCREENSHOTS, share_prefixes=share_prefixes)
        (weights * result.logprobs_BT).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.network.named_parameters()})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-4, atol=1e-4 * gradient.abs().max())
    assert any("visual" in name and gradient.any() for name, gradient in gradients[0].items())


def test_each_screenshot_passes_the_tower_once_per_call(tiny_model_dir: Path) -> None:
    learning = load_model(tiny_model_dir, vision_frozen=False)
    rows, _ = _sampled_rows(learning)
    before = learning.num_images_encoded
    token_logprobs(learning, rows, SCREENSHOTS)
    token_logprobs(learning, rows, SCREENSHOTS)
    assert learning.num_images_encoded - before == 2 * len(SCREENSHOTS)

    frozen = load_model(tiny_model_dir)
    token_logprobs(frozen, rows, SCREENSHOTS)
    token_logprobs(frozen, rows, SCREENSHOTS)
    assert frozen.num_images_encoded == len(SCREENSHOTS)


def test_the_screenshot_matters(model: VisionLanguageModel) -> None:
    rows, _ = _sampled_rows(model, n=1)
    red = rows[0]
    blue = PlainTokenRow(
        prompt_token_ids=red.prompt_token_ids,
        image_grids=red.image_grids,
        image_sha256s=(BLUE.sha256,),
        token_ids=red.token_ids,
    )
    for share_prefixes in (False, True):
        result = token_logprobs(model, [red, blue], SCREENSHOTS, share_prefixes=share_prefixes)
        assert (result.logprobs_BT[0] - result.logprobs_BT[1]).abs().max() > 1e-3


def test_suppressed_tokens_have_no_probability_and_cannot_be_learnt(model: VisionLanguageModel) -> None:
    rows, _ = _sampled_rows(model, n=1)
    logprobs_V = model.log_softmax(torch.randn(len(model.allowed_V)))
    assert (logprobs_V[~model.allowed_V] == -torch.inf).all()
    assert torch.isclose(logprobs_V[model.allowed_V].exp().sum(), torch.tensor(1.0))
    impossible = PlainTokenRow(
        prompt_token_ids=rows[3].prompt_token_ids,
        image_grids=(),
        image_sha256s=(),
        token_ids=(*rows[3].token_ids, model.pad_token_id),
    )
    with pytest.raises(DataError, match=r"<\|endoftext\|>.* can never be sampled"):
        token_logprobs(model, [impossible], {})
    entropy = token_logprobs(model, rows, SCREENSHOTS, entropy=True).entropy_BT
    assert entropy is not None
    assert entropy.isfinite().all()
    assert (entropy <= torch.log(model.allowed_V.sum()) + 1e-5).all()


def test_rows_that_lost_a_picture_are_refused(model: VisionLanguageModel) -> None:
    rows, _ = _sampled_rows(model, n=1)
    row = rows[2]

    def changed(**changes: object) -> PlainTokenRow:
        values = {name: getattr(row, name) for name in PlainTokenRow.__slots__}
        return PlainTokenRow(**(values | changes))

    with pytest.raises(ImageTokenError):
        token_logprobs(model, [rows[0], changed(prompt_token_ids=row.prompt_token_ids[20:])], SCREENSHOTS)
    with pytest.raises(ImageTokenError):
        token_logprobs(model, [changed(image_sha256s=row.image_sha256s[:1])], SCREENSHOTS)
    with pytest.raises(ImageTokenError):  # a picture of another size under the same name
        token_logprobs(model, [changed(image_sha256s=(GREEN.sha256, RED.sha256))], SCREENSHOTS)
    with pytest.raises(ImageTokenError):  # written by the completion
        token_logprobs(model, [changed(token_ids=(model.image_token_id,))], SCREENSHOTS)
    with pytest.raises(DataError, match="not handed over"):
        token_logprobs(model, [row], {RED.sha256: RED})
    with pytest.raises(DataError, match="empty"):
        token_logprobs(model, [changed(token_ids=())], SCREENSHOTS)
    with pytest.raises(DataError, match="no rows"):
        token_logprobs(model, [], SCREENSHOTS)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_gradient_checkpointing_changes_nothing(tiny_model_dir: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = load_model(tiny_model_dir, lora=LoraSettings(rank=4), gradient_checkpointing=checkpointing)
        for name, parameter in model.network.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        rows, _ = _sampled_rows(model)
        model.network.train()
        token_logprobs(model, rows, SCREENSHOTS).logprobs_BT.sum().backward()
        gradients.append([p.grad for p in model.network.parameters() if p.requires_grad])
    assert len(gradients[0]) > 0
    for plain, checkpointed in zip(*gradients, strict=True):
        assert plain is not None
        assert plain.any()
        assert torch.allclose(plain, checkpointed, atol=1e-6)
