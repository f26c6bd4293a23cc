"""Policies by name: a local checkpoint, or a model behind an endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from gui_agent.errors import ConfigError
from gui_agent.policies.batcher import LockStep
from gui_agent.policies.checkpoint_folder import check_checkpoint
from gui_agent.policies.transformers_roles import RoleFolder, adapter_of_role
from gui_agent.policy import ImageBudget, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySource:
    """Where a policy comes from that is only sampled from.

    Attributes:
        model: folder or hub name of a checkpoint, or of the adapters of a planner and an actor; with an
            endpoint, the model's name there.
        endpoint: base URL of an OpenAI-compatible server; empty loads the model here.
        api_key_env: environment variable that holds the key of the endpoint; no key is sent when empty.
        image_factor: the endpoint's model sees pictures resized to multiples of this; 0 takes what the
            endpoint says.
        image_max_pixels: pixels of the largest picture that the model is shown; 0 takes what it was trained
            with, or what the endpoint says.
        max_batch_size: rows computed at once by a local model.
        device: where a local model lives; empty takes the best that is there.
        dtype: of a local model's weights; auto is bfloat16 on CUDA devices that compute in it, else float32.
    """

    model: str
    endpoint: str = ""
    api_key_env: str = ""
    image_factor: int = 0
    image_max_pixels: int = 0
    max_batch_size: int = 64
    device: str = ""
    dtype: str = "auto"

    @classmethod
    def named(
        cls,
        name: str,
        *,
        api_key_env: str = "",
        image_max_pixels: int = 0,
        max_batch_size: int = 64,
        device: str = "",
        dtype: str = "auto",
    ) -> Self:
        """A source in one word: a folder, a hub name, or `http://host:port/v1#model`.

        Raises:
            ConfigError: an endpoint without the name of a model.
        """
        endpoint, model = "", name
        if name.startswith(("http://", "https://")):
            endpoint, _, model = name.partition("#")
            if not model:
                raise ConfigError(
                    f"{name!r} names no model; write its name at the endpoint behind it, as in "
                    "http://127.0.0.1:8000/v1#planner"
                )
        return cls(
            model=model,
            endpoint=endpoint,
            api_key_env=api_key_env,
            image_max_pixels=image_max_pixels,
            max_batch_size=max_batch_size,
            device=device,
            dtype=dtype,
        )

    def check(self) -> None:
        """Refuse a local model that is not there; a name on the hub is looked up when it is loaded.

        A folder with the adapters of roles is judged by their base.

        Raises:
            ConfigError: there is no such folder, or no checkpoint in it.
        """
        if not self.endpoint:
            roles = RoleFolder.read(self.model)
            check_checkpoint(self.model if roles is None else roles.base_model)


@asynccontextmanager
async def open_source(
    source: PolicySource, *, deterministic: bool, lock_step: LockStep | None = None
) -> AsyncIterator[Policy]:
    """Load a local model, or connect to its endpoint.

    Args:
        source: which.
        deterministic: a local model batches what all episodes ask for; see `Batcher`.
        lock_step: shared between the policies that the same episodes ask.

    Raises:
        ConfigError: the model cannot be loaded, or the endpoint has none of that name.
        PolicyError: the endpoint does not answer.
    """
    if source.endpoint:
        from gui_agent.policies.openai_http import Endpoint, OpenAIPolicy

        # Nobody learns from these words; where the server gives tokens they are recorded all the same.
        endpoint = Endpoint(
            base_url=source.endpoint,
            model=source.model,
            api_key_env=source.api_key_env,
            require_tokens=False,
        )
        budget = ImageBudget.of_factor(source.image_factor) if source.image_factor else None
        limit = source.image_max_pixels
        async with await OpenAIPolicy.connect(
            endpoint, image_budget=budget, image_max_pixels=limit
        ) as served:
            yield served
        return
    from gui_agent.policies.transformers_loading import load_model
    from gui_agent.policies.transformers_policy import TransformersPolicy

    model = load_model(
        source.model,
        dtype=source.dtype,
        device=source.device,
        image_max_pixels=source.image_max_pixels,
    )
    policy = TransformersPolicy(
        model,
        deterministic=deterministic,
        max_batch_rows=source.max_batch_size,
        adapter_of_role={role.value: name for role, name in adapter_of_role(model.adapters).items()},
        lock_step=lock_step,
    )
    try:
        yield policy
    finally:
        policy.close()
