"""Two policies behind one: a planner that is another model, or served elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from gui_agent.policy import AgentRole, Completion, ImageBudget, Policy, Prompt, SampleKey, SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyByRole:
    """Asks the planner for subgoals and the actor for everything else.

    Attributes:
        actor: also says how pictures are resized, because only its answers hold coordinates.
        planner: another model.
    """

    actor: Policy
    planner: Policy

    @property
    def version(self) -> int:
        """Weight updates of the actor so far."""
        return self.actor.version

    @property
    def image_budget(self) -> ImageBudget:
        """How the actor resizes screenshots."""
        return self.actor.image_budget

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        """Draw `n` continuations from whoever has the role of `key`."""
        policy = self.planner if key.role == AgentRole.PLANNER.value else self.actor
        return await policy.sample(prompt, n=n, params=params, key=key)

    def participant(self) -> AbstractAsyncContextManager[None]:
        """Open around an episode, so that the deterministic batches of a local policy wait for it.

        Local policies of one agent share a `LockStep`, so that either of them knows the episode.
        """
        for policy in (self.actor, self.planner):
            opened: Any = getattr(policy, "participant", None)
            if opened is not None:
                context: AbstractAsyncContextManager[None] = opened()
                return context
        return nullcontext()
