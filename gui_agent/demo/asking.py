"""The policy of a demo: it tells what was answered and how long it took, and can be asked once more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gui_agent.policy import Completion, ImageBudget, Policy, Prompt, SampleKey, SamplingParams

AGAIN_TEMPERATURE: Final = 1.0
"""Who asks again because of a wrong answer wants another one: at temperature 0 it would be the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request that was answered.

    Attributes:
        role: who was asked, as `AgentRole`.
        completion: the first answer.
        seconds: it took.
    """

    role: str
    completion: Completion
    seconds: float


class ListenedPolicy:
    """Another policy, listened to (implements `gui_agent.policy.Policy`).

    Attributes:
        again: the next answers are drawn with some temperature, whatever the agent says.
        on_answer, on_request: told of every request that was answered: who shows it, and who counts it.
    """

    def __init__(self, policy: Policy) -> None:
        """Ask `policy`; nobody listens yet."""
        self._policy = policy
        self.again = False
        self.on_answer: Callable[[Answered], None] | None = None
        self.on_request: Callable[[Answered], None] | None = None

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
        """Draw `n` continuations of one prompt, and tell the listener."""
        if self.again:
            params = replace(params, temperature=max(params.temperature, AGAIN_TEMPERATURE))
        began_s = time.perf_counter()
        completions = await self._policy.sample(prompt, n=n, params=params, key=key)
        seconds = time.perf_counter() - began_s
        for completion in completions:
            answered = Answered(role=key.role, completion=completion, seconds=seconds)
            for listener in (self.on_request, self.on_answer):
                if listener is not None:
                    listener(answered)
        return completions
