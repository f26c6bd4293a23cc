"""What semi-online and online training have in common: one model, sampled from and updated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from accelerate import Accelerator

from gui_agent.agent import Agent
from gui_agent.device import Device
from gui_agent.formats.base import PromptFormat
from gui_agent.formats.registry import get_format
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_roles import adapter_of_role
from trainers.credit import Credit
from trainers.learner import Learner
from trainers.learner_model import check_roles, load_learner_model
from trainers.loop import Evaluator, TimedPolicy, TrainingLoop, TrainResult
from trainers.metrics import Stopwatch
from trainers.partners import Partners
from trainers.processes import build_accelerator
from trainers.rl_config import RLConfig
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
    def load(
        cls,
        config: RLConfig,
        *,
        build_agents: AgentBuilder | None = None,
        partners: Partners | None = None,
    ) -> Self:
        """Load the model that `config` names.

        Raises:
            ConfigError: there is none, or the prompt format is unknown.
        """
        config.agent_spec.check()  # a wrong name is told before the weights are read
        accelerator = build_accelerator(config)
        model = load_learner_model(config, accelerator=accelerator)
        return cls.of(model, config, accelerator=accelerator, build_agents=build_agents, partners=partners)

    @classmethod
    def of(
        cls,
        model: VisionLanguageModel,
        config: RLConfig,
        *,
        accelerator: Accelerator | None = None,
        build_agents: AgentBuilder | None = None,
        partners: Partners | None = None,
    ) -> Self:
        """Train a model that is loaded already; its present weights are the reference.

        Adapters named planner and actor speak for these roles, in sampling and in training; partners speak
        for theirs in sampling.

        Raises:
            ConfigError: a role is to be frozen that shares its weights with the other.
        """
        roles = adapter_of_role(model.adapters)
        check_roles(config, model)
        stopwatch = Stopwatch()
        policy = TimedPolicy(
            model,
            stopwatch=stopwatch,
            deterministic=config.deterministic,
            max_batch_rows=config.max_batch_size,
            adapter_of_role={role.value: adapter for role, adapter in roles.items()},
            partners=partners,
        )
        prompt_format = get_format(config.format, image_budget=policy.image_budget)
        return cls(
            config=config,
            policy=policy,
            learner=Learner(
                model, config, accelerator=accelerator, adapter_of_role=roles, stopwatch=stopwatch
            ),
            agent_for=(build_agents or configured_agents)(policy, prompt_format, config),
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


def configured_agents(policy: TimedPolicy, prompt_format: PromptFormat, config: RLConfig) -> AgentFor:
    """Agents of the kind that `config` names; one policy speaks for all their roles."""
    return config.agent_spec.agent_for(policy)
