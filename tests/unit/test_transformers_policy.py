from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from transformers import AutoModelForImageTextToText

from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_loading import load_model, load_processor
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_policy import SampleRequest, TransformersPolicy
from gui_agent.policy import (
    Completion,
    FinishReason,
    ImagePart,
    Message,
    Prompt,
    Role,
    SampleKey,
    SamplingParams,
    TextPart,
)

GREEDY = SamplingParams(temperature=0.0, max_new_tokens=12)


def _screenshot(color: str, size: tuple[int, int] = (112, 224)) -> Screenshot:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle([20, 40, 80, 90], fill=color)
    return Screenshot.from_image(image)


RED, BLUE = _screenshot("red"), _screenshot("blue")


def _prompt(*parts: str | Screenshot) -> Prompt:
    found = tuple(
        TextPart(text=part) if isinstance(part, str) else ImagePart(screenshot=part) for part in parts
    )
    return (Message(role=Role.USER, parts=found),)


PROMPTS = (
    _prompt(RED, "tap the red button"),
    _prompt("History: 1. tapped Settings", RED, " 2. scrolled down", BLUE, "tap the blue icon now, please"),
    _prompt("no picture at all"),
    _prompt(_screenshot("green", (168, 112)), "open Settings and turn on Wi-Fi"),
)


def _key(step: int = 0, episode: str = "a") -> SampleKey:
    return SampleKey(seed=1, update=0, episode=episode, step=step)


def _requests(
    prompts: Sequence[Prompt], params: SamplingParams | None = None, n: int = 1
) -> list[SampleRequest]:
    params = params or SamplingParams(max_new_tokens=10)
    return [
        SampleRequest(prompt=prompt, n=n, params=params, key=_key(step))
        for step, prompt in enumerate(prompts)
    ]


def _assert_same(left: Completion, right: Completion) -> None:
    assert left.token_ids == right.token_ids
    assert left.text == right.text
    assert left.finish_reason == right.finish_reason
    assert left.prompt_token_ids == right.prompt_token_ids
    assert torch.allclose(torch.tensor(left.logprobs), torch.tensor(right.logprobs), atol=1e-5)


@pytest.fixture
def model(tiny_model_dir: Path) -> VisionLanguageModel:
    return load_model(tiny_model_dir)


@pytest.fixture
def policy(model: VisionLanguageModel) -> Iterator[TransformersPolicy]:
    policy = TransformersPolicy(model)
    yield policy
    policy.close()


def test_greedy_equals_generate_for_each_prompt_in_a_batch(
    policy: TransformersPolicy, tiny_model_dir: Path
) -> None:
    network = AutoModelForImageTextToText.from_pretrained(tiny_model_dir)
    processor = load_processor(tiny_model_dir)
    completions = policy.sample_batch(_requests(PROMPTS, GREEDY))
    suppressed = torch.nonzero(~policy.model.allowed_V).flatten().tolist()
    for prompt, (completion,) in zip(PROMPTS, completions, strict=True):
        conversation = [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": part.text}
                    if isinstance(part, TextPart)
                    else {"type": "image", "image": part.screenshot.image()}
                    for part in prompt[0].parts
                ],
            }
        ]
        inputs = processor.apply_chat_template(
            conversation, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        output = network.generate(
            **inputs, max_new_tokens=12, do_sample=False, suppress_tokens=suppressed, use_cache=True
        )
        assert completion.token_ids == tuple(output[0, inputs["input_ids"].shape[1] :].tolist())


def test_a_row_does_not_depend_on_its_company(policy: TransformersPolicy) -> None:
    requests = _requests(PROMPTS, n=3)
    together = policy.sample_batch(requests)
    backwards = policy.sample_batch(requests[::-1])[::-1]
    for request, answer, other in zip(requests, together, backwards, strict=True):
        (alone,) = policy.sample_batch([request])
        for one, two, three in zip(answer, other, alone, strict=True):
            _assert_same(one, two)
            _assert_same(one, three)


def test_n_samples_share_one_prompt_and_draw_what_separate_calls_draw(policy: TransformersPolicy) -> None:
    (siblings,) = policy.sample_batch(_requests(PROMPTS[:1], n=6))
    assert policy.counters.images_encoded == 1
    assert len({completion.token_ids for completion in siblings}) > 3
    (first,) = policy.sample_batch(_requests(PROMPTS[:1], n=1))
    _assert_same(first[0], siblings[0])


def test_keys_decide_the_noise(policy: TransformersPolicy) -> None:
    params = SamplingParams(max_new_tokens=10)
    requests = [
        SampleRequest(prompt=PROMPTS[0], n=1, params=params, key=_key(episode=episode)) for episode in "aba"
    ]
    (first,), (second,), (third,) = policy.sample_batch(requests)
    assert first.token_ids != second.token_ids
    _assert_same(first, third)


def test_samples_follow_the_distribution(policy: TransformersPolicy) -> None:
    params = SamplingParams(max_new_tokens=1, temperature=0.5, top_k=5)
    drawn = policy.sample_batch(_requests(PROMPTS[:1], params, n=2000))[0]
    counts: dict[int, int] = {}
    logprob_of = {}
    for completion in drawn:
        counts[completion.token_ids[0]] = counts.get(completion.token_ids[0], 0) + 1
        logprob_of[completion.token_ids[0]] = completion.logprobs[0]
    assert len(counts) == 5
    weights = {token: 2 * logprob for token, logprob in logprob_of.items()}  # temperature 0.5
    total = torch.tensor(list(weights.values())).exp().sum().item()
    for token, count in counts.items():
        expected = torch.tensor(weights[token]).exp().item() / total
        assert abs(count / 2000 - expected) < 0.05


def test_top_p_keeps_the_smallest_set_and_tiny_top_p_is_greedy(policy: TransformersPolicy) -> None:
    greedy = policy.sample_batch(_requests(PROMPTS, GREEDY))
    nucleus = policy.sample_batch(_requests(PROMPTS, SamplingParams(top_p=1e-6, max_new_tokens=12)))
    one = policy.sample_batch(_requests(PROMPTS, SamplingParams(top_k=1, max_new_tokens=12)))
    for (a,), (b,), (c,) in zip(greedy, nucleus, one, strict=True):
        _assert_same(a, b)
        _assert_same(a, c)


def test_settings_may_differ_between_rows(policy: TransformersPolicy) -> None:
    settings = [GREEDY, SamplingParams(max_new_tokens=3), SamplingParams(temperature=0.7, top_p=0.9)]
    settings[2] = SamplingParams(temperature=0.7, top_p=0.9, max_new_tokens=7)
    requests = [
        SampleRequest(prompt=PROMPTS[i], n=1, params=params, key=_key(i)) for i, params in enumerate(settings)
    ]
    for request, (answer,) in zip(requests, policy.sample_batch(requests), strict=True):
        ((alone,),) = policy.sample_batch([request])
        _assert_same(answer, alone)


@torch.no_grad()
def _prefer(model: VisionLanguageModel, token_ids: Sequence[int], by: float) -> None:
    """Make the head like some tokens by adding to the final norm's constant direction."""
    head = torch.nn.Linear(model.network.lm_head.in_features, model.network.lm_head.out_features)
    head.weight.copy_(model.network.lm_head.weight)
    head.bias.zero_()
    head.bias[list(token_ids)] = by
    model.network.lm_head = head


def test_only_text_and_the_end_of_turn_can_be_sampled(
    model: VisionLanguageModel, policy: TransformersPolicy
) -> None:
    tokenizer = model.tokenizer
    special = set(tokenizer.all_special_ids) - {model.end_token_id}
    padding = set(range(len(tokenizer), model.network.config.get_text_config().vocab_size))
    assert {tokenizer.convert_tokens_to_ids(t) for t in ("<|image_pad|>", "<|vision_start|>")} <= special
    assert padding
    _prefer(model, sorted(special | padding), by=50.0)

    drawn = policy.sample_batch(_requests(PROMPTS[:1], SamplingParams(max_new_tokens=20), n=50))[0]

    tokens = {token for completion in drawn for token in completion.token_ids}
    assert not tokens & (special | padding)
    assert all(logprob > -30 for completion in drawn for logprob in completion.logprobs)


def test_rows_end_at_the_end_of_turn_and_leave_the_batch(
    model: VisionLanguageModel, policy: TransformersPolicy
) -> None:
    _prefer(model, [model.end_token_id], by=4.0)
    requests = _requests(PROMPTS, SamplingParams(max_new_tokens=30), n=8)
    together = [completion for answer in policy.sample_batch(requests) for completion in answer]
    reasons = {completion.finish_reason for completion in together}
    assert reasons == {FinishReason.STOP, FinishReason.LENGTH} or reasons == {FinishReason.STOP}
    assert len({len(completion.token_ids) for completion in together}) > 3
    for completion in together:
        ended = completion.token_ids[-1] == model.end_token_id
        assert ended == (completion.finish_reason is FinishReason.STOP)
        assert model.end_token_id not in completion.token_ids[:-1]
        assert len(completion.token_ids) == len(completion.logprobs) <= 30
        assert "<|im_end|>" not in completion.text
    for request, answer in zip(requests, policy.sample_batch(requests), strict=True):
        (alone,) = policy.sample_batch([request])
        for one, two in zip(answer, alone, strict=True):
            _assert_same(one, two)


def test_equal_prompts_and_pictures_of_a_batch_are_computed_once(policy: TransformersPolicy) -> None:
    policy.sample_batch(_requests([PROMPTS[0], PROMPTS[1], PROMPTS[0], PROMPTS[0]]))
    counters = policy.counters
    assert (counters.images_prompted, counters.images_unique) == (5, 2)
    assert (counters.images_decoded, counters.images_encoded) == (2, 2)
    assert counters.images_dropped == 0


@pytest.mark.parametrize("frozen", [True, False])
def test_features_outlive_an_update_only_if_the_tower_is_frozen(tiny_model_dir: Path, frozen: bool) -> None:
    model = load_model(tiny_model_dir, vision_frozen=frozen)
    policy = TransformersPolicy(model)
    before = policy.sample_batch(_requests(PROMPTS[:1]))[0][0]
    if not frozen:
        with torch.no_grad():
            for parameter in model.network.model.visual.parameters():
                parameter.mul_(1.5)
    assert policy.bump_version() == policy.version == 1
    after = policy.sample_batch(_requests(PROMPTS[:1]))[0][0]
    assert (before.policy_version, after.policy_version) == (0, 1)
    assert policy.counters.images_encoded == (1 if frozen else 2)
    assert (before.logprobs == after.logprobs) == frozen
    assert all(p.requires_grad != frozen for p in model.network.model.visual.parameters())
    policy.close()


async def test_many_coroutines_are_answered_in_lock_step_batches(policy: TransformersPolicy) -> None:
    params = SamplingParams(max_new_tokens=4)

    async def episode(name: str, steps: int) -> list[Completion]:
        found: list[Completion] = []
        async with policy.participant():
            for step in range(steps):
                key = _key(step, episode=name)
                found += await policy.sample(PROMPTS[step % 2], params=params, key=key)
        return found

    names = ["c", "a", "b"]
    first = await asyncio.gather(
        *(episode(name, steps) for name, steps in zip(names, (3, 2, 4), strict=True))
    )
    assert policy.counters.num_batches == 4
    assert policy.counters.num_completions == 9
    again = await episode("b", 4)
    for one, two in zip(first[2], again, strict=True):
        _assert_same(one, two)


async def test_the_loop_runs_on_while_the_model_computes(policy: TransformersPolicy) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await policy.sample(PROMPTS[0], n=16, params=SamplingParams(max_new_tokens=30), key=_key())
    ticking.cancel()
    assert ticks > 50
