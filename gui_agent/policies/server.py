"""A policy behind HTTP: `/v1/chat/completions`, `/v1/models` and `/health`.

What a request may say stands in `openai_protocol`. Pictures come as data URIs; nothing is ever fetched
for a request. Streaming, tools and response formats are not offered: asking for them is an error.
"""

from __future__ import annotations

import hmac
import itertools
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gui_agent.errors import GuiAgentError, ImageDecodeError
from gui_agent.model_settings import ModelSettings
from gui_agent.policies.openai_protocol import (
    SEED_BITS,
    RequestError,
    SeededKey,
    derived_seeds,
    logprob_contents,
    prompt_of,
)
from gui_agent.policy import Completion, Policy, Prompt, SamplingParams

_KNOWN_FIELDS: Final = frozenset(
    {
        "model",
        "messages",
        "n",
        "temperature",
        "top_p",
        "top_k",
        "max_tokens",
        "max_completion_tokens",
        "seed",
        "sample_seeds",
        "logprobs",
        "return_token_ids",
        "stream",
        "user",
        "metadata",
    }
)
_DEFAULT_NEW_TOKENS: Final = 512
_USER_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one request may ask for.

    Attributes:
        max_body_bytes: size of a request.
        max_samples: `n`.
        max_new_tokens: length of a completion.
    """

    max_body_bytes: int = 64 * 2**20
    max_samples: int = 256
    max_new_tokens: int = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat completion request that was checked."""

    model: str
    prompt: Prompt
    n: int
    params: SamplingParams
    sample_seeds: tuple[int, ...]
    logprobs: bool
    return_token_ids: bool
    user: str


def create_app(
    policy: Policy,
    *,
    models: Sequence[str],
    api_key: str | None = None,
    limits: ServerLimits | None = None,
    trained: ModelSettings | None = None,
) -> Starlette:
    """The application that serves `policy`.

    Args:
        policy: what answers. The name of the model that a request asks for is the role of its key, so
            that a policy with an adapter per role serves each under a name of its own.
        models: names that a request may ask for.
        api_key: if given, what requests must bring as bearer token.
        limits: bounds of one request.
        trained: how the models are to be asked, as clients are told.
    """
    server = _Server(
        policy=policy,
        models=tuple(models),
        api_key=api_key,
        limits=limits or ServerLimits(),
        trained=trained or ModelSettings(),
    )
    return Starlette(
        routes=[
            Route("/v1/chat/completions", server.chat_completions, methods=["POST"]),
            Route("/v1/models", server.list_models, methods=["GET"]),
            Route("/health", server.health, methods=["GET"]),
        ]
    )


class _Server:
    def __init__(
        self,
        *,
        policy: Policy,
        models: tuple[str, ...],
        api_key: str | None,
        limits: ServerLimits,
        trained: ModelSettings,
    ) -> None:
        self._policy = policy
        self._models = models
        self._api_key = api_key
        self._limits = limits
        self._trained = trained
        self._numbers = itertools.count()

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "policy_version": self._policy.version})

    async def list_models(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        shared = {
            "object": "model",
            "owned_by": "gui-agent",
            "image_budget": asdict(self._policy.image_budget),
            "policy_version": self._policy.version,
            "trained_as": self._trained.decided(),
        }
        return JSONResponse({"object": "list", "data": [{"id": name, **shared} for name in self._models]})

    async def chat_completions(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        # A web page of another origin may send text/plain without asking, but never JSON.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _error(415, "send the request as application/json")
        try:
            body = await self._body(request)
            if body is None:
                limit_mib = self._limits.max_body_bytes / 2**20
                return _error(413, f"the request is larger than {limit_mib:g} MiB")
            chat = parse_chat_request(body, self._limits)
            if chat.model not in self._models:
                known = ", ".join(self._models)
                return _error(404, f"no model {chat.model!r}; this server has: {known}", param="model")
            key = SeededKey(
                seed=0,
                update=self._policy.version,
                episode=chat.user,
                step=0,
                role=chat.model,
                sample_seeds=chat.sample_seeds,
            )
            completions = await self._policy.sample(chat.prompt, n=chat.n, params=chat.params, key=key)
        except RequestError as error:
            return _error(400, str(error), param=error.param)
        except ImageDecodeError as error:
            return _error(400, str(error), param="messages")
        except ClientDisconnect:
            return Response(status_code=499)
        except GuiAgentError as error:
            return _error(500, f"{type(error).__name__}: {error}", kind="server_error")
        return JSONResponse(_answer(chat, completions, f"{next(self._numbers):012d}"))

    def _refusal(self, request: Request) -> Response | None:
        if self._api_key is None:
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), self._api_key.encode()):
            return None
        return _error(401, "this server wants its key as bearer token in the Authorization header")

    async def _body(self, request: Request) -> bytes | None:
        """The body, or None as soon as it is larger than allowed."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._limits.max_body_bytes:
                return None
        return bytes(body)


def parse_chat_request(body: bytes, limits: ServerLimits) -> ChatRequest:
    """Check a request; a field that would have no effect is an error, not ignored.

    Raises:
        RequestError: it is malformed, or asks for something that is not offered.
        ImageDecodeError: a picture is damaged.
    """
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise RequestError(f"the body is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise RequestError("the body must be a JSON object")
    unknown = sorted(name for name in fields.keys() - _KNOWN_FIELDS if fields[name] is not None)
    if unknown:
        raise RequestError(f"not offered here: {', '.join(unknown)}", param=unknown[0])
    if fields.get("stream"):
        raise RequestError("streaming is not offered; leave stream away", param="stream")
    n = _whole(fields, "n", 1, low=1, high=limits.max_samples)
    return ChatRequest(
        model=_text(fields, "model"),
        prompt=prompt_of(fields.get("messages")),
        n=n,
        params=_sampling_params(fields, limits),
        sample_seeds=_sample_seeds(fields, n),
        logprobs=_switch(fields, "logprobs"),
        return_token_ids=_switch(fields, "return_token_ids"),
        user=_user(fields),
    )


def _sampling_params(fields: dict[str, Any], limits: ServerLimits) -> SamplingParams:
    name = "max_completion_tokens" if fields.get("max_completion_tokens") is not None else "max_tokens"
    default = min(_DEFAULT_NEW_TOKENS, limits.max_new_tokens)
    top_k = _whole(fields, "top_k", 0, low=-1, high=2**31)
    return SamplingParams(
        temperature=_number(fields, "temperature", 1.0, low=0.0, high=100.0),
        top_p=_number(fields, "top_p", 1.0, low=1e-9, high=1.0),
        top_k=max(0, top_k),  # vLLM writes -1 for "all"
        max_new_tokens=_whole(fields, name, default, low=1, high=limits.max_new_tokens),
    )


def _sample_seeds(fields: dict[str, Any], n: int) -> tuple[int, ...]:
    seeds = fields.get("sample_seeds")
    if seeds is None:
        seed = _whole(fields, "seed", secrets.randbits(SEED_BITS), low=-(2**63), high=2**64)
        return derived_seeds(seed, n)
    if not isinstance(seeds, list) or len(seeds) != n or not all(_is_seed(seed) for seed in seeds):
        raise RequestError(f"sample_seeds must be a list of n={n} whole numbers from 0", param="sample_seeds")
    return tuple(seeds)


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**SEED_BITS


def _whole(fields: dict[str, Any], name: str, default: int, *, low: int, high: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name} is {value!r}; expected a whole number from {low} to {high}", param=name)
    return value


def _number(fields: dict[str, Any], name: str, default: float, *, low: float, high: float) -> float:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}", param=name)
    return float(value)


def _switch(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise RequestError(f"{name} is {value!r}; expected true or false", param=name)
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise RequestError(f"{name} must be a text", param=name)
    return value


def _user(fields: dict[str, Any]) -> str:
    """Who asks, an episode by its name; empty where nobody says."""
    return "" if fields.get("user") is None else _text(fields, "user")[:_USER_CHARACTERS]


def _answer(chat: ChatRequest, completions: Sequence[Completion], number: str) -> dict[str, Any]:
    first = completions[0]
    num_sampled = sum(len(completion.token_ids) for completion in completions)
    answer: dict[str, Any] = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": chat.model,
        "policy_version": first.policy_version,
        "choices": [_choice(chat, i, completion) for i, completion in enumerate(completions)],
        "usage": {
            "prompt_tokens": len(first.prompt_token_ids),
            "completion_tokens": num_sampled,
            "total_tokens": len(first.prompt_token_ids) + num_sampled,
        },
    }
    if chat.return_token_ids:
        answer["prompt_token_ids"] = list(first.prompt_token_ids)
        answer["image_grids"] = [list(grid) for grid in first.image_grids]
    return answer


def _choice(chat: ChatRequest, index: int, completion: Completion) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": index,
        "message": {"role": "assistant", "content": completion.text},
        "finish_reason": completion.finish_reason.value,
        "logprobs": None,
    }
    if chat.logprobs:
        choice["logprobs"] = {"content": logprob_contents(completion.token_ids, completion.logprobs)}
    if chat.return_token_ids:
        choice["token_ids"] = list(completion.token_ids)
    return choice


def _error(status: int, message: str, *, param: str | None = None, kind: str = "") -> Response:
    kind = kind or ("authentication_error" if status == 401 else "invalid_request_error")
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": param, "code": None}}, status_code=status
    )
