"""Grounding: teaching a model where things are on a screen, from labelled screens.

A pretrained model needs only answers ("tap settings" -> "settings click 28 60"). A model of random
weights learns nothing from these within minutes, so it goes through dense stages first (see
`trainers.grounding.stages`); from nothing to a model that points takes a few CPU minutes.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress

from gui_agent.actions import Click
from gui_agent.coordinates import ScreenGeometry
from gui_agent.errors import ConfigError, DataError, TrainingError
from gui_agent.formats.base import PromptFormat
from gui_agent.formats.registry import get_format
from gui_agent.model_settings import ModelSettings
from gui_agent.observation import LabelledScreen
from gui_agent.policies.transformers_loading import load_model
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_sampling import SamplingRow, sample_rows
from gui_agent.policy import SamplingParams
from trainers.grounding.config import DenseStages, GroundingConfig
from trainers.grounding.heads import PointingHeads
from trainers.grounding.labels import pointable
from trainers.grounding.stages import CellLabels, ScreenPool, StageLoss
from trainers.grounding.text import TurnWriter
from trainers.metrics import MetricsLog

_ADAM_BETAS = (0.9, 0.98)
_DECAY_SHARE = 0.3
_LAST_RATE_SHARE = 0.1
_EVAL_BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingReport:
    """What grounding achieved.

    Attributes:
        model_dir: the trained model, a folder in Hugging Face format.
        accuracy: share of held-out questions whose answer clicks inside the element, in [0, 1]; None
            if there were none.
        num_questions: how many were asked.
        cpu_s: CPU seconds of this process spent, testing included.
    """

    model_dir: Path
    accuracy: float | None
    num_questions: int
    cpu_s: float


def train_grounding(
    config: GroundingConfig,
    screens: Sequence[LabelledScreen],
    held_out: Sequence[LabelledScreen],
    format_name: str,
    *,
    show_progress: bool = True,
) -> GroundingReport:
    """Teach a model where things are, and save it under `output_dir/model`.

    Args:
        config: how.
        screens: to learn from.
        held_out: to test on.
        format_name: prompt format in which the agent will be asked, options included; `compact` for tiny
            models.
        show_progress: draw a progress bar on a terminal, elsewhere a line for every one of metrics.

    Raises:
        ConfigError: a setting is impossible, or does not fit the model or the prompt format.
        DataError: no screen has anything to point at.
        TrainingError: a gradient is not finite.
    """
    started = time.process_time()
    torch.manual_seed(config.seed)
    model = load_model(
        config.model,
        dtype=config.dtype,
        device=config.device,
        image_max_pixels=config.image_max_pixels,
        vision_frozen=False,
    )
    folder = config.output_dir / "model"
    prompt_format = get_format(format_name, image_budget=model.images.budget)
    questions = config.num_eval_questions if held_out else 0
    accuracy = None
    with closing(MetricsLog(config.output_dir / "metrics.jsonl")) as metrics:
        metrics.truncate(0)
        drawn = show_progress and sys.stdout.isatty()
        told = show_progress and not drawn
        trainer = _Trainer(config, model, screens, held_out, prompt_format, metrics, told=told)
        with Progress(disable=not drawn, transient=True) as progress:
            trainer.run(progress)
        model.network.save_pretrained(folder)
        model.processor.save_pretrained(folder)
        shown = model.images.budget.max_pixels
        # Of no kind of agent: whoever acts points, a flat one or an actor.
        ModelSettings(format=format_name, image_max_pixels=shown).write(folder)
        if questions:
            accuracy = pointing_accuracy(
                model, held_out, prompt_format, num_questions=questions, goal=config.goal, seed=config.seed
            )
        cpu_s = time.process_time() - started
        metrics.append({"stage": "end", "pointing_accuracy": accuracy, "time/cpu_s": round(cpu_s, 2)})
    return GroundingReport(model_dir=folder, accuracy=accuracy, num_questions=questions, cpu_s=cpu_s)


def pointing_accuracy(
    model: VisionLanguageModel,
    screens: Sequence[LabelledScreen],
    prompt_format: PromptFormat,
    *,
    num_questions: int,
    goal: str = "tap {name}",
    seed: int = 0,
    temperature: float = 0.0,
) -> float:
    """The share of questions whose answer clicks inside the element's box.

    Args:
        model: sampled from exactly as an agent would.
        screens: drawn from with replacement; those without a pointable element are passed over.
        prompt_format: of questions and answers.
        num_questions: at least 1.
        goal: the question, with `{name}`.
        seed: of the questions and of sampling.
        temperature: 0 takes the most likely answer.
    """
    rng = random.Random(f"pointing/{seed}")
    usable = [screen for screen in screens if pointable(screen.elements)]
    asked = []
    for _ in range(num_questions):
        screen = rng.choice(usable)
        asked.append((screen, rng.choice(pointable(screen.elements))))
    params = SamplingParams(temperature=temperature, max_new_tokens=24)
    hits = 0
    for start in range(0, len(asked), _EVAL_BATCH):
        chunk = asked[start : start + _EVAL_BATCH]
        rows = [
            SamplingRow(
                prompt=model.prompts.encode(
                    prompt_format.prompt(goal.format(name=element.name), (), screen.screenshot)
                ),
                params=params,
                noise_seed=rng.getrandbits(62),
            )
            for screen, element in chunk
        ]
        for (screen, element), tokens in zip(chunk, sample_rows(model, rows), strict=True):
            geometry = ScreenGeometry.of(
                screen.screenshot.width_px, screen.screenshot.height_px, model.images.budget
            )
            text = model.prompts.decode(tuple(tokens.token_ids))
            action = prompt_format.parse(text, geometry).action
            hits += isinstance(action, Click) and element.box.contains(action.x, action.y)
    return hits / num_questions


class _Trainer:
    """The stages of one run, one after the other."""

    def __init__(
        self,
        config: GroundingConfig,
        model: VisionLanguageModel,
        screens: Sequence[LabelledScreen],
        held_out: Sequence[LabelledScreen],
        prompt_format: PromptFormat,
        metrics: MetricsLog,
        *,
        told: bool,
    ) -> None:
        if not screens:
            raise DataError("no labelled screens to learn from; draw some first")
        self._config = config
        self._model = model
        example = screens[0].screenshot
        self._writer = TurnWriter(model, prompt_format, config.goal, example)
        self._pool = ScreenPool(model, screens, self._writer, config)
        self._test = ScreenPool(model, held_out, self._writer, config) if held_out else None
        self._rng = random.Random(f"grounding/{config.seed}")
        self._order: list[int] = []
        self._metrics = metrics
        self._told = told

    def run(self, progress: Progress) -> None:
        """All stages."""
        network = self._model.network
        network.train()
        if self._config.dense is not None:
            self._run_dense(self._config.dense, progress)
        self._stage(
            progress,
            "answer",
            self._config.answer_steps,
            self._config.answer_screens,
            list(network.parameters()),
            lambda pool, indices, rng: pool.answer_loss(indices, rng),
            rate_share=1.0 if self._config.dense is None else self._config.dense.answer_rate_share,
        )
        self._model.forget_features()

    def _run_dense(self, dense: DenseStages, progress: Progress) -> None:
        network, language = self._model.network, self._model.network.model.language_model
        heads = self._heads()
        names = self._pool.names
        labels = {
            id(pool): CellLabels.of(
                pool, names, heads, merge_size=self._model.merge_size, min_cover=dense.min_cover
            )
            for pool in (self._pool, self._test)
            if pool is not None
        }
        embedding = network.get_input_embeddings()
        self._stage(
            progress,
            "vision",
            dense.vision_steps,
            dense.vision_screens,
            [*network.model.visual.parameters(), *heads.parameters(), *embedding.parameters()],
            lambda pool, indices, _: pool.vision_loss(indices, heads, labels[id(pool)]),
        )
        self._pool.remember_features()
        if self._test is not None:
            self._test.remember_features()
        self._stage(
            progress,
            "noun",
            dense.noun_steps,
            dense.noun_screens,
            [*language.parameters(), *heads.parameters()],
            lambda pool, indices, rng: pool.noun_loss(indices, heads, rng),
        )
        self._stage(
            progress,
            "lookup",
            dense.lookup_steps,
            dense.lookup_screens,
            list(language.parameters()),
            lambda pool, indices, rng: pool.lookup_loss(indices, rng, dense.lookup_share),
        )
        self._pool.forget_features()
        if self._test is not None:
            self._test.forget_features()

    def _heads(self) -> PointingHeads:
        sizes = {(s.screenshot.width_px, s.screenshot.height_px) for s in self._pool.screens}
        if len(sizes) > 1:
            raise ConfigError(
                f"dense grounding needs screens of one size, but there are {sorted(sizes)}; "
                "set dense to none, or draw them on one display"
            )
        geometry = self._writer.geometry(self._pool.screens[0].screenshot)
        heads = PointingHeads(
            self._model.network.get_input_embeddings(),
            self._writer.coordinate_tokens(geometry),
            [self._writer.name_tokens(name) for name in self._pool.names],
            nothing_token=int(self._model.tokenizer.convert_tokens_to_ids("<|vision_pad|>")),
        )
        return heads.to(self._model.device)

    def _stage(
        self,
        progress: Progress,
        name: str,
        num_steps: int,
        num_screens: int,
        parameters: Sequence[torch.nn.Parameter],
        loss_of: Callable[[ScreenPool, Sequence[int], random.Random], StageLoss],
        *,
        rate_share: float = 1.0,
    ) -> None:
        if not num_steps:
            return
        config, started = self._config, time.process_time()
        optimizer = _optimizer(parameters, config)
        task = progress.add_task(f"grounding: {name}", total=num_steps)
        for step in range(1, num_steps + 1):
            rate = config.learning_rate * rate_share * _rate_at(step, num_steps, config.warmup_steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            result = loss_of(self._pool, self._next_screens(num_screens), self._rng)
            result.loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
            if not torch.isfinite(norm):  # one step with it, and every weight is NaN
                raise TrainingError(
                    f"grounding stage {name!r}, step {step} of {num_steps}: the gradient is not finite (loss "
                    f"{result.loss.item():g}); lower learning_rate (now {config.learning_rate:g}), or use "
                    f"float32 (dtype is {config.dtype})"
                )
            optimizer.step()
            self._model.network.zero_grad(set_to_none=True)
            optimizer.zero_grad(set_to_none=True)
            progress.advance(task)
            if step % config.log_every == 0 or step == num_steps:
                line = {"stage": name, "step": step, "loss": result.loss.item(), "grad_norm": norm.item()}
                line |= {f"train/{key}": round(value, 4) for key, value in result.hits.items()}
                line |= self._held_out_hits(loss_of, num_screens)
                if self._told:
                    print(f"grounding, {name} {step} of {num_steps}: loss {line['loss']:.4g}", flush=True)
                self._metrics.append(
                    {**line, "learning_rate": rate, "time/cpu_s": round(time.process_time() - started, 2)}
                )
        progress.remove_task(task)

    @torch.no_grad()
    def _held_out_hits(
        self, loss_of: Callable[[ScreenPool, Sequence[int], random.Random], StageLoss], num_screens: int
    ) -> dict[str, float]:
        if self._test is None:
            return {}
        indices = range(min(2 * num_screens, len(self._test)))
        result = loss_of(self._test, indices, random.Random("held out"))
        return {f"held_out/{key}": round(value, 4) for key, value in result.hits.items()}

    def _next_screens(self, count: int) -> list[int]:
        """Indices of screens, every one once before any comes twice."""
        while len(self._order) < count:
            fresh = list(range(len(self._pool)))
            self._rng.shuffle(fresh)
            self._order = fresh + self._order
        return [self._order.pop() for _ in range(count)]


def _optimizer(parameters: Sequence[torch.nn.Parameter], config: GroundingConfig) -> torch.optim.Optimizer:
    matrices = [one for one in parameters if one.ndim >= 2]
    vectors = [one for one in parameters if one.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=config.learning_rate, betas=_ADAM_BETAS, fused=True
    )


def _rate_at(step: int, num_steps: int, warmup_steps: int) -> float:
    """Up over the warm-up, flat, then down over the last part of a stage; step counts from 1."""
    left = (num_steps - step + 1) / (num_steps * _DECAY_SHARE)
    return min(1.0, step / warmup_steps) * min(1.0, max(_LAST_RATE_SHARE, left))
