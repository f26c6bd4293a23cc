"""Models that continue a conversation with pictures, wherever they run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, Self

from gui_agent.errors import ConfigError
from gui_agent.observation import Screenshot


class Role(StrEnum):
    """Who speaks in a prompt."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """Words of a message."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """A picture of a message."""

    screenshot: Screenshot


Part = TextPart | ImagePart


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a prompt; parts in the order in which the model reads them."""

    role: Role
    parts: tuple[TextPart | ImagePart, ...]

    @classmethod
    def of_text(cls, role: Role, text: str) -> Self:
        """A message of words alone."""
        return cls(role=role, parts=(TextPart(text=text),))

    @property
    def text(self) -> str:
        """All words of the message, pictures left out."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


Prompt = tuple[Message, ...]


class FinishReason(StrEnum):
    """Why a model stopped writing."""

    STOP = "stop"
    """It wrote its end-of-turn token."""
    LENGTH = "length"
    """It reached `max_new_tokens`."""


class AgentRole(StrEnum):
    """Which part of an agent a completion speaks for."""

    ACTOR = "actor"
    PLANNER = "planner"
    PATCH_THOUGHT = "patch_thought"
    """The thought written for an expert action (UI-S1, on-policy thought patch)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to sample. Temperature 0 takes the most likely token; `top_k` 0 and `top_p` 1 are off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0 or self.max_new_tokens < 1:
            raise ConfigError(
                f"impossible sampling settings: {self}; expected temperature 0 or more, top_p above 0 and at "
                "most 1, top_k 0 or more, max_new_tokens 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SampleKey:
    """Names one request, so that its sampling noise depends on nothing else.

    Two runs that ask with equal keys draw equal noise, whatever else was asked for in between.
    Ordering is by field, which is the order in which a deterministic batcher serves requests.
    """

    seed: int
    update: int
    episode: str
    step: int
    role: str = AgentRole.ACTOR.value

    def noise_seed(self, sample: int) -> int:
        """A 63-bit seed for the noise of one of the samples of this request."""
        text = f"{self.seed}/{self.update}/{self.episode}/{self.step}/{self.role}/{sample}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled continuation, with exactly the tokens that were sampled.

    Attributes:
        prompt_token_ids: the prompt as the model read it, image placeholders expanded, no padding.
        image_grids: for each picture of the prompt (time, height, width) in patches.
        token_ids: sampled tokens, the end-of-turn token included if it was sampled.
        logprobs: natural-log probability of each sampled token at temperature 1, before top-k or
            top-p; same length as `token_ids`.
        text: the tokens decoded, without special tokens.
        finish_reason: why it ended.
        policy_version: number of updates of the weights that wrote it.
    """

    prompt_token_ids: tuple[int, ...]
    image_grids: tuple[tuple[int, int, int], ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish_reason: FinishReason
    policy_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBudget:
    """How a model family resizes pictures: to multiples of `factor` within a number of pixels.

    `factor` is patch size times merge size (28 for Qwen2.5-VL, 32 for Qwen3-VL).
    """

    factor: int = 28
    min_pixels: int = 4 * 28 * 28
    max_pixels: int = 16384 * 28 * 28

    @classmethod
    def of_factor(cls, factor: int) -> ImageBudget:
        """The usual bounds, 4 to 16,384 tokens, for another factor."""
        return cls(factor=factor, min_pixels=4 * factor**2, max_pixels=16384 * factor**2)

    def limited(self, max_pixels: int) -> ImageBudget:
        """The same with another upper bound; 0 leaves it as it is.

        Raises:
            ConfigError: the bound is below the smallest picture.
        """
        if not max_pixels:
            return self
        if max_pixels < self.min_pixels:
            raise ConfigError(
                f"image_max_pixels is {max_pixels}, but the smallest picture of this model has "
                f"{self.min_pixels} pixels; expected so many or more. It counts pixels, not tokens: 1,280 "
                f"tokens are {1280 * self.factor**2}"
            )
        return replace(self, max_pixels=max_pixels)


def check_image_max_pixels(value: int, *, name: str = "image_max_pixels") -> None:
    """Refuse what is a bound of no model; each model refuses what is below its own smallest picture.

    Raises:
        ConfigError: it is negative.
    """
    if value < 0:
        raise ConfigError(
            f"{name} is {value}; expected 0 (what the model was trained with, or its own) or more"
        )


class Policy(Protocol):
    """Samples continuations.

    Raises `PolicyError` when the model or its server fails.
    """

    @property
    def version(self) -> int:
        """Number of weight updates so far."""
        ...

    @property
    def image_budget(self) -> ImageBudget:
        """How this policy resizes screenshots before it looks at them."""
        ...

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        """Draw `n` continuations of one prompt."""
        ...
