"""A served model answers as the local one does, and failures of a server are handled and explained."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from gui_agent.errors import ConfigError, PolicyError
from gui_agent.observation import Screenshot
from gui_agent.policies.openai_http import Endpoint, OpenAIPolicy
from gui_agent.policies.openai_protocol import Dialect, derived_seeds, messages_of, prompt_of
from gui_agent.policies.server import ServerLimits, create_app
from gui_agent.policy import (
    Completion,
    FinishReason,
    ImageBudget,
    ImagePart,
    Message,
    Prompt,
    Role,
    SampleKey,
    SamplingParams,
    TextPart,
)

KEY = SampleKey(seed=3, update=1, episode="e", step=2)
PARAMS = SamplingParams(max_new_tokens=12)


def _prompt(goal: str = "tap the red button") -> Prompt:
    screenshot = Screenshot.from_image(Image.new("RGB", (90, 150), (200, 30, 30)))
    return (
        Message(role=Role.SYSTEM, parts=(TextPart(text="You operate a phone."),)),
        Message(role=Role.USER, parts=(ImagePart(screenshot=screenshot), TextPart(text=goal))),
        Message(role=Role.ASSISTANT, parts=(TextPart(text="tapped Settings"),)),
        Message(role=Role.USER, parts=(TextPart(text="go on"), ImagePart(screenshot=screenshot))),
    )


class Echo:
    """A policy without a model: it writes the seeds of its noise, so that a test can see them."""

    version = 4
    image_budget = ImageBudget(factor=32, min_pixels=32 * 32, max_pixels=64 * 32 * 32)

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        if "break" in prompt[-1].text:
            raise PolicyError("the model broke")
        return [
            Completion(
                prompt_token_ids=(1, 2),
                image_grids=(),
                token_ids=(7,),
                logprobs=(-0.1,),
                text=f"{key.role} {key.noise_seed(i)} {params.temperature}",
                finish_reason=FinishReason.STOP,
                policy_version=self.version,
            )
            for i in range(n)
        ]


def _echo_client(**settings: Any) -> httpx.AsyncClient:
    app = create_app(Echo(), models=("planner", "actor"), **settings)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


def _handled(handler: Callable[[httpx.Request], httpx.Response], **settings: Any) -> OpenAIPolicy:
    settings = {"dialect": Dialect.GUI_AGENT, **settings}
    endpoint = Endpoint(base_url="http://server/v1", model="m", backoff_s=0.0, **settings)
    return OpenAIPolicy(endpoint, image_budget=ImageBudget(), transport=httpx.MockTransport(handler))


def _answer(**changes: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "tap"},
        "finish_reason": "stop",
        "token_ids": [5, 6],
        "logprobs": {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.25}]},
    }
    answer = {"model": "m", "prompt_token_ids": [1, 2, 3], "choices": [choice | changes.pop("choice", {})]}
    return answer | changes


async def test_a_server_knows_the_episodes_that_ask() -> None:
    asked: list[str] = []

    class Listening(Echo):
        async def sample(self, prompt: Prompt, *, key: SampleKey, **given: Any) -> Sequence[Completion]:
            asked.append(key.episode)
            return await super().sample(prompt, key=key, **given)

    app = create_app(Listening(), models=("m",))
    transport = httpx.ASGITransport(app)
    endpoint = Endpoint(base_url="http://server/v1", model="m")
    async with await OpenAIPolicy.connect(endpoint, transport=transport) as policy:
        await policy.sample(_prompt(), params=PARAMS, key=KEY)
    body = {"model": "m", "messages": [{"role": "user", "content": "go"}]}
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        assert (
            await client.post("/v1/chat/completions", json={**body, "user": "k" * 999})
        ).status_code == 200
    assert asked == [KEY.episode, "", "k" * 256]


async def test_one_server_serves_the_tokens_of_the_local_policy(tiny_model_dir_qwen3: Path) -> None:
    """The command itself, over a real socket: same key, same tokens, same log-probabilities."""
    from gui_agent.policies.transformers_loading import load_model
    from gui_agent.policies.transformers_policy import TransformersPolicy

    local = TransformersPolicy(load_model(tiny_model_dir_qwen3))
    process = subprocess.Popen(  # noqa: ASYNC220 - started before anything else waits on the loop
        [sys.executable, "-m", "gui_agent.cli.main", "serve", str(tiny_model_dir_qwen3), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.startswith(f"serving {tiny_model_dir_qwen3.name} on http://127.0.0.1:"), line
        async with await OpenAIPolicy.connect(Endpoint(base_url=line.split()[-1])) as served:
            assert served.image_budget == local.image_budget
            for params in (PARAMS, SamplingParams(max_new_tokens=12, temperature=0.7, top_p=0.9, top_k=20)):
                expected = await local.sample(_prompt(), n=3, params=params, key=KEY)
                assert list(await served.sample(_prompt(), n=3, params=params, key=KEY)) == list(expected)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        local.close()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


async def test_two_adapters_on_one_base_are_two_models(tiny_model_dir_qwen3: Path, tmp_path: Path) -> None:
    import torch

    from gui_agent.cli.serve import Serve
    from gui_agent.policies.transformers_loading import LoraSettings, load_model, save_adapter
    from gui_agent.policies.transformers_policy import TransformersPolicy

    roles = ("planner", "actor")
    model = load_model(tiny_model_dir_qwen3, lora=LoraSettings(rank=2), adapters=roles)
    torch.manual_seed(0)
    for name, parameter in model.network.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    folders = {role: save_adapter(model, tmp_path / role, adapter=role) for role in roles}
    local = TransformersPolicy(model, adapter_of_role={role: role for role in roles})
    serve = Serve(model=tiny_model_dir_qwen3, adapters=folders)
    assert serve.served_names() == roles
    app = create_app(serve.load_policy(), models=serve.served_names())
    endpoint = Endpoint(base_url="http://server/v1", model_of_role={role: role for role in roles})
    written = []
    async with await OpenAIPolicy.connect(endpoint, transport=httpx.ASGITransport(app)) as served:
        for role in roles:
            key = SampleKey(seed=3, update=1, episode="e", step=2, role=role)
            expected = await local.sample(_prompt(), params=PARAMS, key=key)
            assert list(await served.sample(_prompt(), params=PARAMS, key=key)) == list(expected)
            written.append(expected[0].token_ids)
    assert written[0] != written[1]
    local.close()


async def test_a_prompt_survives_the_wire() -> None:
    assert prompt_of(json.loads(json.dumps(messages_of(_prompt())))) == _prompt()


async def test_noise_comes_from_the_seeds_of_the_request() -> None:
    async with _echo_client() as client:
        body = {"model": "actor", "messages": [{"role": "user", "content": "go"}], "n": 3}
        one = (await client.post("/v1/chat/completions", json={**body, "seed": 11})).json()
        two = (await client.post("/v1/chat/completions", json={**body, "sample_seeds": [5, 6, 7]})).json()
    texts = [choice["message"]["content"] for choice in one["choices"]]
    assert texts == [f"actor {seed} 1.0" for seed in derived_seeds(11, 3)]
    assert texts[0] == "actor 11 1.0"
    assert [c["message"]["content"] for c in two["choices"]] == [f"actor {seed} 1.0" for seed in (5, 6, 7)]


async def test_roles_with_models_of_their_own() -> None:
    endpoint = Endpoint(base_url="http://server/v1", model="actor", model_of_role={"planner": "planner"})
    app = create_app(Echo(), models=("planner", "actor"))
    async with await OpenAIPolicy.connect(endpoint, transport=httpx.ASGITransport(app)) as policy:
        assert (policy.version, policy.image_budget) == (4, Echo.image_budget)
        key = SampleKey(seed=0, update=0, episode="e", step=0, role="planner")
        [completion] = await policy.sample(_prompt(), params=PARAMS, key=key)
        assert completion.text.startswith(f"planner {key.noise_seed(0)}")
    with pytest.raises(ConfigError, match="has no model 'x'; it has: planner, actor"):
        await OpenAIPolicy.connect(
            Endpoint(base_url="http://server/v1", model="x"), transport=httpx.ASGITransport(app)
        )


PNG = base64.b64encode(_prompt()[1].parts[0].screenshot.data).decode()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"model": "absent"}, 404, "no model 'absent'; this server has: planner, actor"),
        ({"messages": []}, 400, "at least one message"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "messages[0].role is 'robot'"),
        ({"n": 0}, 400, "n is 0; expected a whole number from 1"),
        ({"n": 10**6}, 400, "n is 1000000"),
        ({"temperature": "hot"}, 400, "temperature is 'hot'"),
        ({"temperature": float("inf")}, 400, "temperature is inf"),
        ({"stream": True}, 400, "streaming is not offered"),
        ({"tools": []}, 400, "not offered here: tools"),
        ({"sample_seeds": [1, 2]}, 400, "sample_seeds must be a list of n=1"),
        ({"user": 7}, 400, "user must be a text"),
        ({"messages": [{"role": "user", "content": "break"}]}, 500, "the model broke"),
    ],
)
async def test_requests_that_cannot_be_answered(change: dict[str, Any], status: int, message: str) -> None:
    body = {"model": "actor", "messages": [{"role": "user", "content": "go"}], **change}
    async with _echo_client() as client:
        response = await client.post(
            "/v1/chat/completions", content=json.dumps(body), headers={"content-type": "application/json"}
        )
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1/a.png", "must be a data URI"),
        ("file:///etc/passwd", "must be a data URI"),
        ("data:image/png;base64,@@", "base64 is damaged"),
        (f"data:image/png;base64,{PNG[:60]}", "do not decode"),
    ],
)
async def test_pictures_that_cannot_be_read(url: str, message: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    async with _echo_client() as client:
        response = await client.post(
            "/v1/chat/completions",
            json={"model": "actor", "messages": [{"role": "user", "content": content}]},
        )
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


async def test_a_server_is_closed_to_strangers_pages_and_floods() -> None:
    body = json.dumps({"model": "actor", "messages": [{"role": "user", "content": "go"}]})
    as_json = {"content-type": "application/json"}
    async with _echo_client(api_key="secret", limits=ServerLimits(max_body_bytes=100)) as client:
        path, key = "/v1/chat/completions", {"authorization": "Bearer secret"}
        assert (await client.post(path, content=body, headers=as_json)).status_code == 401
        wrong = {"authorization": "Bearer secreT"}
        assert (await client.get("/v1/models", headers=wrong)).status_code == 401
        assert (await client.post(path, content=body, headers=key | as_json)).status_code == 200
        assert (await client.post(path, content=body, headers=key)).status_code == 415
        assert (await client.post(path, content=body + " " * 100, headers=key | as_json)).status_code == 413
        assert (await client.get("/health")).status_code == 200


async def test_busy_and_broken_servers_are_asked_again() -> None:
    answers: Iterator[httpx.Response | Exception] = iter(
        [
            httpx.Response(429, headers={"retry-after": "0"}, text="busy"),
            httpx.Response(503, text="starting"),
            httpx.ConnectError("refused"),
            httpx.Response(200, json=_answer()),
        ]
    )

    def handler(_: httpx.Request) -> httpx.Response:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with _handled(handler) as policy:
        [completion] = await policy.sample(_prompt(), params=PARAMS, key=KEY)
    assert (completion.token_ids, completion.logprobs, completion.text) == ((5, 6), (-0.5, -0.25), "tap")


@pytest.mark.parametrize(
    ("response", "tries", "message"),
    [
        (httpx.Response(500, text="out of\nmemory"), 3, "status 500: out of memory; see the server's log"),
        (httpx.Response(404, text="x" * 999), 1, r"status 404: x{500} \.\.\.; check base_url"),
        (httpx.Response(401), 1, r"status 401: \(empty body\); set the environment variable"),
        (httpx.Response(200, text="<html>"), 1, "no JSON: <html>"),
        (httpx.Response(200, json=_answer(choices=[])), 1, "asked for 1 samples and got 0 choices"),
        (
            httpx.Response(200, json=_answer(prompt_token_ids=None)),
            1,
            "prompt_token_ids are missing; a",
        ),
        (httpx.Response(200, json=_answer(choice={"token_ids": None})), 1, "token_ids are missing; a server"),
        (
            httpx.Response(200, json=_answer(choice={"logprobs": None})),
            1,
            "2 token_ids but 0 logprobs; a",
        ),
        (httpx.Response(200, json=_answer(choice={"finish_reason": "x"})), 1, "finish_reason is 'x'"),
    ],
)
async def test_what_cannot_be_helped_is_an_error_that_names_the_server(
    response: httpx.Response, tries: int, message: str
) -> None:
    requests = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return response

    async with _handled(handler, max_retries=2) as policy:
        with pytest.raises(PolicyError, match=message) as raised:
            await policy.sample(_prompt(), params=PARAMS, key=KEY)
    assert "http://server/v1" in str(raised.value)
    assert len(requests) == tries


async def test_a_server_that_hangs_meets_a_deadline() -> None:
    class Hanging(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    endpoint = Endpoint(base_url="http://server/v1", model="m", deadline_s=0.05)
    async with OpenAIPolicy(endpoint, image_budget=ImageBudget(), transport=Hanging()) as policy:
        with pytest.raises(PolicyError, match=r"no answer within the deadline of 0.05 s"):
            await policy.sample(_prompt(), params=PARAMS, key=KEY)


async def test_a_plain_server_can_be_evaluated_but_not_trained_on() -> None:
    with pytest.raises(ConfigError, match="nothing can be trained from it"):
        Endpoint(dialect=Dialect.OPENAI)
    sent: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(200, json=_answer(prompt_token_ids=None, choice={"token_ids": None}))

    async with _handled(handler, dialect=Dialect.OPENAI, require_tokens=False) as policy:
        [completion] = await policy.sample(_prompt(), params=PARAMS, key=KEY)
    assert (completion.text, completion.token_ids, completion.logprobs) == ("tap", (), ())
    assert sent[0].keys() == {
        "model", "messages", "n", "temperature", "top_p", "max_completion_tokens", "seed",
    }  # fmt: skip


@pytest.mark.parametrize("owner", ["vllm", "somebody"])
async def test_the_dialect_is_read_from_the_list_of_models(owner: str) -> None:
    sent: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m", "owned_by": owner}]})
        sent.append(json.loads(request.content))
        return httpx.Response(200, json=_answer())

    transport = httpx.MockTransport(handler)
    endpoint = Endpoint(base_url="http://server/v1", require_tokens=False)
    async with await OpenAIPolicy.connect(endpoint, transport=transport) as policy:
        await policy.sample(_prompt(), params=PARAMS, key=KEY)
    assert sent[0]["model"] == "m"
    assert sent[0].get("return_token_ids", False) is (owner == "vllm")
    if owner == "somebody":
        with pytest.raises(ConfigError, match="nothing can be trained from it"):
            await OpenAIPolicy.connect(Endpoint(base_url="http://server/v1"), transport=transport)


async def test_pictures_resized_in_another_way_are_noticed() -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=_answer(prompt_token_ids=[9] * 7))

    async with _handled(handler, dialect=Dialect.VLLM, image_token_id=9) as policy:
        with pytest.raises(PolicyError, match="its prompt has 7 picture tokens, 30 were expected"):
            await policy.sample(_prompt(), params=PARAMS, key=KEY)


async def test_a_sampled_picture_token_is_refused() -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=_answer(prompt_token_ids=[6] * 30))

    async with _handled(handler, dialect=Dialect.VLLM, image_token_id=6) as policy:
        with pytest.raises(PolicyError, match="sampled a picture token"):
            await policy.sample(_prompt(), params=PARAMS, key=KEY)


def test_keys_come_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ConfigError, match="SOME_KEY is not set"):
        OpenAIPolicy(Endpoint(api_key_env="SOME_KEY"), image_budget=ImageBudget())


def test_serve_refuses_other_computers_without_a_key(tmp_path: Path) -> None:
    from gui_agent.cli.serve import Serve

    with pytest.raises(ConfigError, match="can be reached from other computers"):
        Serve(model=tmp_path, host="0.0.0.0").dry_run()
