"""Settings of reinforcement learning: how groups of episodes become updates."""

from __future__ import annotations

from dataclasses import dataclass

from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.errors import ConfigError
from gui_agent.policy import AgentRole, SamplingParams, check_image_max_pixels
from trainers.choices import Compat, OldLogprobs, OnExhausted
from trainers.config import LearnerConfig
from trainers.schedule import BOTH_ROLES, get_schedule


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
            deviation above this; -1 keeps all; none takes the algorithm's own value: the 0.3 of UI-S1, but 0
            with foresight, whose groups deviate by less where one of many is right.
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
        partner_image_max_pixels: pixels of the largest screenshot that this other model is shown, as
            image_max_pixels is for `model`.
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
    filter_std: float | None = None
    filter_solve_rate: tuple[float, float] | None = None
    solved_reward: float | None = None
    max_solve_rate: float | None = None
    replay_successes: bool = False
    scale_informative: bool = False
    planner: str = ""
    actor: str = ""
    partner_image_max_pixels: int = 0
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
        kept = self.filter_std
        self._require(kept is None or kept >= 0 or kept == -1, "filter_std", "-1 (keep all), 0 or more")
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
        check_image_max_pixels(self.partner_image_max_pixels, name="partner_image_max_pixels")
        self._check_schedule()

    @property
    def trains_two_roles(self) -> bool:
        """Whether a planner and an actor of one base are both in training."""
        return super().trains_two_roles and not self.foreign_roles

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
        return BOTH_ROLES - self.learning_roles(update)

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
