"""The output folder of one training: metrics, checkpoints, the finished model, and how to go on.

output_dir/
  metrics.jsonl      one line per update
  checkpoint-N/      see `trainers.checkpoint`
  model/             the finished model: a Hugging Face folder, adapters merged
  trajectories/      the store of sampled episodes (reinforcement learning only)
"""

from __future__ import annotations

import asyncio
import dataclasses
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NoReturn

from safetensors import SafetensorError

from gui_agent.errors import ConfigError, DataError, PolicyError, TrainingError
from trainers.checkpoint import Checkpoints, TrainerState, load_config, load_state
from trainers.config import LearnerConfig, config_to_dict
from trainers.learner import Learner
from trainers.metrics import MetricsLog, Stopwatch
from trainers.progress import ProgressView
from trainers.reporters import Reporter, build_reporters
from trainers.weights import MODEL_FOLDER

METRICS_FILE: Final = "metrics.jsonl"
_MAY_CHANGE_ON_RESUME: Final = frozenset(
    {
        "output_dir",
        "max_steps",
        "max_updates",
        "max_cpu_s",
        "max_rows",
        "num_train_epochs",
        "logging_steps",
        "save_steps",
        "save_total_limit",
        "eval_steps",
        "resume_from_checkpoint",
        "report_to",
    }
)


class RunFolder:
    """Writes what a training leaves behind; on other processes than the first it writes nothing.

    Use it as a context manager, after `resume`.
    """

    def __init__(self, config: LearnerConfig, learner: Learner, stopwatch: Stopwatch, *, title: str) -> None:
        """Look after `config.output_dir`.

        Args:
            config: folders and numbers.
            learner: whose weights are saved.
            stopwatch: counts CPU seconds over resumes.
            title: what people read before each line of progress.
        """
        self._config = config
        self._learner = learner
        self._stopwatch = stopwatch
        self._title = title
        self._checkpoints = Checkpoints(config.output_dir, keep=config.save_total_limit)
        self._stack = ExitStack()
        self._log: MetricsLog | None = None
        self._view: ProgressView | None = None
        self._reporters: list[Reporter] = []
        self._metrics_bytes = 0
        self._knows_rows = True
        self._standing = TrainerState(update=0, optimizer_steps=0)
        self.is_main = bool(learner.accelerator.is_main_process)
        self.last_checkpoint: Path | None = None

    @property
    def metrics_path(self) -> Path:
        """The file of metrics."""
        return self._config.output_dir / METRICS_FILE

    def resume(self) -> TrainerState | None:
        """Load what `resume_from_checkpoint` asks for into the learner; None begins anew.

        Raises:
            ConfigError: the folder holds a run that is not to be resumed, no checkpoint is where one was
                named, or `max_rows` is to limit rows that the checkpoint has not counted.
            DataError: the checkpoint is damaged, or belongs to another model.
        """
        config = self._config
        path = self._checkpoints.resolve(config.resume_from_checkpoint)
        if path is None:
            self._refuse_to_overwrite()
            return None
        state = load_state(path)
        _warn_of_changes(load_config(path), config_to_dict(config), path)
        self._knows_rows = state.rows_trained is not None
        if not self._knows_rows:
            _warn_of_unknown_rows(config, path)
        try:
            self._learner.load(path, version=state.update)
        except SafetensorError as error:
            raise DataError(
                f"{path}: its tensors are damaged ({error}); "
                "set resume_from_checkpoint to an earlier checkpoint"
            ) from error
        self._learner.rows_trained = state.rows_trained or 0
        self._stopwatch.resume(state.cpu_s)
        self._metrics_bytes = state.metrics_bytes
        self.last_checkpoint = path
        if self.is_main:
            self._checkpoints.discard_after(state.update)
        return state

    def __enter__(self) -> RunFolder:
        if not self.is_main:
            return self
        config = self._config
        config.output_dir.mkdir(parents=True, exist_ok=True)
        self._log = MetricsLog(self.metrics_path)
        self._stack.callback(self._log.close)
        self._log.truncate(self._metrics_bytes)
        self._reporters = build_reporters(config.report_to, config.output_dir, config_to_dict(config))
        for reporter in self._reporters:
            self._stack.callback(reporter.close)
        view = ProgressView(title=self._title, logging_steps=config.logging_steps)
        self._view = self._stack.enter_context(view)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def record(self, metrics: dict[str, Any]) -> None:
        """Write one line of metrics; `update` is among them."""
        if self._log is None or self._view is None:
            return
        self._log.append(metrics)
        numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        for reporter in self._reporters:
            reporter.log(numbers, step=metrics["update"])
        self._view.show(metrics)

    def stands_at(
        self,
        update: int,
        *,
        position: dict[str, Any],
        store_mark: int | None = None,
        rapo: dict[str, Any] | None = None,
    ) -> None:
        """Remember how things stand: before the first update, and after each once `record` was called.

        This is what `save` and `rescue` write, beside weights and optimiser.
        """
        optimizer = self._learner.optimizer
        self._standing = TrainerState(
            update=update,
            optimizer_steps=optimizer.num_steps,
            skipped_steps=optimizer.num_skipped,
            rows_trained=self._learner.rows_trained if self._knows_rows else None,
            position=position,
            store_mark=store_mark,
            rapo=rapo or {},
            metrics_bytes=0 if self._log is None else self._log.length_bytes,
        )

    def is_due(self, update: int) -> bool:
        """Whether a checkpoint is to be written after this update."""
        return self._config.save_steps > 0 and update % self._config.save_steps == 0

    def save(self) -> Path:
        """Write a checkpoint unless there is one of this update; call it where the model may be touched."""
        if not self._is_saved:
            with self._stopwatch.measure("save"):
                self._write()
                self._learner.accelerator.wait_for_everyone()
            if self._config.deterministic:
                # A run that resumes here encodes its pictures anew, in other company; do the same.
                self._learner.model.forget_features()
            self.last_checkpoint = self._path
        return self._path

    def rescue(self, *, with_all: bool) -> str:
        """Save the updates that ended before an error, and say how to go on; where the model may be touched.

        What was sampled for an update that did not end is sampled again by the run that goes on.

        Args:
            with_all: all processes came here, and wait for each other; else one of them may be alone.
        """
        if self._standing.update == 0:
            return "no update had ended, so that nothing is lost; begin anew"
        why_lost = "" if self._is_saved else self._save_what_ended(with_all=with_all)
        if with_all:
            self._learner.accelerator.wait_for_everyone()
        return self._how_to_go_on(why_lost)

    def _save_what_ended(self, *, with_all: bool) -> str:
        """Empty, or why it is lost."""
        if self._learner.optimizer.num_steps != self._standing.optimizer_steps:
            return "it broke off while weights were changing"
        if not self.is_main and not with_all:  # the first process saves, if it came here too
            return f"process {self._learner.accelerator.process_index} failed"
        try:
            self._write()
        except (OSError, SafetensorError) as error:
            return f"no checkpoint could be written ({error})"
        self.last_checkpoint = self._path
        return ""

    def _how_to_go_on(self, why_lost: str) -> str:
        last, ended = self.last_checkpoint, self._standing.update
        if not why_lost:
            return f"{last} holds all {ended} updates that had ended; go on with resume_from_checkpoint=true"
        if last is None:
            return f"{why_lost}; there is no checkpoint, and the {ended} updates that had ended are lost"
        return (
            f"{why_lost}; go on from {last} with resume_from_checkpoint=true; updates after it, of {ended} "
            "that had ended, are made again"
        )

    def export(self) -> Path:
        """Write the finished model, adapters merged, and return its folder.

        Raises:
            PolicyError: no optimiser step could be made, because no gradient was finite.
        """
        self._refuse_weights_that_never_changed()
        folder = self._config.output_dir / MODEL_FOLDER
        if self.is_main:
            self._learner.export(folder)
        self._learner.accelerator.wait_for_everyone()
        return folder

    @property
    def _path(self) -> Path:
        return self._config.output_dir / f"checkpoint-{self._standing.update}"

    @property
    def _is_saved(self) -> bool:
        last = self.last_checkpoint
        return last is not None and last.resolve() == self._path.resolve()

    def _write(self) -> None:
        if self.is_main:
            state = dataclasses.replace(self._standing, cpu_s=self._stopwatch.cpu_s)
            self._checkpoints.save(state, config_to_dict(self._config), self._learner.save)

    def _refuse_weights_that_never_changed(self) -> None:
        optimizer = self._learner.optimizer
        if not optimizer.num_skipped:
            return
        words = f"{optimizer.num_skipped} of {optimizer.num_steps} optimiser steps had no finite gradient"
        if optimizer.num_skipped == optimizer.num_steps:
            raise PolicyError(
                f"{words}, so nothing was learned; the weights of {self._config.model} hold NaN or overflow: "
                "start from another checkpoint, or lower learning_rate"
            )
        warnings.warn(f"{words} and were skipped; a lower learning_rate may help", stacklevel=3)

    def _refuse_to_overwrite(self) -> None:
        """A new run needs a new folder; one that died before its first checkpoint begins anew."""
        if not self.is_main or self._config.resume_from_checkpoint is not False:
            return
        begun = self.metrics_path.exists() and self.metrics_path.stat().st_size > 0
        if begun or self._checkpoints.complete():
            raise ConfigError(
                f"output_dir {self._config.output_dir} holds a run already; continue it with "
                "resume_from_checkpoint=true, or choose another output_dir"
            )


def fail(error: BaseException, words: str) -> NoReturn:
    """Raise an error of a training that had begun, with what `rescue` says of it.

    Raises:
        TrainingError: in place of a ConfigError, which would mean that nothing was started.
    """
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):  # of which nobody is shown the notes
        warnings.warn(words, stacklevel=3)
    raised = TrainingError(str(error)) if isinstance(error, ConfigError) else error
    raised.add_note(words)
    if raised is error:
        raise error
    raise raised from error


def _warn_of_changes(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    changed = [
        f"{name} {before.get(name)!r} -> {value!r}"
        for name, value in now.items()
        if name not in _MAY_CHANGE_ON_RESUME and before.get(name) != value
    ]
    if changed:
        warnings.warn(
            f"resuming from {path} with other settings: {', '.join(changed)}; the run will not be the one "
            "that was begun",
            stacklevel=3,
        )


def _warn_of_unknown_rows(config: LearnerConfig, path: Path) -> None:
    words = f"{path} does not say on how many rows its model was trained: older versions did not count them"
    if config.max_rows:
        raise ConfigError(
            f"{words}, so that max_rows={config.max_rows} cannot be kept; limit the run by max_steps or "
            "max_cpu_s and leave max_rows out, or begin anew in another output_dir"
        )
    warnings.warn(f"{words}; the number stays unknown in the checkpoints of this run", stacklevel=3)
