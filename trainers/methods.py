"""What the algorithm makes of a training: its credit, how often agents sample, and the size of groups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gui_agent.agent import Agent
from gui_agent.device import Device
from gui_agent.errors import ConfigError
from gui_agent.foresight import Fan, ForesightAgent
from gui_agent.formats.base import PromptFormat
from gui_agent.hierarchy import HierarchicalAgent
from gui_agent.judge import ModelJudge, ProgressJudge, SubgoalJudge
from gui_agent.matching import ActionMatcher
from gui_agent.policy import AgentRole
from gui_agent.trial import DeviceTrial, restorable
from trainers.advantages.foresight import ForesightOptions, JudgeName
from trainers.algorithms import configured_algorithm
from trainers.configured_credit import configured_credit
from trainers.credit import Credit
from trainers.loop import TimedPolicy
from trainers.rl_config import RLConfig
from trainers.training import AgentBuilder, AgentFor, configured_agents


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """The parts of a training that its algorithm decides.

    Attributes:
        credit: rewards, filter and advantages.
        build_agents: who acts; None for agents of the kind that the settings name.
        episodes_per_group: episodes of one task.
    """

    credit: Credit
    build_agents: AgentBuilder | None
    episodes_per_group: int


@asynccontextmanager
async def open_method(
    config: RLConfig, *, build_agents: AgentBuilder | None = None, matcher: ActionMatcher | None = None
) -> AsyncIterator[Method]:
    """The parts, for the time of a training.

    Args:
        config: names the algorithm.
        build_agents: who acts; agents of the kind that `config` names if None.
        matcher: compares with a recorded expert; None where episodes are live.

    Raises:
        ConfigError: a name is unknown, or the judge's server has no such model.
        PolicyError: the judge's server does not answer.
    """
    credit = configured_credit(config, matcher)
    options = configured_algorithm(config).options
    if not isinstance(options, ForesightOptions):
        yield Method(credit=credit, build_agents=build_agents, episodes_per_group=config.num_generations)
        return
    async with open_judge(options) as judge:
        agents = _foresight_agents(build_agents, options, judge=judge, live=matcher is None)
        yield Method(credit=credit, build_agents=agents, episodes_per_group=1)


def fans(config: RLConfig, options: ForesightOptions) -> Callable[[int], Fan]:
    """How much is sampled at a state, by update: who does not learn is sampled once."""

    def fan_at(update: int) -> Fan:
        learning = config.learning_roles(update)
        plans, acts = AgentRole.PLANNER in learning, AgentRole.ACTOR in learning
        return Fan(
            subgoals=config.num_generations if plans else 1,
            probes=options.probes if plans else 0,
            actions=config.num_generations if acts else 1,
        )

    return fan_at


def _foresight_agents(
    build: AgentBuilder | None, options: ForesightOptions, *, judge: SubgoalJudge | None, live: bool
) -> AgentBuilder:
    def builder(policy: TimedPolicy, prompt_format: PromptFormat, config: RLConfig) -> AgentFor:
        inner = (build or configured_agents)(policy, prompt_format, config)
        fan_at = fans(config, options)

        def agent_for(device: Device) -> Agent:
            agent = inner(device)
            if not isinstance(agent, HierarchicalAgent):
                raise ConfigError(
                    f"foresight compares subgoals, and a {type(agent).__name__} has none; say --agent "
                    "hierarchical"
                )
            trial = _trial_on(device, options) if live else None
            return ForesightAgent(agent, fan_at=fan_at, trial=trial, judge=judge)

        return agent_for

    return builder


def _trial_on(device: Device, options: ForesightOptions) -> DeviceTrial:
    return DeviceTrial(
        restorable(device),
        lookahead=options.lookahead,
        discount=options.discount,
        look=options.judge is JudgeName.VLM,
    )


@asynccontextmanager
async def open_judge(options: ForesightOptions) -> AsyncIterator[SubgoalJudge | None]:
    """The judge that the options name, connected for the time of a training; None for nobody.

    Raises:
        ConfigError: its server has no such model.
        PolicyError: its server does not answer.
    """
    match options.judge:
        case JudgeName.NONE:
            yield None
        case JudgeName.PROGRESS:
            yield ProgressJudge()
        case JudgeName.VLM:
            from gui_agent.policies.openai_http import Endpoint, OpenAIPolicy

            endpoint = Endpoint(
                base_url=options.judge_endpoint, model=options.judge_model, require_tokens=False
            )
            async with await OpenAIPolicy.connect(endpoint) as policy:
                yield ModelJudge(policy)
