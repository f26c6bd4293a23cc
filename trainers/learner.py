"""The learner: rows in, better weights out.

One update cuts its rows into mini-batches (one optimiser step each) and those into forward passes
within a token budget. The loss is the mean over all completion tokens of a mini-batch, across forward
passes and processes. Everything touches the model in the calling thread; share the policy's thread
(`TransformersPolicy.run`) where episodes are sampled in the same process.

Shapes: N completion tokens of a micro-batch, row after row.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file

from gui_agent.errors import DataError
from gui_agent.model_settings import ModelSettings
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.weight_files import WeightFile, weight_files, what_changed
from gui_agent.policy import AgentRole
from trainers.batching import MiniBatch, plan_mini_batches, token_budget
from trainers.choices import OldLogprobs
from trainers.config import LearnerConfig
from trainers.forward import TokenLogprobs, token_logprobs
from trainers.metrics import Metrics, Stopwatch
from trainers.objectives import ObjectiveFn, TokenTargets, negative_log_likelihood, policy_gradient
from trainers.optimizer import WeightOptimizer
from trainers.processes import build_accelerator
from trainers.reference import starting_weights
from trainers.rl_config import RLConfig
from trainers.rows import Row
from trainers.sft_config import SFTConfig
from trainers.token_sums import TokenSums
from trainers.weights import MODEL_FOLDER, export_weights, load_weights, save_weights

_RNG: Final = "rng.safetensors"
_BASE: Final = "base_weights.json"


class Learner:
    """Updates one model.

    Attributes:
        model: the weights that learn.
        version: updates so far.
        rows_trained: rows in all updates so far.
        optimizer: counts steps and skipped steps.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        config: LearnerConfig,
        *,
        accelerator: Accelerator | None = None,
        adapter_of_role: Mapping[AgentRole, str] | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        """Train `model`, whose present weights are the reference of the KL term.

        Args:
            model: from `load_learner_model`, or any model on which gradients are wanted.
            config: an `RLConfig` for `update`, any for `fit`.
            accelerator: processes and their communication; one process if None.
            adapter_of_role: adapter that speaks for a role; empty where roles share all weights.
            stopwatch: where `old_logp`, `reference` and `train` are counted, each without the others.
        """
        self.model = model
        self.config = config
        self.accelerator = accelerator or build_accelerator(config)
        self.version = 0
        self.rows_trained = 0
        self._adapter_of_role = dict(adapter_of_role or {})
        self._stopwatch = stopwatch or Stopwatch()
        compares = isinstance(config, RLConfig) and config.beta > 0
        self._reference = starting_weights(model) if compares else None
        self._base_files = self._fingerprint()
        with self._all_adapters_learn():
            self.optimizer = WeightOptimizer(model.network.named_parameters(), config, self.accelerator)

    def update(self, rows: Sequence[Row], screenshots: Mapping[str, Screenshot]) -> Metrics:
        """Learn from sampled rows: `num_mini_batches` optimiser steps, then version + 1.

        Every process passes the same rows; each computes its share.

        Args:
            rows: of one update, in any order; the result does not depend on it.
            screenshots: by sha256, all that the rows show.

        Returns:
            Means over tokens, and counts; equal on all processes.

        Raises:
            DataError: a row has no log-probabilities of its sampler.
        """
        config = self.config
        assert isinstance(config, RLConfig), "updates from samples need an RLConfig"
        for row in rows:
            if not row.old_logprobs:
                raise DataError(
                    f"row {row.episode_id!r} step {row.step} has no log-probabilities of its sampler; ask "
                    "the server for them, or train on it with `fit`"
                )
        plan = plan_mini_batches(
            rows,
            num_mini_batches=config.num_mini_batches,
            budget=token_budget(config),
            seed=config.seed * 1_000_003 + self.version,
        )
        sums = TokenSums()
        shares = [self._share(mini_batch) for mini_batch in plan]
        old = self._old_logprobs(shares, screenshots, sums)
        objective = policy_gradient(config)
        metrics: Metrics = {}
        for number, mini_batch in enumerate(plan):
            metrics = self._step(
                mini_batch,
                shares[number],
                screenshots,
                objective,
                sums,
                old=old[number],
                compare=number == 0 and not sums.compared_tokens,
            )
        self.version += 1
        self.rows_trained += len(rows)
        return {
            **metrics,
            **sums.means(self._metric_names(), self.accelerator),
            **sums.sampling_difference(self.accelerator),
            "rows": len(rows),
            "num_tokens": sum(row.num_tokens for row in rows),
        }

    def fit(self, mini_batch: MiniBatch, screenshots: Mapping[str, Screenshot]) -> Metrics:
        """One supervised optimiser step on rows nobody sampled."""
        sums = TokenSums()
        metrics = self._step(
            mini_batch, self._share(mini_batch), screenshots, negative_log_likelihood, sums, old=None
        )
        self.rows_trained += mini_batch.num_rows
        means = sums.means(self._metric_names(), self.accelerator)
        return {**metrics, **means, "rows": mini_batch.num_rows}

    def save(self, folder: Path) -> None:
        """Write weights (a Hugging Face folder, or adapters), optimiser and generators; on one process."""
        save_weights(self.model, folder / MODEL_FOLDER)
        self._write_settings(folder / MODEL_FOLDER)
        self.optimizer.save(folder)
        if self._base_files:
            files = [file.to_json() for file in self._base_files]
            (folder / _BASE).write_text(json.dumps(files, indent=1) + "\n", encoding="utf-8")
        states = {"torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state()
        save_file(states, str(folder / _RNG))

    def load(self, folder: Path, *, version: int) -> None:
        """Continue from what `save` wrote. The reference stays what it was.

        Raises:
            DataError: the folder holds other weights than this model has, or belongs to a base that has
                other weights by now.
        """
        self._check_base(folder)
        load_weights(self.model, folder / MODEL_FOLDER)
        self.optimizer.load(folder)
        states = load_file(str(folder / _RNG))
        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state(states["cuda"])
        self.version = version

    def export(self, folder: Path) -> None:
        """Write the finished model, see `export_weights`, and how it is to be asked."""
        export_weights(self.model, folder, base_weights=self._base_files)
        self._write_settings(folder)

    @property
    def _base(self) -> Path:
        return Path(self.model.network.name_or_path)

    def _fingerprint(self) -> tuple[WeightFile, ...]:
        """Of local weights that no checkpoint holds and that a resumed run needs; as training begins.

        Later the files may be others than those that were loaded.
        """
        needed = bool(self.model.adapters) or self._reference is not None
        is_local = bool(self.model.network.name_or_path) and self._base.is_dir()
        return weight_files(self._base) if needed and is_local and self.accelerator.is_main_process else ()

    def _check_base(self, folder: Path) -> None:
        """Refuse to go on from a base that was trained again in its place."""
        file = folder / _BASE
        if not file.is_file() or not self._base.is_dir():  # older checkpoints have none
            return
        files = [WeightFile.from_json(data) for data in json.loads(file.read_text(encoding="utf-8"))]
        if changed := what_changed(self._base, files):
            raise DataError(
                f"{folder}: this training began from other weights than {self._base} holds now ({changed}); "
                f"put the former ones back, begin anew in another output_dir, or delete {file.name} to go on "
                "all the same"
            )

    def _write_settings(self, folder: Path) -> None:
        assert isinstance(self.config, RLConfig | SFTConfig)
        said = ModelSettings.of_trained(
            self.config.agent_spec,
            max_completion_length=getattr(self.config, "max_completion_length", None),  # RL's
            image_max_pixels=self.model.images.budget.max_pixels,
        )
        said.write(folder)

    def _share(self, mini_batch: MiniBatch) -> tuple[tuple[Row, ...], ...]:
        return mini_batch.share(self.accelerator.process_index, self.accelerator.num_processes)

    def _step(
        self,
        mini_batch: MiniBatch,
        share: Sequence[tuple[Row, ...]],
        screenshots: Mapping[str, Screenshot],
        objective: ObjectiveFn,
        sums: TokenSums,
        *,
        old: Sequence[torch.Tensor] | None,
        compare: bool = False,
    ) -> Metrics:
        """One optimiser step; `compare` sampler and trainer while the weights are the sampler's."""
        self.model.network.train()
        for number, rows in enumerate(share):
            targets = TokenTargets(
                advantages_N=self._per_token(rows, [row.advantage for row in rows]),
                old_logprobs_N=None if old is None else old[number],
                reference_logprobs_N=self._reference_logprobs(rows, screenshots),
            )
            with self._stopwatch.measure("train"):
                result = self._logprobs(rows, screenshots, entropy=old is not None)
                logprobs_N = result.logprobs_BT[result.mask_BT]
                value = objective(logprobs_N, targets)
                (value.loss / mini_batch.num_tokens).backward()
                self.optimizer.add_gradients()
            if compare:
                self._compare(rows, logprobs_N, sums)
            sums.add({"loss": value.loss, **value.sums})
            if result.entropy_BT is not None:
                sums.add({"entropy": result.entropy_BT[result.mask_BT].sum()})
        with self._stopwatch.measure("train"):
            step = self.optimizer.step()
            self.model.weights_changed()
        sums.num_tokens += mini_batch.num_tokens
        return {
            "grad_norm": step.grad_norm,
            "learning_rate": step.learning_rate,
            "optimizer_steps": self.optimizer.num_steps,
            "skipped_steps": self.optimizer.num_skipped,
        }

    def _old_logprobs(
        self,
        shares: Sequence[Sequence[tuple[Row, ...]]],
        screenshots: Mapping[str, Screenshot],
        sums: TokenSums,
    ) -> list[list[torch.Tensor]]:
        """Log-probabilities below the line of the ratio, for each micro-batch of each mini-batch."""
        with self._stopwatch.measure("old_logp"):
            return [[self._old_of(rows, screenshots, sums) for rows in share] for share in shares]

    def _old_of(
        self, rows: tuple[Row, ...], screenshots: Mapping[str, Screenshot], sums: TokenSums
    ) -> torch.Tensor:
        assert isinstance(self.config, RLConfig)
        sampled_N = self._sampled(rows)
        # Replayed rows keep what their sampler said: present weights would make every ratio 1, as if they
        # had been sampled now.
        computed_anew = [not row.replayed and self._is_computed_anew(row) for row in rows]
        if not any(computed_anew):
            return sampled_N
        with torch.no_grad():
            result = self._logprobs(rows, screenshots)
        computed_N = result.logprobs_BT[result.mask_BT]
        self._compare(rows, computed_N, sums)
        replaced_N = self._per_token(rows, [float(anew) for anew in computed_anew])
        return torch.where(replaced_N > 0, computed_N, sampled_N)

    def _is_computed_anew(self, row: Row) -> bool:
        assert isinstance(self.config, RLConfig)
        match self.config.old_logprobs:
            case OldLogprobs.SAMPLER:
                return False
            case OldLogprobs.STALE:
                return row.policy_version != self.version
            case OldLogprobs.RECOMPUTE:
                return True

    def _compare(self, rows: Sequence[Row], logprobs_N: torch.Tensor, sums: TokenSums) -> None:
        """Sampler against trainer, for rows that the present weights sampled."""
        current_N = self._per_token(rows, [float(row.policy_version == self.version) for row in rows]) > 0
        if bool(current_N.any()):
            sums.compare(logprobs_N[current_N], self._sampled(rows)[current_N])

    def _reference_logprobs(
        self, rows: tuple[Row, ...], screenshots: Mapping[str, Screenshot]
    ) -> torch.Tensor | None:
        if self._reference is None:
            return None
        with torch.no_grad(), self._stopwatch.measure("reference"), self._reference.in_place():
            result = self._logprobs(rows, screenshots, model=self._reference.model)
        return result.logprobs_BT[result.mask_BT]

    def _logprobs(
        self,
        rows: tuple[Row, ...],
        screenshots: Mapping[str, Screenshot],
        *,
        model: VisionLanguageModel | None = None,
        entropy: bool = False,
    ) -> TokenLogprobs:
        adapter = self._adapter_of_role.get(rows[0].role)
        if adapter is not None:
            self.model.use_adapter(adapter)
        return token_logprobs(
            model or self.model,
            rows,
            screenshots,
            entropy=entropy,
            share_prefixes=self.config.share_prefixes,
        )

    def _sampled(self, rows: Sequence[Row]) -> torch.Tensor:
        return torch.tensor(
            list(itertools.chain.from_iterable(row.old_logprobs for row in rows)), device=self.model.device
        )

    def _per_token(self, rows: Sequence[Row], values: Sequence[float]) -> torch.Tensor:
        lengths = torch.tensor([len(row.token_ids) for row in rows], device=self.model.device)
        return torch.tensor(values, device=self.model.device).repeat_interleave(lengths)

    def _metric_names(self) -> set[str]:
        """What is reported, known also to a process that had nothing to compute."""
        names = {"loss"}
        if isinstance(self.config, RLConfig):
            names |= {"entropy", "importance_ratio/mean"}
            names |= {f"clip_ratio/{part}_mean" for part in ("low", "high", "region", "dual")}
            names |= {"kl"} if self._reference is not None else set()
        return names

    @contextmanager
    def _all_adapters_learn(self) -> Iterator[None]:
        """Let every adapter of a role require gradients while the optimiser looks for them."""
        active = None if self.model.peft_model is None else self.model.peft_model.active_adapter
        for name in self.model.adapters:
            for key, weight in self.model.network.named_parameters():
                if f".{name}." in key and "lora_" in key:
                    weight.requires_grad_(True)
        yield
        if active is not None:
            self.model.peft_model.set_adapter(active)
