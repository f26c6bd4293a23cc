"""A policy behind an OpenAI-compatible HTTP endpoint: `gui-agent serve`, vLLM, or any other.

Pictures travel as data URIs; a server is asked again where that can help, until a deadline. What a
training step needs (exact tokens and their log-probabilities) is checked, never made up.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from gui_agent.addresses import is_loopback
from gui_agent.coordinates import ScreenGeometry
from gui_agent.errors import ConfigError, PolicyError
from gui_agent.model_settings import ModelSettings
from gui_agent.policies.checkpoint_folder import stated_image_budget
from gui_agent.policies.openai_protocol import Dialect, messages_of
from gui_agent.policy import (
    Completion,
    FinishReason,
    ImageBudget,
    ImagePart,
    Prompt,
    SampleKey,
    SamplingParams,
)

_RETRIED_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_EXCERPT_CHARACTERS: Final = 500
# Qwen-VL merges 2x2 patches into one token.
_MERGE_SIZE: Final = 2
_REMEDIES: Final = {
    400: "the server refused the request as it stands; see its message",
    401: "set the environment variable named by api_key_env to a valid key",
    403: "the key may not use this model",
    404: "check base_url (it ends in /v1) and the model's name",
    413: "the request is too large; send fewer or smaller pictures",
    422: "the server does not know a field that was sent; choose another dialect",
    429: "the server is busy; lower the number of episodes at a time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a served model is, and how patient to be with it.

    Attributes:
        base_url: address up to and with `/v1`.
        model: name of the model at the server; the server's only model when empty.
        model_of_role: names of models for roles that have their own, such as planner and actor.
        dialect: what the server understands: auto asks it, else gui-agent, vllm or openai.
        api_key_env: environment variable that holds the key; no key is sent when empty.
        request_timeout_s: seconds for one answer.
        deadline_s: seconds for one call with all its repetitions.
        max_retries: how often to ask again after a failure that may pass.
        backoff_s: seconds before the first repetition, doubled each time up to half a minute.
        max_connections: requests under way at a time.
        require_tokens: refuse answers without exact tokens and log-probabilities; training needs them.
        image_token_id: placeholder token of a picture; if given, the server's prompt is checked to hold
            as many as its pictures should have, and its answers to hold none.
    """

    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = ""
    model_of_role: dict[str, str] = field(default_factory=dict)
    dialect: Dialect = Dialect.AUTO
    api_key_env: str = ""
    request_timeout_s: float = 120.0
    deadline_s: float = 300.0
    max_retries: int = 5
    backoff_s: float = 0.5
    max_connections: int = 64
    require_tokens: bool = True
    image_token_id: int | None = None

    def __post_init__(self) -> None:
        if urlsplit(self.base_url).scheme not in ("http", "https"):
            raise ConfigError(f"base_url is {self.base_url!r}; expected http://host:port/v1")
        if self.request_timeout_s <= 0 or self.deadline_s <= 0 or self.backoff_s < 0 or self.max_retries < 0:
            raise ConfigError(f"impossible deadlines or repetitions: {self}")
        if self.max_connections < 1:
            raise ConfigError(f"max_connections is {self.max_connections}; expected at least 1")
        if self.require_tokens and self.dialect is Dialect.OPENAI:
            raise ConfigError(
                f"{self.base_url}: dialect 'openai' has no token ids, so that nothing can be trained from "
                "it; serve the model with gui-agent or vLLM, or set require_tokens to false to evaluate only"
            )


class OpenAIPolicy:
    """Samples from a model served over HTTP; use `connect`, and `close` or `async with` at the end."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        image_budget: ImageBudget,
        version: int = 0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Sample from `endpoint`.

        Args:
            endpoint: the server; its `model` and `dialect` must be set.
            image_budget: how the server resizes pictures.
            version: number of updates of the served weights, where the server does not tell.
            transport: how requests travel; the network by default.

        Raises:
            ConfigError: the key's environment variable is not set.
        """
        self._endpoint = endpoint
        self._model = endpoint.model
        self._image_budget = image_budget
        self._resizes = False
        self._trained = ModelSettings()
        self._version = version
        self._client = _client(endpoint, transport)

    @classmethod
    async def connect(
        cls,
        endpoint: Endpoint,
        *,
        image_budget: ImageBudget | None = None,
        image_max_pixels: int = 0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """Ask the server for its models, so that a wrong address or name is found before anything runs.

        Args:
            endpoint: the server.
            image_budget: how it resizes pictures; None takes what it tells, or the folder on this computer
                that vLLM names, else Qwen2.5-VL's bounds.
            image_max_pixels: pixels of the largest picture that its model is to be shown; 0 leaves that to
                the server. vLLM is told; to others pictures travel at the size at which they are shown.
            transport: how requests travel; the network by default.

        Raises:
            PolicyError: the server does not answer.
            ConfigError: it has no such model, shows it smaller pictures than `image_max_pixels`, or cannot
                give the tokens that are required.
        """
        policy = cls(endpoint, image_budget=image_budget or ImageBudget(), transport=transport)
        try:
            answer = await policy._ask("GET", "models", None)
            policy._adopt(answer, image_budget)
            policy._limit_pictures(image_max_pixels)
        except BaseException:  # cancelled or failed, the connections are closed
            await policy.close()
            raise
        return policy

    def _adopt(self, answer: dict[str, Any], image_budget: ImageBudget | None) -> None:
        models = {str(model.get("id")): model for model in answer.get("data", ()) if isinstance(model, dict)}
        wanted = [*self._endpoint.model_of_role.values()]
        if self._endpoint.model or not wanted:
            wanted.append(self._endpoint.model or (next(iter(models)) if len(models) == 1 else ""))
        for name in wanted:
            if name not in models:
                raise ConfigError(
                    f"{self._endpoint.base_url} has no model {name!r}; it has: {', '.join(models) or 'none'}"
                )
        self._model = wanted[-1]
        model = models[self._model]
        if self._endpoint.dialect is Dialect.AUTO:
            by_owner = {dialect.value: dialect for dialect in (Dialect.GUI_AGENT, Dialect.VLLM)}
            dialect = by_owner.get(str(model.get("owned_by")), Dialect.OPENAI)
            self._endpoint = dataclasses.replace(self._endpoint, dialect=dialect)
        if image_budget is None:
            self._image_budget = _told_budget(model, self._endpoint.dialect) or self._image_budget
        self._version = int(model.get("policy_version", self._version))
        self._trained = ModelSettings.told(model.get("trained_as") or {}, f"{self._endpoint.base_url}/models")

    def _limit_pictures(self, max_pixels: int) -> None:
        if not max_pixels:
            return
        shown, dialect = self._image_budget.max_pixels, self._endpoint.dialect
        if dialect is Dialect.GUI_AGENT and max_pixels > shown:
            raise ConfigError(
                f"image_max_pixels is {max_pixels}, but {self._endpoint.base_url} shows its model at most "
                f"{shown}; give so many or fewer, or start gui-agent serve with --image-max-pixels"
            )
        self._image_budget = self._image_budget.limited(max_pixels)
        self._resizes = dialect is not Dialect.VLLM

    @property
    def version(self) -> int:
        """Number of updates of the served weights, as far as the server tells."""
        return self._version

    @property
    def trained(self) -> ModelSettings:
        """How the served model is to be asked, as far as the server tells."""
        return self._trained

    @property
    def image_budget(self) -> ImageBudget:
        """How the server resizes screenshots."""
        return self._image_budget

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        """Draw `n` continuations of one prompt; with `gui-agent serve`, noise is that of the key.

        Raises:
            PolicyError: the server failed for good, or left out what training needs.
        """
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 sample")
        request = await asyncio.to_thread(self._request, prompt, n, params, key)  # decodes what it resizes
        answer = await self._ask("POST", "chat/completions", request)
        completions = _Answer(answer=answer, endpoint=self._endpoint).completions(
            n, self._grids(prompt), self._version
        )
        self._version = completions[0].policy_version
        return completions

    def _request(self, prompt: Prompt, n: int, params: SamplingParams, key: SampleKey) -> dict[str, Any]:
        dialect = self._endpoint.dialect
        length = "max_completion_tokens" if dialect is Dialect.OPENAI else "max_tokens"
        request: dict[str, Any] = {
            "model": self._endpoint.model_of_role.get(key.role) or self._model,
            "messages": messages_of(prompt, self._image_budget if self._resizes else None),
            "n": n,
            "temperature": params.temperature,
            "top_p": params.top_p,
            length: params.max_new_tokens,
            "seed": key.noise_seed(0),
        }
        if dialect is not Dialect.OPENAI:
            request |= {"logprobs": True, "return_token_ids": True}
            request |= {"top_k": params.top_k} if params.top_k else {}
        elif params.top_k:
            raise PolicyError(
                f"top_k is {params.top_k}, but dialect 'openai' has no such setting; leave it at 0"
            )
        if dialect is Dialect.GUI_AGENT:
            request["sample_seeds"] = [key.noise_seed(i) for i in range(n)]
            request["user"] = key.episode
        if dialect is Dialect.VLLM:
            budget = self._image_budget
            request["mm_processor_kwargs"] = {
                "min_pixels": budget.min_pixels,
                "max_pixels": budget.max_pixels,
            }
        return request

    def _grids(self, prompt: Prompt) -> tuple[tuple[int, int, int], ...]:
        """Patches of each picture, as a server with this image budget cuts them."""
        budget = self._image_budget
        patch = budget.factor // _MERGE_SIZE
        parts = [part for message in prompt for part in message.parts if isinstance(part, ImagePart)]
        shown = [
            ScreenGeometry.of(part.screenshot.width_px, part.screenshot.height_px, budget) for part in parts
        ]
        return tuple((1, size.resized_height_px // patch, size.resized_width_px // patch) for size in shown)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """One answer of the server, asked again after failures that may pass."""
        url = f"{self._endpoint.base_url.rstrip('/')}/{path}"
        failure: PolicyError | None = None
        try:
            async with asyncio.timeout(self._endpoint.deadline_s):
                for attempt in range(self._endpoint.max_retries + 1):
                    outcome = await self._try(method, url, body)
                    if not isinstance(outcome, _Failure):
                        return outcome
                    failure = outcome.error
                    if not outcome.may_pass or attempt == self._endpoint.max_retries:
                        raise failure
                    await asyncio.sleep(outcome.wait_s or min(30.0, self._endpoint.backoff_s * 2**attempt))
        except TimeoutError as error:
            raise PolicyError(
                f"{method} {url}: no answer within the deadline of {self._endpoint.deadline_s:g} s; raise "
                f"deadline_s, or ask for fewer tokens at a time. Last failure: {failure or 'none'}"
            ) from error
        raise AssertionError("the loop returns or raises")

    async def _try(self, method: str, url: str, body: dict[str, Any] | None) -> dict[str, Any] | _Failure:
        try:
            response = await self._client.request(method, url, json=body)
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}".rstrip(": ")
            return _Failure(
                error=PolicyError(
                    f"{method} {url}: {problem}; is the server running, and is base_url right? "
                    "Start one with: gui-agent serve --model PATH"
                ),
                may_pass=True,
            )
        if response.is_success:
            return _json_object(response, url)
        status = response.status_code
        remedy = _REMEDIES.get(status, "see the server's log")
        return _Failure(
            error=PolicyError(f"{method} {url}: status {status}: {_excerpt(response)}; {remedy}"),
            may_pass=status in _RETRIED_STATUS,
            wait_s=_retry_after_s(response),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """An answer that is none; `may_pass` if asking again can help, after `wait_s` if the server says so."""

    error: PolicyError
    may_pass: bool
    wait_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """The body of a chat completion, and how to read it."""

    answer: dict[str, Any]
    endpoint: Endpoint

    def completions(
        self, n: int, grids: tuple[tuple[int, int, int], ...], version: int
    ) -> tuple[Completion, ...]:
        """The completions in order.

        Raises:
            PolicyError: something is missing or does not fit.
        """
        choices = self.answer.get("choices")
        if not isinstance(choices, list) or len(choices) != n:
            found = len(choices) if isinstance(choices, list) else "no"
            raise self._error(f"asked for {n} samples and got {found} choices")
        told_grids = self.answer.get("image_grids")
        if told_grids is not None:
            grids = tuple((int(t), int(h), int(w)) for t, h, w in told_grids)
        prompt_token_ids = tuple(self.answer.get("prompt_token_ids") or ())
        if self.endpoint.require_tokens and not prompt_token_ids:
            raise self._error("prompt_token_ids are missing")
        self._check_pictures(prompt_token_ids, grids)
        ordered = sorted(choices, key=lambda choice: choice.get("index", 0))
        version = int(self.answer.get("policy_version", version))
        return tuple(self._completion(choice, prompt_token_ids, grids, version) for choice in ordered)

    def _completion(
        self,
        choice: dict[str, Any],
        prompt_token_ids: tuple[int, ...],
        grids: tuple[tuple[int, int, int], ...],
        version: int,
    ) -> Completion:
        token_ids = tuple(choice.get("token_ids") or ())
        contents = (choice.get("logprobs") or {}).get("content") or ()
        logprobs = tuple(float(content["logprob"]) for content in contents)
        if self.endpoint.require_tokens:
            self._check_tokens(token_ids, logprobs)
        reason = choice.get("finish_reason")
        if reason not in ("stop", "length"):
            raise self._error(f"finish_reason is {reason!r}; expected 'stop' or 'length'")
        return Completion(
            prompt_token_ids=prompt_token_ids,
            image_grids=grids,
            token_ids=token_ids,
            logprobs=logprobs if len(logprobs) == len(token_ids) else (),
            text=(choice.get("message") or {}).get("content") or "",
            finish_reason=FinishReason(reason),
            policy_version=version,
        )

    def _check_tokens(self, token_ids: tuple[int, ...], logprobs: tuple[float, ...]) -> None:
        if not token_ids:
            raise self._error("token_ids are missing")
        if len(logprobs) != len(token_ids):
            raise self._error(f"{len(token_ids)} token_ids but {len(logprobs)} logprobs")
        if self.endpoint.image_token_id in token_ids:
            raise self._error("it sampled a picture token, which no training step can read; drop the answer")
        if not all(math.isfinite(logprob) and logprob <= 1e-6 for logprob in logprobs):
            raise self._error("logprobs hold a value that is no log-probability")

    def _check_pictures(
        self, prompt_token_ids: tuple[int, ...], grids: tuple[tuple[int, int, int], ...]
    ) -> None:
        if self.endpoint.image_token_id is None or not prompt_token_ids:
            return
        found = prompt_token_ids.count(self.endpoint.image_token_id)
        expected = sum(time * height * width // _MERGE_SIZE**2 for time, height, width in grids)
        if found != expected:
            raise self._error(
                f"its prompt has {found} picture tokens, {expected} were expected for {len(grids)} pictures; "
                "the server resizes pictures in another way: give both sides the same image budget"
            )

    def _error(self, what: str) -> PolicyError:
        remedy = (
            "; a server for training must return token ids and log-probabilities (gui-agent serve, or vLLM "
            "0.10.2 and newer with dialect vllm); to evaluate only, set require_tokens to false"
            if "missing" in what or "logprobs" in what
            else ""
        )
        return PolicyError(
            f"{self.endpoint.base_url}, model {self.answer.get('model')!r}: {what}{remedy}; "
            f"the answer began: {_shorten(json.dumps(self.answer))}"
        )


def _told_budget(model: dict[str, Any], dialect: Dialect) -> ImageBudget | None:
    """How a server says that it resizes pictures; vLLM only says from which folder it has the model."""
    if "image_budget" in model:
        return ImageBudget(**model["image_budget"])
    folder = model.get("root") if dialect is Dialect.VLLM else None
    return stated_image_budget(folder) if isinstance(folder, str) and folder else None


def _client(endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    headers = {}
    if endpoint.api_key_env:
        key = os.environ.get(endpoint.api_key_env)
        if not key:
            raise ConfigError(
                f"the environment variable {endpoint.api_key_env} is not set; put the key of "
                f"{endpoint.base_url} into it, or leave api_key_env empty if the server wants none"
            )
        headers["Authorization"] = f"Bearer {key}"
    return httpx.AsyncClient(
        headers=headers,
        timeout=httpx.Timeout(endpoint.request_timeout_s, pool=None),
        limits=httpx.Limits(max_connections=endpoint.max_connections),
        transport=transport,
        # A proxy cannot reach a server on this very computer.
        trust_env=not is_loopback(urlsplit(endpoint.base_url).hostname or ""),
    )


def _json_object(response: httpx.Response, url: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError as error:
        raise PolicyError(f"{url} answered with something that is no JSON: {_excerpt(response)}") from error
    if not isinstance(answer, dict):
        raise PolicyError(f"{url} answered with something that is no JSON object: {_excerpt(response)}")
    return answer


def _excerpt(response: httpx.Response) -> str:
    return _shorten(" ".join(response.text.split())) or "(empty body)"


def _shorten(text: str) -> str:
    return text if len(text) <= _EXCERPT_CHARACTERS else text[:_EXCERPT_CHARACTERS] + " ..."


def _retry_after_s(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait, where it says so in seconds."""
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None
