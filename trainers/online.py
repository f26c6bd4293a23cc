"""Online RL: groups of live episodes of one task, judged by the task's own check."""

from __future__ import annotations

from collections.abc import Sequence

from gui_agent.device import DeviceFactory, Task
from trainers.algorithms import configured_algorithm
from trainers.choices import FaultStrategy
from trainers.loop import TrainResult
from trainers.methods import open_method
from trainers.online_config import OnlineConfig
from trainers.partners import open_partners
from trainers.requirements import check_algorithm, check_live_states, check_restorable
from trainers.rewards import SAMPLING_LIMIT
from trainers.rewards.requirements import check_live_reward, check_reward
from trainers.sources import TaskGroups
from trainers.training import AgentBuilder, EvaluatorFor, Training
from trajectories.collect import EpisodeLabels


async def train_online(
    config: OnlineConfig,
    *,
    tasks: Sequence[Task],
    devices: DeviceFactory,
    evaluator_for: EvaluatorFor | None = None,
    build_agents: AgentBuilder | None = None,
) -> TrainResult:
    """Train on live tasks until a limit of `config` is reached.

    A device that breaks is never the agent's fault: its episode runs again on another lease or its group
    is dropped, as `config.fault_strategy` says, and is counted under `env/`.

    Args:
        config: everything there is to choose.
        tasks: one group of sibling episodes each; equal tasks start in equal states.
        devices: where they run.
        evaluator_for: makes the evaluation hook for the policy that is being trained.
        build_agents: who acts; agents of the kind that `config` names if None.

    Raises:
        ConfigError: a name, folder or combination of settings is impossible.
        PolicyError: the model failed.
    """
    check_reward(config.reward, online=True)
    algorithm = configured_algorithm(config)
    check_algorithm(config, algorithm, online=True)
    if tasks:
        await check_live_reward(config.reward, devices, tasks[0])
        await check_live_states(algorithm, devices, tasks[0])
    await check_restorable(algorithm, devices)
    retries = config.max_fault_retries if config.fault_strategy is FaultStrategy.RETRY else 0
    async with (
        open_partners(config) as partners,
        open_method(config, build_agents=build_agents) as method,
    ):
        training = Training.load(config, build_agents=method.build_agents, partners=partners)
        source = TaskGroups(
            tasks,
            devices,
            training.agent_for,
            training.policy,
            kind="online",
            num_generations=method.episodes_per_group,
            seed=config.seed,
            max_concurrency=config.max_concurrency,
            max_attempts=1 + retries,
            time_limit_s=config.episode_timeout_s,
            record_elements=algorithm.needs_elements,
            labels=EpisodeLabels(
                suite=config.suite,
                split="train",
                policy_name=config.model,
                device_name="live",
                source={SAMPLING_LIMIT: config.max_completion_length},
            ),
        )
        return await training.run(source, method.credit, evaluator_for=evaluator_for)
