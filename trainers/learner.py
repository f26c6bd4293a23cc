"""The learner: rows in, better weights out.

One update cuts its rows into mini-batches (one optimiser step each) and those into forward passes
within a token budget. The loss is the mean over all completion tokens of a mini-batch, across forward
passes and processes. Everything touches the model in the calling thread; share the policy's thread
(`TransformersPolicy.run`) where episodes are sampled in the same process.

Shapes: N completion tokens of a micro-batch, row after row.
"""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import Accelerator, DistributedType
from safetensors.torch import load_file, save_file
from transformers.utils.logging import disable_progress_bar

from gui_agent.agent_spec import AgentKind
from gui_agent.errors import ConfigError, DataError
from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_loading import (
    DEFAULT_ADAPTER,
    LoraSettings,
    load_model,
    save_adapter,
)
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_roles import ROLE_ADAPTERS, adapter_of_role, write_roles_file
from gui_agent.policy import AgentRole
from trainers.adapter_reference import StartingAdapters
from trainers.batching import MiniBatch, TokenBudget, plan_mini_batches
from trainers.choices import OldLogprobs
from trainers.config import LearnerConfig
from trainers.forward import TokenLogprobs, token_logprobs
from trainers.metrics import Metrics, Stopwatch
from trainers.objectives import ObjectiveFn, TokenTargets, negative_log_likelihood, policy_gradient
from trainers.optimizer import WeightOptimizer
from trainers.rl_config import RLConfig
from trainers.rows import Row

MODEL_FOLDER: Final = "model"
_RNG: Final = "rng.safetensors"
_WHOLE_WEIGHTS: Final = frozenset({DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU})


@dataclass(slots=True)
class _Sums:
    """Sums over the tokens of one or more mini-batches on this process; means are taken at the end."""

    num_tokens: int = 0
    by_name: dict[str, torch.Tensor] = field(default_factory=dict)
    compared_tokens: int = 0
    difference: float = 0.0
    largest_difference: float = 0.0

    def add(self, sums: Mapping[str, torch.Tensor]) -> None:
        for name, value in sums.items():
            self.by_name[name] = self.by_name.get(name, 0.0) + value.detach().double()

    def compare(self, logprobs_N: torch.Tensor, sampled_N: torch.Tensor) -> None:
        difference_N = (logprobs_N.detach() - sampled_N).abs()
        self.compared_tokens += difference_N.numel()
        self.difference += float(difference_N.double().sum())
        self.largest_difference = max(self.largest_difference, float(difference_N.max()))


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
        self._starting: StartingAdapters | None = None
        self._reference = self._freeze_reference()
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
        sums = _Sums()
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
            **self._means(sums),
            **self._logprob_difference(sums),
            "rows": len(rows),
            "num_tokens": sum(row.num_tokens for row in rows),
        }

    def fit(self, mini_batch: MiniBatch, screenshots: Mapping[str, Screenshot]) -> Metrics:
        """One supervised optimiser step on rows nobody sampled."""
        sums = _Sums()
        metrics = self._step(
            mini_batch, self._share(mini_batch), screenshots, negative_log_likelihood, sums, old=None
        )
        self.rows_trained += mini_batch.num_rows
        return {**metrics, **self._means(sums), "rows": mini_batch.num_rows}

    def save(self, folder: Path) -> None:
        """Write weights (a Hugging Face folder, or adapters), optimiser and generators; on one process."""
        self._save_weights(folder / MODEL_FOLDER)
        self.optimizer.save(folder)
        states = {"torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state()
        save_file(states, str(folder / _RNG))

    def load(self, folder: Path, *, version: int) -> None:
        """Continue from what `save` wrote. The reference stays what it was.

        Raises:
            DataError: the folder holds other weights than this model has.
        """
        if self.model.adapters:
            self._load_adapters(folder / MODEL_FOLDER)
        else:
            self._load_weights(folder / MODEL_FOLDER)
        self.model.forget_features()
        self.optimizer.load(folder)
        states = load_file(str(folder / _RNG))
        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state(states["cuda"])
        self.version = version

    def export(self, folder: Path) -> None:
        """Write the finished model: a Hugging Face folder, an adapter merged into it.

        Adapters of several roles cannot be merged into one model; they are written as they are, beside the
        name of their base.
        """
        if len(self.model.adapters) > 1:
            self._save_weights(folder)
            write_roles_file(folder, self.model.network.name_or_path, self.model.adapters)
            return
        network = self.model.network
        if self.model.adapters:
            network = copy.deepcopy(self.model.peft_model).merge_and_unload()
        network.save_pretrained(folder)
        self.model.processor.save_pretrained(folder)

    def _share(self, mini_batch: MiniBatch) -> tuple[tuple[Row, ...], ...]:
        return mini_batch.share(self.accelerator.process_index, self.accelerator.num_processes)

    def _step(
        self,
        mini_batch: MiniBatch,
        share: Sequence[tuple[Row, ...]],
        screenshots: Mapping[str, Screenshot],
        objective: ObjectiveFn,
        sums: _Sums,
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
        sums: _Sums,
    ) -> list[list[torch.Tensor]]:
        """Log-probabilities below the line of the ratio, for each micro-batch of each mini-batch."""
        with self._stopwatch.measure("old_logp"):
            return [[self._old_of(rows, screenshots, sums) for rows in share] for share in shares]

    def _old_of(
        self, rows: tuple[Row, ...], screenshots: Mapping[str, Screenshot], sums: _Sums
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

    def _compare(self, rows: Sequence[Row], logprobs_N: torch.Tensor, sums: _Sums) -> None:
        """Sampler against trainer, for rows that the present weights sampled."""
        current_N = self._per_token(rows, [float(row.policy_version == self.version) for row in rows]) > 0
        if bool(current_N.any()):
            sums.compare(logprobs_N[current_N], self._sampled(rows)[current_N])

    def _reference_logprobs(
        self, rows: tuple[Row, ...], screenshots: Mapping[str, Screenshot]
    ) -> torch.Tensor | None:
        if self._reference is None:
            return None
        with torch.no_grad(), self._stopwatch.measure("reference"), self._starting_adapters():
            result = self._logprobs(rows, screenshots, model=self._reference)
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

    def _means(self, sums: _Sums) -> Metrics:
        """Token means over all processes."""
        names = sorted(self._all_names(sums))
        local = [sums.by_name.get(name, torch.zeros(())) for name in names]
        total = self._reduce(torch.stack([torch.as_tensor(v, dtype=torch.float64).cpu() for v in local]))
        return {name: float(v) / sums.num_tokens for name, v in zip(names, total.tolist(), strict=True)}

    def _all_names(self, sums: _Sums) -> set[str]:
        """What is reported, known also to a process that had nothing to compute."""
        names = {"loss", *sums.by_name}
        if isinstance(self.config, RLConfig):
            names |= {"entropy", "importance_ratio/mean"}
            names |= {f"clip_ratio/{part}_mean" for part in ("low", "high", "region", "dual")}
            names |= {"kl"} if self._reference is not None else set()
        return names

    def _logprob_difference(self, sums: _Sums) -> Metrics:
        total = self._reduce(
            torch.tensor([sums.difference, float(sums.compared_tokens)], dtype=torch.float64)
        )
        largest = torch.tensor([sums.largest_difference], dtype=torch.float64)
        if self.accelerator.num_processes > 1:
            largest = self.accelerator.gather(largest.to(self.accelerator.device))
        difference, compared = total.tolist()
        if not compared:
            return {}
        return {
            "sampling/sampling_logp_difference/mean": difference / compared,
            "sampling/sampling_logp_difference/max": float(largest.max()),
        }

    def _reduce(self, values: torch.Tensor) -> torch.Tensor:
        if self.accelerator.num_processes == 1:
            return values
        return self.accelerator.reduce(values.to(self.accelerator.device), reduction="sum").cpu()

    def _freeze_reference(self) -> VisionLanguageModel | None:
        """The starting weights: the model with its adapters as they begin, or a frozen copy of all of it."""
        if not isinstance(self.config, RLConfig) or self.config.beta == 0:
            return None
        if self.model.adapters:
            self._starting = StartingAdapters(self.model)
            return self.model
        reference = copy.copy(self.model)
        if self.model.vision_frozen:
            memo = {id(self.model.network.model.visual): self.model.network.model.visual}
            reference.network = copy.deepcopy(self.model.network, memo)
            decoder: Any = reference.network.model.language_model
            decoder.requires_grad_(False)
            reference.network.get_output_embeddings().requires_grad_(False)
        else:
            reference.network = copy.deepcopy(self.model.network).requires_grad_(False)
        reference.network.eval()
        return reference

    def _starting_adapters(self) -> AbstractContextManager[None]:
        return nullcontext() if self._starting is None else self._starting.in_place()

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

    def _save_weights(self, folder: Path) -> None:
        if self.model.adapters:
            for name in self.model.adapters:
                save_adapter(self.model, folder, adapter=name)
        else:
            self.model.network.save_pretrained(folder)
        self.model.processor.save_pretrained(folder)

    def _load_weights(self, folder: Path) -> None:
        network = self.model.network
        loaded = type(network).from_pretrained(folder, dtype=network.dtype, use_safetensors=True)
        try:
            network.load_state_dict(loaded.state_dict())
        except RuntimeError as error:
            raise DataError(
                f"{folder} holds other weights than the model that was loaded: {error}"
            ) from error

    def _load_adapters(self, folder: Path) -> None:
        from peft import set_peft_model_state_dict

        for name in self.model.adapters:
            path = folder / "adapter_model.safetensors"
            if name != "default":
                path = folder / name / path.name
            result = set_peft_model_state_dict(self.model.peft_model, load_file(str(path)), adapter_name=name)
            if result.unexpected_keys:
                raise DataError(f"{path} holds weights this adapter has not: {result.unexpected_keys[:3]}")


def keep_quiet_without_terminal() -> None:
    """Leave out the progress bars of loading and saving where nobody looks at them."""
    if not sys.stderr.isatty():
        disable_progress_bar()


def token_budget(config: LearnerConfig) -> TokenBudget:
    """How much goes into one forward pass."""
    return TokenBudget(
        max_tokens=config.max_tokens_per_batch,
        share_prefixes=config.share_prefixes,
        gather_screens=config.share_prefixes or not config.freeze_vision,
    )


def build_accelerator(config: LearnerConfig) -> Accelerator:
    """The processes that share this training, as `accelerate launch` started them.

    Raises:
        ConfigError: they are to shard the weights, which this learner does not do.
    """
    accelerator = Accelerator(cpu=config.device == "cpu")
    if accelerator.distributed_type not in _WHOLE_WEIGHTS:
        raise ConfigError(
            f"accelerate was launched with {accelerator.distributed_type.value}; every process holds all "
            "weights here, so launch with --multi_gpu or --cpu, and use lora_rank where memory is short"
        )
    return accelerator


def check_frozen_roles(config: LearnerConfig, model: VisionLanguageModel) -> None:
    """Refuse to freeze a role whose weights are the other's too.

    Raises:
        ConfigError: so it is.
    """
    foreign = config.foreign_roles if isinstance(config, RLConfig) else frozenset()
    own = sorted(role.value for role in config.frozen_roles - foreign)
    if own and not adapter_of_role(model.adapters):
        raise ConfigError(
            f"the {own[0]} is to stay as it is, but planner and actor share all weights of {config.model}; "
            "set lora_rank, so that each has an adapter of its own"
        )


def load_learner_model(
    config: LearnerConfig,
    *,
    accelerator: Accelerator | None = None,
    adapters: tuple[str, ...] | None = None,
) -> VisionLanguageModel:
    """Load the checkpoint that `config.model` names, ready to learn.

    Args:
        config: names the model, its adapters' rank and the kind of agent.
        accelerator: says where it lives, if `config` does not.
        adapters: names of those to attach; None gives the roles of a hierarchical agent one each.

    Raises:
        ConfigError: there is none, or bfloat16 is asked for where it cannot be computed.
    """
    foreign = isinstance(config, RLConfig) and bool(config.foreign_roles)
    two_roles = config.agent is AgentKind.HIERARCHICAL and not foreign
    by_kind = ROLE_ADAPTERS if two_roles else (DEFAULT_ADAPTER,)
    keep_quiet_without_terminal()
    if not config.model:
        raise ConfigError("model is empty; set it to a checkpoint folder or a name on the hub")
    device = config.device or str((accelerator or build_accelerator(config)).device)
    torch.manual_seed(config.seed)  # adapters begin at random, and alike in all processes
    lora = LoraSettings(rank=config.lora_rank, alpha=config.lora_alpha) if config.lora_rank else None
    model = load_model(
        config.model,
        dtype="bfloat16" if config.bf16 else "float32",
        device=device,
        lora=lora,
        adapters=adapters or by_kind,
        vision_frozen=config.freeze_vision,
        gradient_checkpointing=config.gradient_checkpointing,
    )
    if adapters is None and config.agent is AgentKind.FLAT and adapter_of_role(model.adapters):
        raise ConfigError(
            f"{config.model} holds the adapters of a planner and an actor; train it with --agent "
            "hierarchical, or start from its base"
        )
    return model
