"""From the words of a command line to a policy, a prompt format and agents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gui_agent.agent import FlatAgent
from gui_agent.device import Device, DeviceFactory
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import get_format
from gui_agent.policy import ImageBudget, Policy, SamplingParams


@dataclass(frozen=True, kw_only=True)
class AgentOptions:
    """Which model acts, and how it is asked.

    Attributes:
        model: folder or hub name of a Qwen2.5-VL or Qwen3-VL checkpoint.
        endpoint: base URL of an OpenAI-compatible server to ask instead, such as
            http://127.0.0.1:8000/v1; `model` is then the name that the server knows.
        api_key_env: environment variable that holds the key of the endpoint; no key is sent when empty.
        image_factor: the endpoint's model sees pictures resized to multiples of this: 28 for Qwen2.5-VL, 32
            for Qwen3-VL; 0 takes what the endpoint says, or 28.
        format: prompt format, with options after a colon, such as compact:snap_px=8.
        temperature: of sampling; 0 takes the most likely token.
        max_completion_length: tokens of one response.
        max_batch_size: rows computed at once by a local model.
        device: where a local model lives, such as cpu or cuda:0.
        dtype: float32, bfloat16 or float16.
    """

    model: str = ""
    endpoint: str = ""
    api_key_env: str = ""
    image_factor: int = 0
    format: str = "ui_s1"
    temperature: float = 0.0
    max_completion_length: int = 512
    max_batch_size: int = 64
    device: str = "cpu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ConfigError(f"temperature is {self.temperature}; expected 0 (most likely token) or more")
        for name in ("max_completion_length", "max_batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")

    def require_model(self) -> None:
        """Check what can be checked without loading anything.

        Raises:
            ConfigError: no model is named, or the format is not known.
        """
        if not self.model:
            raise ConfigError("no model: give --agent.model with a folder, a hub name or a served name")
        get_format(self.format)

    @property
    def params(self) -> SamplingParams:
        """How responses are sampled."""
        return SamplingParams(temperature=self.temperature, max_new_tokens=self.max_completion_length)


@asynccontextmanager
async def open_policy(options: AgentOptions, *, lock_step: bool = False) -> AsyncIterator[Policy]:
    """Load the local model, or connect to the endpoint, for the time of a command.

    Args:
        options: which model.
        lock_step: batch what all episodes ask for, for devices that answer at once; see `Batcher`.
    """
    options.require_model()
    if options.endpoint:
        from gui_agent.policies.openai_http import Endpoint, OpenAIPolicy

        # An evaluation needs words only; where the server gives tokens they are recorded all the same.
        endpoint = Endpoint(
            base_url=options.endpoint,
            model=options.model,
            api_key_env=options.api_key_env,
            require_tokens=False,
        )
        budget = ImageBudget.of_factor(options.image_factor) if options.image_factor else None
        async with await OpenAIPolicy.connect(endpoint, image_budget=budget) as served:
            yield served
        return
    from gui_agent.policies.transformers_loading import load_model
    from gui_agent.policies.transformers_policy import TransformersPolicy

    model = load_model(options.model, dtype=options.dtype, device=options.device)
    policy = TransformersPolicy(model, deterministic=lock_step, max_batch_rows=options.max_batch_size)
    try:
        yield policy
    finally:
        policy.close()


def lock_step_devices(factory: DeviceFactory, policy: Policy) -> DeviceFactory:
    """The same devices, lent so that a local policy's batches wait for every episode."""
    from gui_agent.policies.transformers_policy import TransformersPolicy
    from trainers.sources import LockStepFactory

    if isinstance(policy, TransformersPolicy):
        return LockStepFactory(devices=factory, policy=policy)
    return factory


def flat_agent_for(policy: Policy, options: AgentOptions) -> Callable[[Device], FlatAgent]:
    """A function that makes one agent for each episode."""
    prompt_format = get_format(options.format, image_budget=policy.image_budget)

    def agent_for(device: Device) -> FlatAgent:
        return FlatAgent(policy, prompt_format, params=options.params)

    return agent_for
