"""Supervised warm start: the expert's words, token by token, in the prompts that the agent will see.

A row is one step of a recording: the prompt with the expert's own history, built by the prompt format
that acts later, and the expert's action as that format writes it, end of turn included. A hierarchical
agent has two rows for a step: its planner's, that ends in the subgoal, and its actor's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gui_agent.agent_spec import AgentKind
from gui_agent.coordinates import ScreenGeometry
from gui_agent.formats.base import PromptFormat, Turn
from gui_agent.formats.registry import get_format
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_roles import adapter_of_role
from trainers.batching import MiniBatch, plan_steps, token_budget
from trainers.learner import Learner
from trainers.learner_model import check_roles, load_learner_model
from trainers.loop import StopCause, TrainResult
from trainers.metrics import Stopwatch
from trainers.processes import build_accelerator
from trainers.recordings import read_recordings
from trainers.role_rows import ExpertRows, role_rows
from trainers.rows import Row
from trainers.run_folder import RunFolder, fail
from trainers.sft_config import SFTConfig
from trainers.without_effect import warn_without_effect
from trajectories.records import Trajectory
from trajectories.replay import ReplayTask
from trajectories.subgoals import with_subgoals


def train_sft(config: SFTConfig) -> TrainResult:
    """Imitate the recordings in `config.data`.

    Raises:
        ConfigError: a name, folder or combination of settings is impossible.
        ReplayError: a recording lacks pictures or actions.
        DataError: no recording succeeded.
    """
    config.agent_spec.check()  # a wrong name is told before the weights are read
    warn_without_effect(config)
    recordings = read_recordings(config)
    trajectories: Sequence[Trajectory] = recordings.trajectories
    if config.agent is AgentKind.HIERARCHICAL:
        trajectories = [with_subgoals(trajectory, config.subgoals) for trajectory in trajectories]
    tasks = [ReplayTask.from_trajectory(trajectory, recordings.screenshots) for trajectory in trajectories]
    stopwatch = Stopwatch()
    accelerator = build_accelerator(config)
    model = load_learner_model(config, accelerator=accelerator)
    check_roles(config, model)
    expert = _rows_of(tasks, model, config)
    learner = Learner(
        model,
        config,
        accelerator=accelerator,
        adapter_of_role=adapter_of_role(model.adapters),
        stopwatch=stopwatch,
    )
    result = _Imitation(config, learner, expert, stopwatch, source_metrics=recordings.metrics).run()
    return replace(result, recordings_skipped=recordings.num_skipped)


def _rows_of(tasks: Sequence[ReplayTask], model: VisionLanguageModel, config: SFTConfig) -> ExpertRows:
    if config.agent is AgentKind.FLAT:
        prompt_format = get_format(config.format, image_budget=model.images.budget)
        return expert_rows(tasks, model, prompt_format, thoughts=config.thoughts)
    return role_rows(tasks, model, config.agent_spec, thoughts=config.thoughts, frozen=config.frozen_roles)


def expert_rows(
    tasks: Sequence[ReplayTask], model: VisionLanguageModel, prompt_format: PromptFormat, *, thoughts: bool
) -> ExpertRows:
    """One row for every step of every recording, as `model` reads and `prompt_format` writes it.

    Raises:
        ReplayError: a picture is missing.
        ConfigError: the format has no word for an expert's action.
    """
    rows: list[Row] = []
    screenshots: dict[str, Screenshot] = {}
    for task in tasks:
        history: list[Turn] = []
        for step, frame in enumerate(task.frames):
            screenshot = task.picture(frame)
            geometry = ScreenGeometry.of(screenshot.width_px, screenshot.height_px, model.images.budget)
            thought = frame.expert.thought if thoughts else None
            words = prompt_format.render(frame.expert.action, thought, geometry)
            prompt = model.prompts.encode(prompt_format.prompt(task.goal, history, screenshot))
            rows.append(
                Row(
                    prompt_token_ids=prompt.token_ids,
                    image_grids=prompt.image_grids,
                    image_sha256s=prompt.image_sha256s,
                    token_ids=model.prompts.encode_completion(words),
                    group_id=task.task_id,
                    episode_id=task.trajectory_id,
                    step=step,
                )
            )
            screenshots.update({shown.sha256: shown for shown in prompt.screenshots})
            history.append(Turn(screenshot=screenshot, response=words))
    return ExpertRows(rows=tuple(rows), screenshots=screenshots)


class _Imitation:
    """The loop over epochs and steps."""

    def __init__(
        self,
        config: SFTConfig,
        learner: Learner,
        expert: ExpertRows,
        stopwatch: Stopwatch,
        *,
        source_metrics: Mapping[str, Any],
    ) -> None:
        self._config = config
        self._learner = learner
        self._expert = expert
        self._stopwatch = stopwatch
        self._source_metrics = source_metrics
        self._folder = RunFolder(config, learner, stopwatch, title="sft")
        self._steps_per_epoch = -(-len(expert.rows) // config.rows_per_step)
        self._step = 0

    def run(self) -> TrainResult:
        state = self._folder.resume()
        self._step = 0 if state is None else state.update
        with self._folder as folder:
            folder.stands_at(self._step, position={})
            try:
                cause = self._steps(folder)
            except (Exception, KeyboardInterrupt) as error:
                fail(error, folder.rescue(with_all=False))
            checkpoint = folder.save()
            model_dir = folder.export()
        return TrainResult(
            updates=self._step,
            optimizer_steps=self._learner.optimizer.num_steps,
            cause=cause,
            model_dir=model_dir,
            checkpoint=checkpoint,
            metrics_path=folder.metrics_path,
            cpu_s=self._stopwatch.cpu_s,
        )

    def _steps(self, folder: RunFolder) -> StopCause:
        plan: list[MiniBatch] = []
        while (cause := self._stop_cause()) is None:
            epoch, position = divmod(self._step, self._steps_per_epoch)
            if position == 0 or not plan:
                plan = self._plan(epoch)
            folder.record(self._one_step(plan[position], epoch))
            folder.stands_at(self._step, position={})
            if folder.is_due(self._step):
                folder.save()
        return cause

    def _plan(self, epoch: int) -> list[MiniBatch]:
        return plan_steps(
            self._expert.rows,
            rows_per_step=self._config.rows_per_step,
            budget=token_budget(self._config),
            seed=self._config.seed * 1_000_003 + epoch,
        )

    def _one_step(self, mini_batch: MiniBatch, epoch: int) -> dict[str, Any]:
        started = time.perf_counter()
        metrics = self._learner.fit(mini_batch, self._expert.screenshots)
        self._step += 1
        self._stopwatch.add("update", time.perf_counter() - started)
        return {
            "update": self._step,
            "epoch": epoch,
            **metrics,
            **self._source_metrics,
            **self._stopwatch.take(),
        }

    def _stop_cause(self) -> StopCause | None:
        config = self._config
        if 0 <= config.max_steps <= self._step:
            return StopCause.MAX_STEPS
        if config.max_cpu_s and config.max_cpu_s <= self._stopwatch.cpu_s:
            return StopCause.MAX_CPU_S
        if config.max_rows and config.max_rows <= self._learner.rows_trained:
            return StopCause.MAX_ROWS
        if config.max_steps < 0 and self._step >= config.num_train_epochs * self._steps_per_epoch:
            return StopCause.EPOCHS
        return None
