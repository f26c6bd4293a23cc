"""Models that speak for a role beside the one that is trained: only sampled from, they stay as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from gui_agent.policies.batcher import LockStep
from gui_agent.policies.opening import PolicySource, open_source
from gui_agent.policy import AgentRole, Policy
from trainers.processes import build_accelerator
from trainers.rl_config import RLConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Partners:
    """Policies of other models.

    Attributes:
        by_role: who speaks for a role, if not the model that is trained.
        lock_step: shared with that model, so that their batches wait for the same episodes.
    """

    by_role: Mapping[str, Policy] = field(default_factory=dict)
    lock_step: LockStep = field(default_factory=LockStep)


@asynccontextmanager
async def open_partners(config: RLConfig) -> AsyncIterator[Partners]:
    """The models that `config.planner` or `config.actor` names, for the time of a training.

    Raises:
        ConfigError: one cannot be loaded, or its endpoint has none of that name.
        PolicyError: an endpoint does not answer.
    """
    lock_step = LockStep()
    found: dict[str, Policy] = {}
    async with AsyncExitStack() as opened:
        for role, name in ((AgentRole.PLANNER, config.planner), (AgentRole.ACTOR, config.actor)):
            if not name:
                continue
            source = PolicySource.named(
                name,
                api_key_env=config.api_key_env,
                image_max_pixels=config.partner_image_max_pixels,
                max_batch_size=config.max_batch_size,
                device=config.device or str(build_accelerator(config).device),  # where `model` goes, too
                dtype="bfloat16" if config.bf16 else "float32",
            )
            policy = await opened.enter_async_context(
                open_source(source, deterministic=config.deterministic, lock_step=lock_step)
            )
            found[role.value] = policy
            if role is AgentRole.ACTOR:  # it explains patches, too
                found[AgentRole.PATCH_THOUGHT.value] = policy
        yield Partners(by_role=found, lock_step=lock_step)
