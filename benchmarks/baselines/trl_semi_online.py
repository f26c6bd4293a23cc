"""The baseline of `benchmarks/semi_online_trl.py`: semi-online RL as a subclass of TRL's `GRPOTrainer`.

TRL has no place for a history that is rewritten while it grows, for screenshots that leave it, or for
a reward per step, so sampling, rewards and advantages are written into the one method that may return
whole training rows. The prompt format, the matcher and the reward are ours, for both sides must play
the same game; everything else is what TRL and transformers do. Where there was a choice the faster one
was taken: pixels are prepared once per row and kept for the update, the pass for old log-probabilities
is left out as in TRL itself, and the head is applied to completion tokens only, which TRL does on GPUs.

Written for TRL 1.16; it overrides a private method.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trl.trainer.utils
from datasets import Dataset
from semi_online_workload import Probe, Setting
from transformers import AutoModelForImageTextToText, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from gui_agent.coordinates import ScreenGeometry
from gui_agent.formats.base import PromptFormat, Turn
from gui_agent.formats.registry import get_format
from gui_agent.matching import get_matcher
from gui_agent.policies.transformers_loading import load_processor
from gui_agent.policy import ImageBudget, ImagePart, Prompt
from trainers.rewards import ui_s1_step_reward
from trajectories.replay import ReplayTask

_CHUNKS = 4
"""Forward passes per optimiser step."""
_NEVER = -1e9
"""Added to the logit of a token that cannot be written."""


@dataclass(kw_only=True)
class StepRow:
    """One completion and what is known about it."""

    group: int
    episode: int
    step: int
    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    patches: torch.Tensor
    grids: torch.Tensor
    matched: bool = False
    reward: float = 0.0
    advantage: float = 0.0
    old_logprobs: Sequence[float] | None = None
    counts: bool = True


@dataclass(kw_only=True)
class Rollout:
    group: int
    task: ReplayTask
    history: list[Turn] = field(default_factory=list)
    patches_left: float = 0
    over: bool = False


def ui_s1_advantages(rows: Sequence[StepRow], *, gamma: float = 0.5, eps: float = 1e-6) -> list[float]:
    """Final rewards of siblings compared, plus discounted returns compared at equal steps."""
    by_episode: dict[tuple[int, int], list[int]] = defaultdict(list)
    by_step: dict[tuple[int, int], list[int]] = defaultdict(list)
    by_group: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_episode[row.group, row.episode].append(i)
        by_step[row.group, row.step].append(i)
    returns, final = [0.0] * len(rows), {}
    for key, members in by_episode.items():
        by_group[key[0]].append(key)
        members.sort(key=lambda i: rows[i].step)
        final[key] = rows[members[-1]].reward
        following = 0.0
        for i in reversed(members):
            returns[i] = following = rows[i].reward + (gamma * following if rows[i].matched else 0.0)

    def compared(values: Sequence[float]) -> list[float]:
        array = np.asarray(values)
        if len(array) < 2 or np.ptp(array) < 1e-6:
            return [0.0] * len(array)
        return ((array - array.mean()) / (array.std(ddof=1) + eps)).tolist()

    advantages = [0.0] * len(rows)
    for members in by_step.values():
        for i, value in zip(members, compared([returns[i] for i in members]), strict=True):
            advantages[i] += value
    for keys in by_group.values():
        for key, value in zip(keys, compared([final[key] for key in keys]), strict=True):
            for i in by_episode[key]:
                advantages[i] += value
    return advantages


class SemiOnlineGRPOTrainer(GRPOTrainer):
    """Samples roll-outs over recorded screens, one training row per step."""

    tasks: Sequence[ReplayTask]
    prompt_format: PromptFormat
    matcher_name: str
    patch_budget: int
    budget: ImageBudget
    num_rows = num_tokens = 0

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        # The sampler hands over each task `num_generations` times in a row.
        rollouts = [
            Rollout(
                group=i // self.num_generations,
                task=self.tasks[entry["task"]],
                patches_left=self.patch_budget if self.patch_budget >= 0 else float("inf"),
            )
            for i, entry in enumerate(inputs)
        ]
        rows: list[StepRow] = []
        for step in range(max(len(rollout.task.frames) for rollout in rollouts)):
            rows += self._take_step(rollouts, step)
        for row, advantage in zip(rows, ui_s1_advantages(rows), strict=True):
            row.advantage = advantage
        self.num_rows = len(rows)
        self.num_tokens = sum(len(row.prompt_ids) + len(row.completion_ids) for row in rows)
        return self.training_batch(rows)

    def _take_step(self, rollouts: list[Rollout], step: int) -> list[StepRow]:
        active = [i for i, r in enumerate(rollouts) if not r.over and step < len(r.task.frames)]
        if not active:
            return []
        prompts = []
        for i in active:
            task = rollouts[i].task
            screenshot = task.picture(task.frames[step])
            prompts.append(messages(self.prompt_format.prompt(task.goal, rollouts[i].history, screenshot)))
        prompt_ids, images, pixels = self._tokenize_prompts(prompts)
        completions, _ = self._generate_single_turn(prompt_ids, images, pixels, 1)
        grids = _tensor(pixels["image_grid_thw"]).split([len(shown) for shown in images])
        patches = _tensor(pixels["pixel_values"]).split([int(grid.prod(-1).sum()) for grid in grids])
        rows = []
        for k, i in enumerate(active):
            row = StepRow(
                group=rollouts[i].group,
                episode=i,
                step=step,
                prompt_ids=prompt_ids[k],
                completion_ids=completions[k],
                patches=patches[k],
                grids=grids[k],
            )
            self._judge(rollouts[i], row)
            rows.append(row)
        return rows

    def _judge(self, rollout: Rollout, row: StepRow) -> None:
        """Reward a step; go on with the own words, a patch, or not at all."""
        frame = rollout.task.frames[row.step]
        geometry = ScreenGeometry.of(frame.width_px, frame.height_px, self.budget)
        words = self._tokenizer.decode(row.completion_ids, skip_special_tokens=True)
        answer = self.prompt_format.parse(words, geometry)
        match = get_matcher(self.matcher_name).match(
            answer.action, frame.expert, frame.width_px, frame.height_px
        )
        row.matched = match.exact_match
        row.reward = ui_s1_step_reward(
            format_ok=answer.format_ok, type_match=match.type_match, exact_match=match.exact_match
        ).value
        if not match.exact_match:
            words = self.prompt_format.render(frame.expert.action, None, geometry)
            rollout.over = rollout.patches_left <= 0
            rollout.patches_left -= 1
        rollout.history.append(Turn(screenshot=rollout.task.picture(frame), response=words))

    def training_batch(self, rows: Sequence[StepRow]) -> dict[str, Any]:
        """Rows as the padded tensors that TRL's loss takes."""
        # TRL cuts the batch into equal chunks and would drop a remainder.
        filler = StepRow(**{**vars(rows[0]), "advantage": 0.0, "counts": False})
        rows = [*rows, *[filler] * (-len(rows) % _CHUNKS)]
        pad_id = self._tokenizer.pad_token_id
        prompt_ids = _padded([row.prompt_ids for row in rows], pad_id, left=True)
        completion_ids = _padded([row.completion_ids for row in rows], pad_id)
        completion_mask = _padded([[int(row.counts)] * len(row.completion_ids) for row in rows], 0)
        image_token_id = self.model.config.image_token_id
        batch: dict[str, Any] = {
            "prompt_ids": prompt_ids,
            "prompt_mask": _padded([[1] * len(row.prompt_ids) for row in rows], 0, left=True),
            "completion_ids": completion_ids,
            "completion_mask": completion_mask,
            "advantages": torch.tensor([row.advantage for row in rows], dtype=torch.float32),
            "num_items_in_batch": completion_mask.sum(),
            "pixel_values": torch.cat([row.patches for row in rows]),
            "image_grid_thw": torch.cat([row.grids for row in rows]),
            "num_images": [len(row.grids) for row in rows],
            "mm_token_type_ids": (torch.cat([prompt_ids, completion_ids], 1) == image_token_id).long(),
        }
        if rows[0].old_logprobs is not None:
            batch["old_per_token_logps"] = _padded([row.old_logprobs or [] for row in rows], 0.0)
        return batch


def messages(prompt: Prompt) -> list[dict[str, Any]]:
    """A prompt in the words of chat templates."""
    return [
        {
            "role": message.role.value,
            "content": [
                {"type": "image", "image": part.screenshot.image()}
                if isinstance(part, ImagePart)
                else {"type": "text", "text": part.text}
                for part in message.parts
            ],
        }
        for message in prompt
    ]


def build_trainer(
    model_dir: Path,
    tasks: Sequence[ReplayTask],
    setting: Setting,
    *,
    allowed_V: torch.Tensor,
    budget: ImageBudget,
    matcher_name: str,
    output_dir: Path,
) -> SemiOnlineGRPOTrainer:
    """A trainer over `tasks` with the same weights, vocabulary and settings as our side."""
    # The name decides which positions reach the head; the kernel behind it stays the one for CPUs.
    trl.trainer.utils._use_triton = lambda device: True
    network = AutoModelForImageTextToText.from_pretrained(
        model_dir, dtype=torch.float32, attn_implementation="sdpa"
    )
    network.lm_head.bias = torch.nn.Parameter(torch.where(allowed_V, 0.0, _NEVER), requires_grad=False)
    if setting.freeze_vision:
        network.model.visual.requires_grad_(False)
    rows_per_generation = setting.groups * setting.siblings
    arguments = GRPOConfig(
        output_dir=str(output_dir), per_device_train_batch_size=rows_per_generation // _CHUNKS,
        gradient_accumulation_steps=_CHUNKS, steps_per_generation=_CHUNKS, num_generations=setting.siblings,
        max_completion_length=setting.max_new_tokens, max_steps=1 + setting.iterations, learning_rate=1e-6,
        lr_scheduler_type="constant", weight_decay=0.01, beta=0.0, temperature=1.0, epsilon=0.2, delta=3.0,
        loss_type="dapo", bf16=False, use_cpu=True, gradient_checkpointing=False, save_strategy="no",
        report_to="none", logging_steps=1, disable_tqdm=True, remove_unused_columns=False, seed=setting.seed,
    )  # fmt: skip
    stub = [{"role": "user", "content": ""}]
    trainer = SemiOnlineGRPOTrainer(
        model=network,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": stub, "task": i} for i in range(len(tasks))]),
        processing_class=load_processor(model_dir),
    )
    trainer.tasks, trainer.patch_budget, trainer.budget = tasks, setting.patch_budget, budget
    trainer.matcher_name = matcher_name
    trainer.prompt_format = get_format(setting.format, image_budget=budget)
    return trainer


def train(trainer: SemiOnlineGRPOTrainer, probe: Probe) -> None:
    """Train to the end; the probe is marked after every optimiser step."""
    trainer.add_callback(_EveryStep(lambda: probe.mark(rows=trainer.num_rows, tokens=trainer.num_tokens)))
    trainer.train()


class _EveryStep(TrainerCallback):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._call()


def _tensor(values: Any) -> torch.Tensor:
    return values if isinstance(values, torch.Tensor) else torch.from_numpy(np.asarray(values))


def _padded(rows: Sequence[Sequence[float]], value: float, *, left: bool = False) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row) for row in rows],
        batch_first=True,
        padding_value=value,
        padding_side="left" if left else "right",
    )
