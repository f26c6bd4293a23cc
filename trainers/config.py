"""Settings of every training command, with the published values as defaults.

Names are Hugging Face's where one exists. The classes are flat, so that a recipe is one list of keys
and a command line is one list of flags: `LearnerConfig` says how weights change, `RLConfig` adds how
groups become advantages, and one class per command adds where episodes come from. Nothing here
imports torch.

Source of the defaults: UI-S1, arXiv:2509.11543, table 9 and the release's script where the paper is
silent (`num_generations`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gui_agent.agent import PatchThought
from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.errors import ConfigError
from gui_agent.hierarchy import PatchSubgoal
from gui_agent.policy import AgentRole, SamplingParams
from trainers.schedule import get_schedule
from trajectories.subgoals import SubgoalSource


class SchedulerType(StrEnum):
    """How the learning rate moves after its warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    """Down to zero, which would be reached with the step after `max_steps`."""
    COSINE = "cosine"
    """Half a cosine down to zero, which would be reached with the step after `max_steps`."""


class OldLogprobs(StrEnum):
    """Whose log-probabilities stand below the line of the importance ratio."""

    SAMPLER = "sampler"
    """The sampler's, recorded with the tokens."""
    STALE = "stale"
    """The sampler's for rows of the current version; computed anew for older rows."""
    RECOMPUTE = "recompute"
    """Always computed anew before the first mini-batch, as the UI-S1 release does."""


class OnExhausted(StrEnum):
    """What to do when `max_num_gen_batches` did not yield enough groups worth training on."""

    RAISE = "raise"
    TRAIN_ON_REST = "train_on_rest"
    """Train on the groups that passed; an iteration without any changes no weights, and is counted."""


class OnDamage(StrEnum):
    """What to do about a recording that cannot be read or replayed."""

    RAISE = "raise"
    """Stop, before training begins; at a broken picture, when it is first shown."""
    SKIP = "skip"
    """Leave it out, with a warning that says where and why, and count it."""


class FaultStrategy(StrEnum):
    """What becomes of an episode whose device broke; it is never scored."""

    RETRY = "retry"
    """Run it again on another lease, up to `max_fault_retries` times, then drop its group."""
    DROP_GROUP = "drop_group"


class Compat(StrEnum):
    """Which reading of a method is meant where its paper and its release differ."""

    PAPER = "paper"
    RELEASE = "release"
    """Reward 0.1 f + 0.9 a, return cut before the mismatch, row statistics in the episode term."""


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """How weights change.

    Attributes:
        model: folder or hub name of a Qwen2.5-VL or Qwen3-VL checkpoint.
        output_dir: where metrics, checkpoints and the trajectory store go.
        learning_rate: of AdamW; 0 changes nothing.
        lr_scheduler_type: how the learning rate moves after its warm-up.
        warmup_steps: optimiser steps over which the learning rate rises linearly from zero.
        weight_decay: of AdamW, on matrices only.
        adam_beta1: decay of the first moment.
        adam_beta2: decay of the second moment.
        adam_epsilon: added to the denominator.
        max_grad_norm: gradients are scaled down to this global norm; 0 leaves them alone.
        max_tokens_per_batch: padded tokens in one forward pass; a longer row goes alone.
        max_steps: stop with the update that reaches so many optimiser steps; -1 means no such limit.
        max_cpu_s: stop after this many CPU seconds of this process, those before a resume included; 0 is no
            limit.
        max_rows: stop with the update that reaches so many trained rows; 0 is no limit.
        share_prefixes: compute a prompt once for all its samples in a forward pass; exact, and several times
            faster where siblings share their prompts.
        lora_rank: rank of low-rank adapters on the language model; 0 trains all weights.
        lora_alpha: adapters are scaled by lora_alpha / lora_rank.
        freeze_vision: give the vision tower no gradient, so that features of a screenshot are computed once
            for all.
        bf16: load weights in bfloat16; needs a device that computes in it.
        gradient_checkpointing: trade time for memory in training.
        device: where the weights live ("cpu", "cuda:0"); empty lets accelerate choose.
        seed: of everything random.
        deterministic: serve the policy in lock-step, so that a resumed run repeats every bit (times
            excluded).
        logging_steps: updates between two lines on a stdout that is no terminal.
        save_steps: updates between two checkpoints; 0 writes the last one only.
        save_total_limit: checkpoints to keep; 0 keeps all.
        resume_from_checkpoint: true continues from the newest complete checkpoint in `output_dir`; a path
            names one.
        report_to: any of tensorboard, trackio, wandb; metrics.jsonl is always written.
        agent: flat, or hierarchical: a planner writes a subgoal for each step and an actor executes it. The
            two are adapters of their own with lora_rank, and share all weights without.
        planner_format: planner format of a hierarchical agent, by name; empty takes compact beside a compact
            `format`, else hi_agent.
        actor_history: earlier steps that a planner's actor is reminded of, at most; -1 leaves that to its
            format, 0 shows it the screen and the subgoal alone.
        freeze_planner: leave the planner as it is; it needs an adapter of its own.
        freeze_actor: leave the actor as it is; it needs an adapter of its own.
    """

    model: str = ""
    output_dir: Path = Path("runs/train")
    learning_rate: float = 1e-6
    lr_scheduler_type: SchedulerType = SchedulerType.CONSTANT
    warmup_steps: int = 0
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    max_tokens_per_batch: int = 4096
    share_prefixes: bool = True
    max_steps: int = -1
    max_cpu_s: float = 0.0
    max_rows: int = 0
    lora_rank: int = 0
    lora_alpha: int = 32
    freeze_vision: bool = True
    bf16: bool = False
    gradient_checkpointing: bool = False
    device: str = ""
    seed: int = 0
    deterministic: bool = True
    logging_steps: int = 1
    save_steps: int = 10
    save_total_limit: int = 2
    resume_from_checkpoint: bool | Path = False
    report_to: tuple[str, ...] = ()
    agent: AgentKind = AgentKind.FLAT
    planner_format: str = ""
    actor_history: int = -1
    freeze_planner: bool = False
    freeze_actor: bool = False

    def __post_init__(self) -> None:
        self._require(self.learning_rate >= 0, "learning_rate", "0 or more")
        self._require(self.max_tokens_per_batch >= 1, "max_tokens_per_batch", "1 or more")
        self._require(self.warmup_steps >= 0, "warmup_steps", "0 or more")
        self._require(self.max_grad_norm >= 0, "max_grad_norm", "0 (off) or more")
        self._require(self.weight_decay >= 0, "weight_decay", "0 or more")
        self._require(0 <= self.adam_beta1 < 1, "adam_beta1", "at least 0 and less than 1")
        self._require(0 <= self.adam_beta2 < 1, "adam_beta2", "at least 0 and less than 1")
        self._require(self.adam_epsilon > 0, "adam_epsilon", "more than 0")
        self._require(self.lora_alpha >= 1, "lora_alpha", "1 or more")
        self._require(self.save_total_limit >= 0, "save_total_limit", "0 (all) or more")
        self._require(self.lora_rank >= 0, "lora_rank", "0 (all weights) or more")
        self._require(self.max_cpu_s >= 0, "max_cpu_s", "0 (no limit) or more")
        self._require(self.max_rows >= 0, "max_rows", "0 (no limit) or more")
        self._require(self.logging_steps >= 1, "logging_steps", "1 or more")
        self._require(self.save_steps >= 0, "save_steps", "0 (last only) or more")
        self._require(self.max_steps >= -1, "max_steps", "-1 (no limit), 0 or more")
        unknown = sorted(set(self.report_to) - REPORTER_NAMES)
        self._require(not unknown, "report_to", f"any of {', '.join(sorted(REPORTER_NAMES))}")
        if self.lora_rank and not self.freeze_vision:
            raise ConfigError(
                f"lora_rank={self.lora_rank} trains adapters of the language model alone, so that "
                "freeze_vision=false has no effect; leave it at true, or set lora_rank=0 to train all weights"
            )
        self._check_roles()
        decays = self.lr_scheduler_type is not SchedulerType.CONSTANT
        if decays and self.max_steps < 1:
            raise ConfigError(
                f"lr_scheduler_type={self.lr_scheduler_type} ends at max_steps, which is {self.max_steps}; "
                "set max_steps to the number of optimiser steps, or use lr_scheduler_type=constant"
            )

    @property
    def frozen_roles(self) -> frozenset[AgentRole]:
        """Roles whose responses are not learnt from."""
        frozen = {AgentRole.PLANNER: self.freeze_planner, AgentRole.ACTOR: self.freeze_actor}
        return frozenset(role for role, is_frozen in frozen.items() if is_frozen)

    def _check_roles(self) -> None:
        self._require(self.actor_history >= -1, "actor_history", "-1 (as the format keeps), 0 or more")
        if self.agent is AgentKind.FLAT and (self.planner_format or self.frozen_roles):
            given = "planner_format" if self.planner_format else "a setting of planner and actor"
            raise ConfigError(f"{given} is set, but a flat agent has no planner; say --agent hierarchical")
        if len(self.frozen_roles) == 2:
            raise ConfigError(
                "the planner and the actor are both left as they are (freeze_planner, freeze_actor, planner, "
                "actor), so that nothing would be trained; leave one of them out"
            )

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise ConfigError(f"{name} is {getattr(self, name)!r}; expected {expected}")


REPORTER_NAMES: Final = frozenset({"tensorboard", "trackio", "wandb"})


@dataclass(frozen=True, kw_only=True)
class RLConfig(LearnerConfig):
    """How groups of episodes become updates.

    Attributes:
        format: prompt format, by name.
        algorithm: advantage estimator, by name, with options after a colon (srgpo:within=group); the command
            gui-agent algorithms lists them.
        num_generations: episodes in one group of siblings; with foresight, samples in one group at a state.
        groups_per_update: groups that one update learns from.
        max_updates: stop after this many updates; -1 means `num_train_epochs` decides.
        num_train_epochs: passes over the list of tasks or expert trajectories, groups that the filter drops
            included; without effect where `max_updates` is set.
        eval_steps: updates between two calls of the evaluation hook; 0 calls it never.
        num_mini_batches: optimiser steps per update, however many rows there are.
        reward: reward of the steps, by name, with options after a colon; gui-agent rewards lists them.
        gamma: discount of rewards within an episode; none takes the algorithm's published value, and 0.5 in
            the filter.
        step_weight: weight of the step advantage beside the episode advantage (UI-S1's omega); none takes
            the algorithm's published value.
        filter_std: keep groups whose first-step returns (live: rewards of episodes) have a population
            deviation above this; -1 keeps all.
        filter_solve_rate: beside that, keep only groups of which a share strictly between these two solved
            the task (DAPO: 0 1); none keeps all.
        solved_reward: an episode solved its task if its rewards add up to more than this (RAPO: 0.5); none
            asks the task's own check, or in a replay whether every step matched without a patch.
        max_solve_rate: leave a task out, from the next epoch on, once at least this share of its latest group
            solved it (RAPO: 0.9), and stop when none is left; none keeps all.
        replay_successes: in a group that failed as a whole, replace one episode by the latest stored success
            of the same task (RAPO).
        scale_informative: multiply advantages by all groups / groups with an advantage other than 0 (RAPO);
            use it with filter_std=-1, because the filter drops such groups before.
        planner: another model that plans and stays as it is: a folder, a hub name, or an endpoint with the
            model's name behind it (http://127.0.0.1:8000/v1#planner); empty lets `model` plan.
        actor: another model that acts and stays as it is, likewise.
        api_key_env: environment variable that holds the key of these endpoints.
        schedule: which role learns when, where an agent is hierarchical: simultaneous,
            alternating:planner=1,actor=1, staged:actor_updates=50, planner_only or actor_only.
        max_num_gen_batches: batches of groups sampled for one update before `on_exhausted` applies.
        on_exhausted: what to do when that was not enough.
        clip_low: ratios below 1 minus this bring no further gain.
        clip_high: ratios above 1 plus this bring no further gain.
        dual_clip: bound of the ratio for negative advantages; 0 is off.
        beta: weight of the KL to the starting weights (k3 estimator); 0 skips that pass.
        old_logprobs: whose log-probabilities stand below the line of the importance ratio.
        temperature: of sampling in training; the loss knows probabilities at 1, so that any other samples off
            policy.
        max_completion_length: tokens of one response.
        max_prompt_length: rows with a longer prompt are left out of the update whole, and counted; nothing is
            ever cut out of a prompt.
        max_batch_size: requests in one call of `generate`.
        max_concurrency: episodes in flight; never more than there are devices.
        compat: which reading of a method is meant where its paper and its release differ.
    """

    format: str = "ui_s1"
    algorithm: str = "ui_s1"
    num_generations: int = 8
    groups_per_update: int = 32
    max_updates: int = -1
    num_train_epochs: int = 5
    eval_steps: int = 0
    num_mini_batches: int = 4
    reward: str = "ui_s1"
    gamma: float | None = None
    step_weight: float | None = None
    filter_std: float = 0.3
    filter_solve_rate: tuple[float, float] | None = None
    solved_reward: float | None = None
    max_solve_rate: float | None = None
    replay_successes: bool = False
    scale_informative: bool = False
    planner: str = ""
    actor: str = ""
    api_key_env: str = ""
    schedule: str = "simultaneous"
    max_num_gen_batches: int = 10
    on_exhausted: OnExhausted = OnExhausted.RAISE
    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float = 3.0
    beta: float = 1e-4
    old_logprobs: OldLogprobs = OldLogprobs.STALE
    temperature: float = 1.0
    max_completion_length: int = 512
    max_prompt_length: int = 12_288
    max_batch_size: int = 64
    max_concurrency: int = 256
    compat: Compat = Compat.PAPER

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.groups_per_update >= 1, "groups_per_update", "1 or more")
        self._require(self.num_mini_batches >= 1, "num_mini_batches", "1 or more")
        self._require(self.num_train_epochs >= 1, "num_train_epochs", "1 or more")
        self._require(self.eval_steps >= 0, "eval_steps", "0 (never) or more")
        self._require(self.max_updates >= -1, "max_updates", "-1 (num_train_epochs decides), 0 or more")
        self._require(self.max_completion_length >= 1, "max_completion_length", "1 or more")
        self._require(self.max_batch_size >= 1, "max_batch_size", "1 or more")
        self._require(self.max_concurrency >= 1, "max_concurrency", "1 or more")
        self._require(self.gamma is None or 0 <= self.gamma <= 1, "gamma", "a discount in [0, 1]")
        self._require(self.filter_std >= 0 or self.filter_std == -1, "filter_std", "-1 (keep all), 0 or more")
        low, high = self.filter_solve_rate or (0.0, 1.0)
        self._require(0 <= low < high <= 1, "filter_solve_rate", "two shares in [0, 1], the lower one first")
        self._require(
            self.max_solve_rate is None or 0 < self.max_solve_rate <= 1,
            "max_solve_rate",
            "a share above 0 and up to 1, or none",
        )
        self._require(self.max_num_gen_batches >= 1, "max_num_gen_batches", "1 or more")
        self._require(self.beta >= 0, "beta", "0 (no KL) or more")
        self._require(0 < self.clip_low < 1, "clip_low", "between 0 and 1")
        self._require(self.clip_high > 0, "clip_high", "more than 0")
        self._require(self.dual_clip == 0 or self.dual_clip > 1, "dual_clip", "0 (off) or more than 1")
        self._require(self.temperature > 0, "temperature", "more than 0; greedy samples are all alike")
        self._require(self.num_generations >= 1, "num_generations", "1 or more (2 to compare siblings)")
        self._check_schedule()

    @property
    def frozen_roles(self) -> frozenset[AgentRole]:
        """Roles whose responses are never learnt from."""
        return super().frozen_roles | self.foreign_roles | get_schedule(self.schedule).frozen

    @property
    def foreign_roles(self) -> frozenset[AgentRole]:
        """Roles that other models speak for."""
        named = {AgentRole.PLANNER: self.planner, AgentRole.ACTOR: self.actor}
        return frozenset(role for role, name in named.items() if name)

    def learning_roles(self, update: int) -> frozenset[AgentRole]:
        """Roles whose responses are learnt from in an update, counted from 0."""
        return get_schedule(self.schedule).roles(update) - self.frozen_roles

    def resting_roles(self, update: int) -> frozenset[AgentRole]:
        """The others: frozen, or not their turn."""
        return frozenset({AgentRole.PLANNER, AgentRole.ACTOR}) - self.learning_roles(update)

    def _check_schedule(self) -> None:
        schedule = get_schedule(self.schedule)
        if schedule == get_schedule("simultaneous"):
            return
        if self.agent is AgentKind.FLAT:
            raise ConfigError(
                f"schedule is {self.schedule!r}, but a flat agent has one role; say --agent hierarchical, or "
                "leave the schedule out"
            )
        if not schedule.frozen and self.frozen_roles:
            raise ConfigError(
                f"schedule {self.schedule!r} gives both roles their turn, but one of them is frozen; leave "
                "out the schedule, or freeze_planner and freeze_actor"
            )

    @property
    def sampling_params(self) -> SamplingParams:
        """How episodes of training are sampled."""
        return SamplingParams(temperature=self.temperature, max_new_tokens=self.max_completion_length)

    @property
    def agent_spec(self) -> AgentSpec:
        """The agent that is trained, as it is sampled in training."""
        return AgentSpec(
            kind=self.agent,
            format=self.format,
            planner_format=self.planner_format,
            params=self.sampling_params,
            actor_history=self.actor_history,
        )


@dataclass(frozen=True, kw_only=True)
class SemiOnlineConfig(RLConfig):
    """RL on recorded expert trajectories that are replayed as if live (UI-S1).

    Attributes:
        data: trajectory store with the expert trajectories.
        split: split of the store to train on; empty takes all.
        max_trajectories: use the first so many trajectories; 0 uses all.
        on_damage: what to do about a recording that cannot be read or replayed: a truncated file, a missing
            or broken picture, no steps, no or an unknown action, a point outside the screen.
        matcher: action matcher for replay and reward, by name.
        patch_budget: mismatches per episode after which the expert takes over; -1 is without limit.
        patch_thought: whose thought goes with a patch.
        patch_subgoal: whose subgoal goes with a patch in a planner's history.
        subgoals: where the subgoals come from that patches may bring.
        single_step: start at every step with the expert's own history and sample that step alone (offline
            RL); with the algorithm ui_s1_offline, because both terms of ui_s1 are the same there.
    """

    data: Path = Path()
    split: str = "train"
    max_trajectories: int = 0
    on_damage: OnDamage = OnDamage.RAISE
    matcher: str = "ui_s1"
    patch_budget: int = 1
    patch_thought: PatchThought = PatchThought.FREE
    patch_subgoal: PatchSubgoal = PatchSubgoal.FROM_DATA
    subgoals: SubgoalSource = SubgoalSource.DATA_ELSE_TEMPLATE
    single_step: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.patch_budget >= -1, "patch_budget", "-1 (without limit), 0 or more")
        self._require(self.max_trajectories >= 0, "max_trajectories", "0 (all) or more")

    @property
    def agent_spec(self) -> AgentSpec:
        """The agent that is trained, with what the patches of a replay leave in its history."""
        spec = super().agent_spec
        return dataclasses.replace(spec, patch_thought=self.patch_thought, patch_subgoal=self.patch_subgoal)


@dataclass(frozen=True, kw_only=True)
class OnlineConfig(RLConfig):
    """RL on live devices.

    Attributes:
        suite: suite of tasks, by name.
        task_seeds: instances per template.
        algorithm: advantage estimator, by name, with options after a colon (gigpo:anchor=perceptual); the
            command gui-agent algorithms lists them, and those that need a recorded expert are refused.
        reward: reward of the steps, by name, with options after a colon; gui-agent rewards lists them.
        filter_std: keep groups whose sums of rewards, one per episode, have a population deviation above
            this; 0 keeps every group that differs at all, -1 keeps all.
        fault_strategy: what becomes of an episode whose device broke.
        max_fault_retries: attempts on other leases under `retry`.
        episode_timeout_s: of one episode, in seconds.
    """

    suite: str = ""
    task_seeds: int = 64
    algorithm: str = "gigpo"
    reward: str = "task"
    filter_std: float = 0.0
    fault_strategy: FaultStrategy = FaultStrategy.RETRY
    max_fault_retries: int = 2
    episode_timeout_s: float = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.task_seeds >= 1, "task_seeds", "1 or more")
        self._require(self.max_fault_retries >= 0, "max_fault_retries", "0 or more")
        self._require(self.episode_timeout_s > 0, "episode_timeout_s", "more than 0 seconds")


@dataclass(frozen=True, kw_only=True)
class SFTConfig(LearnerConfig):
    """Supervised warm start on expert trajectories.

    Attributes:
        data: trajectory store with the expert trajectories.
        split: split of the store to train on; empty takes all.
        max_trajectories: use the first so many trajectories; 0 uses all.
        on_damage: what to do about a recording that cannot be read or replayed: a truncated file, a missing
            or broken picture, no steps, no or an unknown action, a point outside the screen.
        format: prompt format, by name.
        thoughts: teach the recorded thoughts; without, the format writes none.
        learning_rate: of AdamW; 0 changes nothing.
        num_train_epochs: passes over the data.
        rows_per_step: rows behind one optimiser step: an expert step is one row, or two for a hierarchical
            agent, whose planner learns the subgoal and whose actor learns the action.
        subgoals: where the subgoals come from that a hierarchical agent learns.
        save_steps: optimiser steps between two checkpoints; 0 writes the last one only.
    """

    data: Path = Path()
    split: str = "train"
    max_trajectories: int = 0
    on_damage: OnDamage = OnDamage.RAISE
    format: str = "ui_s1"
    thoughts: bool = True
    learning_rate: float = 1e-5
    num_train_epochs: int = 1
    rows_per_step: int = 32
    subgoals: SubgoalSource = SubgoalSource.DATA_ELSE_TEMPLATE
    save_steps: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.num_train_epochs >= 1, "num_train_epochs", "1 or more")
        self._require(self.rows_per_step >= 1, "rows_per_step", "1 or more")
        self._require(self.max_trajectories >= 0, "max_trajectories", "0 (all) or more")

    @property
    def agent_spec(self) -> AgentSpec:
        """The agent whose prompts and words are taught."""
        return AgentSpec(
            kind=self.agent,
            format=self.format,
            planner_format=self.planner_format,
            actor_history=self.actor_history,
        )


def config_to_dict(config: LearnerConfig) -> dict[str, Any]:
    """The settings as JSON-ready values, paths as text."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
