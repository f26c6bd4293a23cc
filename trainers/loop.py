"""The one reinforcement-learning loop, for semi-online, offline and online training.

    sample groups -> store -> rewards -> filter (sample on until enough) -> advantages -> rows
    -> update -> version + 1 -> metrics -> evaluation -> checkpoint

What differs between the trainings is the source of groups; what differs between algorithms is the
`Credit` object. A run that is killed anywhere goes on from its newest checkpoint: later episodes and
metrics are cut off, and in deterministic mode every bit (times excluded) comes out the same. One that
fails leaves a checkpoint of the updates that had ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from accelerate.utils import broadcast_object_list, gather_object

from gui_agent.errors import TrainingError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_policy import SampleRequest, TransformersPolicy
from gui_agent.policy import AgentRole, Completion, ImageBudget, Prompt, SampleKey, SamplingParams
from trainers.algorithms import min_group_std
from trainers.checkpoint import TrainerState
from trainers.choices import OnExhausted
from trainers.credit import Credit, ScoredGroup
from trainers.learner import Learner
from trainers.loop_metrics import sampling_metrics, unreadable_responses
from trainers.metrics import Metrics, Stopwatch
from trainers.partners import Partners
from trainers.rapo import Rapo
from trainers.rl_config import RLConfig
from trainers.rows import Row, image_names
from trainers.run_folder import RunFolder, fail
from trainers.sources import GroupBatch, GroupSource
from trainers.without_effect import warn_without_effect
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore

Evaluator = Callable[[int], Awaitable[Mapping[str, float]]]
STORE_FOLDER: Final = "trajectories"


class StopCause(StrEnum):
    """Why a training ended."""

    MAX_UPDATES = "max_updates"
    MAX_STEPS = "max_steps"
    MAX_CPU_S = "max_cpu_s"
    MAX_ROWS = "max_rows"
    EPOCHS = "num_train_epochs"
    ALL_SOLVED = "max_solve_rate"
    """Every task reached `max_solve_rate`: there is nothing left to learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How a training ended.

    Attributes:
        updates: made in total, earlier runs included.
        optimizer_steps: in total.
        cause: which limit was reached.
        model_dir: the finished model, a folder that loads like any checkpoint.
        checkpoint: the last one, to continue from.
        metrics_path: metrics.jsonl.
        cpu_s: CPU seconds in total.
        recordings_skipped: damaged recordings and files that `on_damage: skip` left out.
    """

    updates: int
    optimizer_steps: int
    cause: StopCause
    model_dir: Path
    checkpoint: Path
    metrics_path: Path
    cpu_s: float
    recordings_skipped: int = 0


class TimedPolicy(TransformersPolicy):
    """A local policy that counts the seconds it samples for, under `generate`."""

    def __init__(
        self,
        model: VisionLanguageModel,
        *,
        stopwatch: Stopwatch,
        deterministic: bool = True,
        max_batch_rows: int = 256,
        adapter_of_role: Mapping[str, str] | None = None,
        partners: Partners | None = None,
    ) -> None:
        """As a `TransformersPolicy`; requests for the role of a partner are passed on to it."""
        partners = partners or Partners()
        super().__init__(
            model,
            deterministic=deterministic,
            max_batch_rows=max_batch_rows,
            adapter_of_role=adapter_of_role,
            lock_step=partners.lock_step,
        )
        self._stopwatch = stopwatch
        self._partners = partners.by_role

    @property
    def image_budget(self) -> ImageBudget:
        """How whoever acts resizes screenshots: coordinates are theirs."""
        actor = self._partners.get(AgentRole.ACTOR.value)
        return super().image_budget if actor is None else actor.image_budget

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        """Draw `n` continuations of one prompt, see `TransformersPolicy`."""
        partner = self._partners.get(key.role)
        if partner is not None:
            return await partner.sample(prompt, n=n, params=params, key=key)
        return await super().sample(prompt, n=n, params=params, key=key)

    def resume_at(self, version: int) -> None:
        """Go on with weights that were updated `version` times."""
        self._version = version

    def sample_batch(self, requests: Sequence[SampleRequest]) -> list[tuple[Completion, ...]]:
        """Answer several requests, see `TransformersPolicy`."""
        with self._stopwatch.measure("generate"):
            return super().sample_batch(requests)


class TooFewGroupsError(TrainingError):
    """`on_exhausted` is "raise", and too few groups were worth training on; all processes agree on it."""


@dataclass(slots=True)
class _Sampled:
    """What was sampled for one update; `surplus` groups were worth it but one too many."""

    kept: list[ScoredGroup] = field(default_factory=list)
    surplus: int = 0
    scored: list[ScoredGroup] = field(default_factory=list)
    batches: list[GroupBatch] = field(default_factory=list)


class TrainingLoop:
    """Runs one training to its end."""

    def __init__(
        self,
        config: RLConfig,
        *,
        source: GroupSource,
        policy: TimedPolicy,
        learner: Learner,
        credit: Credit,
        stopwatch: Stopwatch,
        evaluate: Evaluator | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            config: limits, counts and folders.
            source: brings groups.
            policy: what episodes sample from; shares its weights and its thread with the learner.
            learner: changes the weights.
            credit: rewards and advantages.
            stopwatch: shared with policy and learner.
            evaluate: called with the number of updates every `eval_steps`; its metrics join the line.
        """
        self._config = config
        self._source = source
        self._policy = policy
        self._learner = learner
        self._credit = credit
        self._stopwatch = stopwatch
        self._evaluate = evaluate
        self._accelerator = learner.accelerator
        self._run = RunFolder(config, learner, stopwatch, title=source.kind)
        warn_without_effect(config)
        self._rapo = Rapo.of(config)
        self._store: TrajectoryStore | None = None
        self._update = 0

    async def run(self) -> TrainResult:
        """Train until a limit is reached; leave a checkpoint and the finished model behind.

        An error in an update, or a cancellation, comes after a checkpoint of what had ended before it; its
        notes, or a warning, name that checkpoint.

        Raises:
            ConfigError: `output_dir` holds a run and none is to be resumed.
            TrainingError: too few groups were worth training on and `on_exhausted` is "raise", or a setting
                turned out to be impossible in the middle of the training.
            PolicyError: the model failed.
        """
        state = await self._policy.run(self._run.resume)
        if state is not None:
            self._update = state.update
            self._policy.resume_at(state.update)
            self._source.restore(state.position)
            if self._rapo is not None:
                self._rapo.restore(state.rapo)
        with self._run as run:
            self._store = self._open_store(state)
            self._remember()
            try:
                while (cause := self._stop_cause()) is None:
                    await self._one_update()
                    if run.is_due(self._update):
                        await self._save()
            except (Exception, asyncio.CancelledError) as error:
                agreed = isinstance(error, TooFewGroupsError)
                fail(error, await self._policy.run(lambda: run.rescue(with_all=agreed)))
            checkpoint = await self._save()
            model_dir = await self._policy.run(run.export)
        return TrainResult(
            updates=self._update,
            optimizer_steps=self._learner.optimizer.num_steps,
            cause=cause,
            model_dir=model_dir,
            checkpoint=checkpoint,
            metrics_path=self._run.metrics_path,
            cpu_s=self._stopwatch.cpu_s,
        )

    async def _one_update(self) -> None:
        started = time.perf_counter()
        metrics = await self._changed_weights()
        evaluation: Metrics = {}
        try:
            evaluation = await self._evaluation()
        finally:  # an evaluation that fails takes no update with it
            self._stopwatch.add("update", time.perf_counter() - started)
            line = {"update": self._update, **metrics, **evaluation, **self._stopwatch.take()}
            self._run.record(line)
            self._remember()

    async def _changed_weights(self) -> dict[str, Any]:
        """Sample and learn; the metrics of it."""
        before = self._policy.counters
        sampled = await self._sample_groups()
        every_row = self._credit.rows(sampled.kept, update=self._update)
        limit, resting = self._config.max_prompt_length, self._config.resting_roles(self._update)
        learning = [row for row in every_row if row.role not in resting]
        rows = [row for row in learning if len(row.prompt_token_ids) <= limit]
        screenshots = _screenshots(sampled.kept)
        learnt = await self._policy.run(lambda: self._learn(rows, screenshots))
        self._policy.bump_version()
        self._update += 1
        after = self._policy.counters
        return {
            **sampling_metrics(sampled.scored, sampled.kept, sampled.batches, kind=self._source.kind),
            "groups/filtered": len(sampled.scored) - len(sampled.kept) - sampled.surplus,
            "groups/surplus": sampled.surplus,
            **self._rapo_metrics(sampled.kept, every_row),
            **self._source.metrics,
            **learnt,
            "rows_dropped": len(learning) - len(rows),
            "rows_frozen": len(every_row) - len(learning),
            "images_encoded": after.images_encoded - before.images_encoded,
            "images_unique": len(image_names(rows)),
            "images_dropped": after.images_dropped - before.images_dropped,
        }

    def _learn(self, rows: Sequence[Row], screenshots: Mapping[str, Screenshot]) -> Metrics:
        if rows:
            return self._learner.update(rows, screenshots)
        # Nothing to learn from: the weights stay as they are, and are counted as a version of their own.
        self._learner.version += 1
        return {"rows": 0, "optimizer_steps": self._learner.optimizer.num_steps}

    async def _sample_groups(self) -> _Sampled:
        """Sample until enough groups are worth training on, or `max_num_gen_batches` is reached."""
        config = self._config
        sampled = _Sampled()
        for _ in range(config.max_num_gen_batches):
            batch = await self._sample_batch(config.groups_per_update)
            if self._store is not None:
                with self._stopwatch.measure("store"):
                    self._store.append(batch.records)
            scored = [self._credit.score(group) for group in batch.groups]
            sampled.batches.append(batch)
            sampled.scored.extend(scored)
            missing = config.groups_per_update - len(sampled.kept)
            learnable = [self._to_learn_from(group) for group in scored]
            worth_it = [group for group in learnable if self._credit.keep(group)]
            sampled.kept.extend(worth_it[:missing])
            sampled.surplus += len(worth_it[missing:])
            if len(sampled.kept) == config.groups_per_update:
                return sampled
        if config.on_exhausted is OnExhausted.RAISE:
            raise TooFewGroupsError(self._too_few_groups(sampled))
        return sampled

    def _too_few_groups(self, sampled: _Sampled) -> str:
        config, filter_std = self._config, min_group_std(self._config)
        dropped = sum(batch.groups_dropped for batch in sampled.batches)
        why = "devices broke, or tasks have no verdict"
        lost = f" ({dropped} more could not be judged: {why})" if dropped else ""
        bounds = config.filter_solve_rate
        wider = f", widen filter_solve_rate (now {bounds[0]:g} to {bounds[1]:g})" if bounds else ""
        unread = unreadable_responses(sampled.scored)
        first = f"{unread}. Or " if unread else ""
        return (
            f"update {self._update}: {len(sampled.kept)} of {config.groups_per_update} groups were worth "
            f"training on after max_num_gen_batches={config.max_num_gen_batches}{lost}; {first}"
            f"lower filter_std (now {filter_std}){wider}, raise num_generations, warm the model up "
            "with SFT, or set on_exhausted=train_on_rest"
        )

    async def _sample_batch(self, num_groups: int) -> GroupBatch:
        """One batch of groups; every process runs its share of them and gets to know all."""
        pruned = frozenset() if self._rapo is None else self._rapo.pruned
        jobs = self._source.draw(num_groups, update=self._update, leave_out=pruned)
        rank, world_size = self._accelerator.process_index, self._accelerator.num_processes
        started, generated = time.perf_counter(), self._stopwatch.seconds("generate")
        batch = await self._source.run(jobs[rank::world_size])
        generating_s = self._stopwatch.seconds("generate") - generated
        self._stopwatch.add("env", max(0.0, time.perf_counter() - started - generating_s))
        return batch if world_size == 1 else _merge(gather_object([batch]))

    def _to_learn_from(self, scored: ScoredGroup) -> ScoredGroup:
        """The group itself, or the one that a stored success makes of it."""
        if self._rapo is None:
            return scored
        group = self._rapo.take(scored.group, scored.solved, self._stored)
        return scored if group is scored.group else self._credit.score(group)

    def _stored(self, episode_id: str) -> EpisodeRecord:
        """An episode of this run, read by the process that has the store, for all."""
        with self._stopwatch.measure("store"):
            found = [None if self._store is None else self._store.record(episode_id)]
            if self._accelerator.num_processes > 1:
                broadcast_object_list(found)
        assert found[0] is not None
        return found[0]

    def _rapo_metrics(self, kept: Sequence[ScoredGroup], rows: Sequence[Row]) -> Metrics:
        metrics: Metrics = {}
        if self._rapo is not None:
            metrics["rapo/pruned"] = len(self._rapo.pruned)
            metrics["rapo/replayed"] = sum(group.group.replayed is not None for group in kept)
        if self._config.scale_informative:
            metrics["groups/informative"] = len({row.group_id for row in rows if row.advantage != 0})
        return metrics

    async def _evaluation(self) -> Metrics:
        every = self._config.eval_steps
        if self._evaluate is None or not every or self._update % every:
            return {}
        generated = self._stopwatch.seconds("generate")
        with self._stopwatch.measure("eval"):
            found = await self._evaluate(self._update)
        # What evaluation sampled is part of its own time, not of the update's.
        self._stopwatch.add("generate", generated - self._stopwatch.seconds("generate"))
        return {f"eval/{name.removeprefix('eval/')}": value for name, value in found.items()}

    def _stop_cause(self) -> StopCause | None:
        config = self._config
        if 0 <= config.max_updates <= self._update:
            return StopCause.MAX_UPDATES
        if 0 <= config.max_steps <= self._learner.optimizer.num_steps:
            return StopCause.MAX_STEPS
        if config.max_cpu_s and self._agree(config.max_cpu_s <= self._stopwatch.cpu_s):
            return StopCause.MAX_CPU_S
        if config.max_rows and config.max_rows <= self._learner.rows_trained:
            return StopCause.MAX_ROWS
        if config.max_updates < 0 and self._source.epochs >= config.num_train_epochs:
            return StopCause.EPOCHS
        if self._rapo is not None and len(self._rapo.pruned) == self._source.num_tasks:
            return StopCause.ALL_SOLVED
        return None

    def _agree(self, value: bool) -> bool:
        """What the first process thinks: CPU clocks differ, and all must stop together."""
        values = [value]
        if self._accelerator.num_processes > 1:
            broadcast_object_list(values)
        return values[0]

    async def _save(self) -> Path:
        return await self._policy.run(self._run.save)

    def _remember(self) -> None:
        """Tell what a checkpoint knows besides weights and counters."""
        self._run.stands_at(
            self._update,
            position=self._source.position,
            store_mark=None if self._store is None else len(self._store),
            rapo=None if self._rapo is None else self._rapo.state,
        )

    def _open_store(self, state: TrainerState | None) -> TrajectoryStore | None:
        """The store of this run, without what was sampled after the checkpoint."""
        if not self._run.is_main:
            return None
        store = TrajectoryStore.open_or_create(
            self._config.output_dir / STORE_FOLDER, source={"trainer": self._source.kind}
        )
        mark = 0 if state is None or state.store_mark is None else state.store_mark
        if len(store) != mark:
            store.truncate(mark)
        return store


def _screenshots(groups: Sequence[ScoredGroup]) -> dict[str, Screenshot]:
    return {
        sha256: screenshot
        for scored in groups
        for record in scored.group.records
        for sha256, screenshot in record.screenshots.items()
    }


def _merge(batches: Sequence[GroupBatch]) -> GroupBatch:
    """The batches of all processes as one, in the order of names, which is the order of jobs."""
    records: list[EpisodeRecord] = [record for batch in batches for record in batch.records]
    groups = [group for batch in batches for group in batch.groups]
    return GroupBatch(
        groups=tuple(sorted(groups, key=lambda group: group.group_id)),
        records=tuple(sorted(records, key=lambda record: record.trajectory.episode_id)),
        faults=sum(batch.faults for batch in batches),
        retries=sum(batch.retries for batch in batches),
        groups_dropped=sum(batch.groups_dropped for batch in batches),
    )
