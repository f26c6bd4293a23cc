"""What semi-online and online training have in common: one model, sampled from and updated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from accelerate import Accelerator

from gui_agent.agent import Agent, FlatAgent, PatchThought
from gui_agent.device import Device
from gui_agent.formats.base import PromptFormat
from gui_agent.formats.registry import get_format
from gui_agent.policies.transformers_model import VisionLanguageModel
from trainers.config import RLConfig
from trainers.credit import Credit
from trainers.learner import Learner, build_accelerator, load_learner_model
from trainers.loop import Evaluator, TimedPolicy, TrainingLoop, TrainResult
from trainers.metrics import Stopwatch
from trainers.sources import GroupSource

AgentFor = Callable[[Device], Agent]
EvaluatorFor = Callable[[TimedPolicy], Evaluator]


class AgentBuilder(Protocol):
    """Makes the agents of a training: the place to put a hierarchy in."""

    def __call__(self, policy: TimedPolicy, prompt_format: PromptFormat, config: RLConfig) -> AgentFor:
        """A function that makes one agent for each episode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The parts that share one set of weights.

    Attributes:
        config: everything there is to choose.
        policy: samples.
        learner: updates.
        agent_for: makes the agent of an episode.
        stopwatch: counts for all of them.
    """

    config: RLConfig
    policy: TimedPolicy
    learner: Learner
    agent_for: AgentFor
    stopwatch: Stopwatch

    @classmethod
    def load(cls, config: RLConfig, *, build_agents: AgentBuilder | None = None) -> Self:
        """Load the model that `config` names.

        Raises:
            ConfigError: there is none, or the prompt format is unknown.
        """
        get_format(config.format)  # a wrong name is told before the weights are read
        accelerator = build_accelerator(config)
        model = load_learner_model(config, accelerator=accelerator)
        return cls.of(model, config, accelerator=accelerator, build_agents=build_agents)

    @classmethod
    def of(
        cls,
        model: VisionLanguageModel,
        config: RLConfig,
        *,
        accelerator: Accelerator | None = None,
        build_agents: AgentBuilder | None = None,
    ) -> Self:
        """Train a model that is loaded already; its present weights are the reference."""
        stopwatch = Stopwatch()
        policy = TimedPolicy(
            model,
            stopwatch=stopwatch,
            deterministic=config.deterministic,
            max_batch_rows=config.max_batch_size,
        )
        prompt_format = get_format(config.format, image_budget=policy.image_budget)
        return cls(
            config=config,
            policy=policy,
            learner=Learner(model, config, accelerator=accelerator, stopwatch=stopwatch),
            agent_for=(build_agents or flat_agents)(policy, prompt_format, config),
            stopwatch=stopwatch,
        )

    async def run(
        self, source: GroupSource, credit: Credit, *, evaluator_for: EvaluatorFor | None = None
    ) -> TrainResult:
        """Train until a limit is reached, and close the policy."""
        loop = TrainingLoop(
            self.config,
            source=source,
            policy=self.policy,
            learner=self.learner,
            credit=credit,
            stopwatch=self.stopwatch,
            evaluate=evaluator_for(self.policy) if evaluator_for else None,
        )
        try:
            return await loop.run()
        finally:
            self.policy.close()


def flat_agents(policy: TimedPolicy, prompt_format: PromptFormat, config: RLConfig) -> AgentFor:
    """One actor without a planner."""
    patch_thought = getattr(config, "patch_thought", PatchThought.FREE)

    def agent_for(device: Device) -> Agent:
        return FlatAgent(policy, prompt_format, params=config.sampling_params, patch_thought=patch_thought)

    return agent_for
