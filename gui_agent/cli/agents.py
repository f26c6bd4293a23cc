"""From the words of a command line to policies, formats and agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from gui_agent.agent_spec import AgentFor, AgentKind, AgentSpec
from gui_agent.cli.model_defaults import Trained, warn_of_other_ways
from gui_agent.device import DeviceFactory
from gui_agent.errors import ConfigError
from gui_agent.model_settings import ModelSettings
from gui_agent.policies.batcher import LockStep
from gui_agent.policies.by_role import PolicyByRole
from gui_agent.policies.opening import PolicySource, open_source
from gui_agent.policies.transformers_roles import RoleFolder
from gui_agent.policy import Policy, SamplingParams, check_image_max_pixels


@dataclass(frozen=True, kw_only=True)
class AgentOptions:
    """Which model acts, and how it is asked.

    Attributes:
        kind: flat, or hierarchical: a planner writes a subgoal for each step and an actor executes it;
            `--agent hierarchical` is short for it.
        model: folder or hub name of a Qwen2.5-VL or Qwen3-VL checkpoint, or of the adapters of a planner and
            an actor.
        endpoint: base URL of an OpenAI-compatible server to ask instead, such as
            http://127.0.0.1:8000/v1; `model` is then the name that the server knows.
        api_key_env: environment variable that holds the key of the endpoint; no key is sent when empty.
        image_factor: the endpoint's model sees pictures resized to multiples of this: 28 for Qwen2.5-VL, 32
            for Qwen3-VL; 0 takes what the endpoint says, or 28.
        image_max_pixels: pixels of the largest screenshot that `model` is shown, after resizing; 0 shows it
            what it was trained with. A screen of 1080x2400 is 3,354 tokens of Qwen2.5-VL at its own bound,
            1,272 at 1003520.
        format: prompt format, with options after a colon, such as compact:snap_px=8. A model that was
            trained here says how it is to be asked, and is asked so where nothing else is chosen: kind,
            format, planner_format, actor_history and max_completion_length. What is chosen wins, with a
            warning.
        planner: another model that plans, for a hierarchical agent: a folder or hub name, or an endpoint and
            the model's name there, such as http://127.0.0.1:8000/v1#planner; empty lets `model` plan too.
        planner_image_max_pixels: the same bound for `planner`, whose pictures are its own.
        planner_format: planner format, with options after a colon; empty takes compact beside a compact
            `format`, else hi_agent.
        actor_history: earlier steps that a planner's actor is reminded of, at most; -1 leaves that to its
            format, 0 shows it the screen and the subgoal alone.
        temperature: of sampling; 0 takes the most likely token.
        max_completion_length: tokens of one response.
        max_batch_size: rows computed at once by a local model.
        device: where a local model lives, such as cpu or cuda:0; empty takes a GPU if there is one.
        dtype: float32, bfloat16 or float16; auto is bfloat16 on CUDA devices that compute in it, else
            float32.
    """

    kind: AgentKind = AgentKind.FLAT
    model: str = ""
    endpoint: str = ""
    api_key_env: str = ""
    image_factor: int = 0
    image_max_pixels: int = 0
    format: str = "ui_s1"
    planner: str = ""
    planner_image_max_pixels: int = 0
    planner_format: str = ""
    actor_history: int = -1
    temperature: float = 0.0
    max_completion_length: int = 512
    max_batch_size: int = 64
    device: str = ""
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ConfigError(f"temperature is {self.temperature}; expected 0 (most likely token) or more")
        for name in ("max_completion_length", "max_batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("image_max_pixels", "planner_image_max_pixels"):
            check_image_max_pixels(getattr(self, name), name=name)
        if self.planner and self.kind is AgentKind.FLAT:
            raise ConfigError("planner is set, but a flat agent has none; say --agent hierarchical")
        if self.planner_image_max_pixels and not self.planner:
            raise ConfigError(
                f"planner_image_max_pixels is {self.planner_image_max_pixels}, but no other model plans; "
                "name one with --planner, or say --image-max-pixels"
            )

    def require_model(self) -> None:
        """Check what can be checked without loading anything.

        Raises:
            ConfigError: no model is named, or none is where one is named, or a format is not known.
        """
        if not self.model and self.endpoint:
            raise ConfigError("no model: give the name that the endpoint knows with --model")
        if not self.model:
            raise ConfigError(
                "no model: name one with --model (a folder, a hub name, or with --endpoint a served name); "
                "gui-agent pipeline --recipe quickstart makes one, which run and demo then take by themselves"
            )
        self.spec.check()
        if self.kind is AgentKind.FLAT and not self.endpoint and RoleFolder.read(self.model):
            raise ConfigError(
                f"{self.model} holds the adapters of a planner and an actor, of which a flat agent would use "
                "one; say --agent hierarchical"
            )
        actor, planner = self.source, self.planner_source or self.source
        for source in (actor, planner):
            source.check()
        warn_of_other_ways(
            self.spec, actor=Trained.before_opening(actor), planner=Trained.before_opening(planner)
        )

    def placed(self) -> AgentOptions:
        """The same options, with the device and dtype that a local model gets on this computer.

        Raises:
            ConfigError: it has no such device.
        """
        if self.endpoint:
            return self
        from gui_agent.policies.transformers_placement import place

        found = place(self.device, self.dtype)
        return replace(self, device=found.device, dtype=found.dtype)

    @property
    def params(self) -> SamplingParams:
        """How responses are sampled."""
        return SamplingParams(temperature=self.temperature, max_new_tokens=self.max_completion_length)

    @property
    def spec(self) -> AgentSpec:
        """The agent, short of its models."""
        return AgentSpec(
            kind=self.kind,
            format=self.format,
            planner_format=self.planner_format,
            params=self.params,
            actor_history=self.actor_history,
        )

    @property
    def source(self) -> PolicySource:
        """The model that acts."""
        return PolicySource(
            model=self.model,
            endpoint=self.endpoint,
            api_key_env=self.api_key_env,
            image_factor=self.image_factor,
            image_max_pixels=self.image_max_pixels,
            max_batch_size=self.max_batch_size,
            device=self.device,
            dtype=self.dtype,
        )

    @property
    def planner_source(self) -> PolicySource | None:
        """The model that plans, if it is another.

        Raises:
            ConfigError: it is an endpoint without the name of a model.
        """
        if not self.planner:
            return None
        return PolicySource.named(
            self.planner,
            api_key_env=self.api_key_env,
            image_max_pixels=self.planner_image_max_pixels,
            max_batch_size=self.max_batch_size,
            device=self.device,
            dtype=self.dtype,
        )


@asynccontextmanager
async def open_policy(options: AgentOptions, *, lock_step: bool = False) -> AsyncIterator[Policy]:
    """Load the local models, or connect to their endpoints, for the time of a command.

    Args:
        options: which models; a planner of its own is behind the same policy, told apart by role.
        lock_step: batch what all episodes ask for, for devices that answer at once; see `Batcher`.

    Raises:
        ConfigError: a model cannot be loaded, or has a planner where a flat agent is asked for.
    """
    options.require_model()
    shared, source, planner_source = LockStep(), options.source, options.planner_source
    async with AsyncExitStack() as opened:
        actor = planner = await opened.enter_async_context(
            open_source(source, deterministic=lock_step, lock_step=shared)
        )
        if planner_source is not None:
            planner = await opened.enter_async_context(
                open_source(planner_source, deterministic=lock_step, lock_step=shared)
            )
        warn_of_other_ways(
            options.spec,
            actor=_told_by(actor, source),
            planner=_told_by(planner, planner_source or source),
        )
        yield actor if planner_source is None else PolicyByRole(actor=actor, planner=planner)


def _told_by(policy: Policy, source: PolicySource) -> Trained:
    """What a server says of its model, which was connected to; a folder has been asked before."""
    from gui_agent.policies.openai_http import OpenAIPolicy

    told = policy.trained if isinstance(policy, OpenAIPolicy) else ModelSettings()
    return Trained(name=f"{source.model} of {source.endpoint}", settings=told)


def lock_step_devices(factory: DeviceFactory, policy: Policy) -> DeviceFactory:
    """The same devices, lent so that a local policy knows its episodes: its batches wait for all of them in
    lock-step, else for those that are about to ask."""
    from gui_agent.policies.transformers_policy import TransformersPolicy
    from trainers.sources import LockStepFactory

    if isinstance(policy, TransformersPolicy | PolicyByRole):
        return LockStepFactory(devices=factory, policy=policy)
    return factory


def agents_for(policy: Policy, options: AgentOptions) -> AgentFor:
    """A function that makes one agent for each episode."""
    return options.spec.agent_for(policy)
