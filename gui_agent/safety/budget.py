"""How much one episode may take: tokens and money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gui_agent.device import StopReason
from gui_agent.errors import ConfigError
from gui_agent.policy import Completion, ImageBudget, ImagePart, Policy, Prompt, SampleKey, SamplingParams

_CHARACTERS_PER_TOKEN: Final = 3
"""Fewer than the four that are usual for English, so that an estimate is rather too high."""
_MILLION: Final = 1_000_000


@dataclass(slots=True, kw_only=True)
class Budget:
    """Counts what an episode takes; a limit of 0 is none.

    Attributes:
        max_tokens: read and written together, also those that are read again at each step.
        max_cost: in the currency of the prices.
        price_input: of a million tokens that the model reads.
        price_output: of a million tokens that it writes.
        tokens_read: so far.
        tokens_written: so far.
        is_estimated: whether some were guessed from characters and pixels, for a server that does not count.
    """

    max_tokens: int = 0
    max_cost: float = 0.0
    price_input: float = 0.0
    price_output: float = 0.0
    tokens_read: int = 0
    tokens_written: int = 0
    is_estimated: bool = False

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_cost", "price_input", "price_output"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 (no limit) or more")
        if self.max_cost and not (self.price_input or self.price_output):
            raise ConfigError(
                "a limit of the cost needs the prices of a million tokens: price_input, price_output"
            )

    def start(self) -> None:
        """Begin to count anew."""
        self.tokens_read = self.tokens_written = 0
        self.is_estimated = False

    def spend(self, *, tokens_read: int, tokens_written: int, is_estimated: bool = False) -> None:
        """Count what one answer of a model took."""
        self.tokens_read += tokens_read
        self.tokens_written += tokens_written
        self.is_estimated |= is_estimated

    @property
    def tokens(self) -> int:
        """Read and written so far."""
        return self.tokens_read + self.tokens_written

    @property
    def cost(self) -> float:
        """So far, in the currency of the prices."""
        return (self.tokens_read * self.price_input + self.tokens_written * self.price_output) / _MILLION

    @property
    def spent_up(self) -> StopReason | None:
        """Why no further step may begin, or None."""
        tokens_spent = self.max_tokens and self.tokens >= self.max_tokens
        money_spent = self.max_cost and self.cost >= self.max_cost
        return StopReason.BUDGET if tokens_spent or money_spent else None

    @property
    def sentence(self) -> str:
        """For people: `1200 tokens read, 80 written, cost 0.0021`."""
        about = "about " if self.is_estimated else ""
        cost = f", cost {about}{self.cost:.4g}" if self.price_input or self.price_output else ""
        return f"{about}{self.tokens_read} tokens read, {self.tokens_written} written{cost}"


class MeteredPolicy:
    """Another policy, whose tokens are counted (implements `gui_agent.policy.Policy`).

    Tokens of an answer that does not tell them are estimated from its characters and the prompt's characters
    and pixels.
    """

    def __init__(self, policy: Policy, budget: Budget) -> None:
        """Count into `budget`."""
        self._policy = policy
        self._budget = budget

    @property
    def version(self) -> int:
        """Number of weight updates so far."""
        return self._policy.version

    @property
    def image_budget(self) -> ImageBudget:
        """How the policy resizes screenshots."""
        return self._policy.image_budget

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        """Draw `n` continuations and count them; the prompt is read once."""
        completions = await self._policy.sample(prompt, n=n, params=params, key=key)
        told = all(one.prompt_token_ids and one.token_ids for one in completions)
        self._budget.spend(
            tokens_read=len(completions[0].prompt_token_ids) or self._estimate(prompt),
            tokens_written=sum(len(one.token_ids) or _tokens(one.text) for one in completions),
            is_estimated=not told,
        )
        return completions

    def _estimate(self, prompt: Prompt) -> int:
        pictures = [
            part.screenshot for message in prompt for part in message.parts if isinstance(part, ImagePart)
        ]
        budget = self.image_budget
        areas = (min(one.width_px * one.height_px, budget.max_pixels) for one in pictures)
        pixels = sum(max(area, budget.min_pixels) for area in areas)
        return _tokens("".join(message.text for message in prompt)) + pixels // budget.factor**2


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
