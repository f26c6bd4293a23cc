"""What both sides of `semi_online_trl.py` share: recordings, weights, settings, and a probe that counts."""

from __future__ import annotations

import random
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout_workload import screen

from gui_agent.actions import Action, Click, Finish
from gui_agent.coordinates import ScreenGeometry
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.formats.base import Turn
from gui_agent.formats.registry import get_format
from gui_agent.policies.transformers_loading import load_processor
from gui_agent.policy import ImageBudget, TextPart
from trainers.choices import OldLogprobs
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft import train_sft
from trainers.sft_config import SFTConfig
from trainers.tiny_model import Family, TinyModelConfig, build_tiny_model
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

WIDTH_PX, HEIGHT_PX = 112, 224
_BUDGET = ImageBudget(factor=28, min_pixels=4 * 28**2, max_pixels=1024 * 28**2)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is compared.

    Attributes:
        family, format, freeze_vision: of the model.
        groups, siblings, steps: trajectories per iteration, roll-outs of each, screens in each.
        iterations: measured ones; one more comes before.
        patch_budget: -1 is without limit, so that every roll-out has `steps` rows.
        max_new_tokens: of an answer.
        warm_start_steps: of imitation, so that answers have the length of real ones.
    """

    family: Family = "qwen2_5_vl"
    format: str = "compact"
    freeze_vision: bool = True
    groups: int = 4
    siblings: int = 8
    steps: int = 4
    iterations: int = 2
    patch_budget: int = -1
    max_new_tokens: int = 32
    warm_start_steps: int = 40
    seed: int = 0


def build(folder: Path, setting: Setting) -> None:
    """Write recordings and a model that has seen a little of them."""
    records = [_recording(number, setting) for number in range(setting.groups * (1 + setting.iterations))]
    TrajectoryStore.create(folder / "experts").append(records)
    tiny = TinyModelConfig(family=setting.family)
    random_model = build_tiny_model(tiny, _corpus(records, setting), folder / "random", seed=setting.seed)
    train_sft(
        SFTConfig(
            model=str(random_model), data=folder / "experts", output_dir=folder / "sft",
            format=setting.format, device="cpu", learning_rate=3e-3, max_steps=setting.warm_start_steps,
            rows_per_step=8, save_steps=0, logging_steps=1000,
        )
    ).model_dir.rename(folder / "model")  # fmt: skip


def training_config(folder: Path, setting: Setting, output_dir: Path) -> SemiOnlineConfig:
    """One optimiser step per iteration, on every row that was sampled; no KL."""
    return SemiOnlineConfig(
        model=str(folder / "model"), data=folder / "experts", output_dir=output_dir, device="cpu",
        format=setting.format, num_generations=setting.siblings, groups_per_update=setting.groups,
        max_updates=1 + setting.iterations, num_mini_batches=1, patch_budget=setting.patch_budget,
        max_completion_length=setting.max_new_tokens, freeze_vision=setting.freeze_vision, beta=0.0,
        filter_std=-1, old_logprobs=OldLogprobs.STALE, learning_rate=1e-6, eval_steps=1, save_steps=0,
        logging_steps=1000, seed=setting.seed,
    )  # fmt: skip


def answer_geometry() -> ScreenGeometry:
    return ScreenGeometry.of(WIDTH_PX, HEIGHT_PX, _BUDGET)


def _recording(number: int, setting: Setting) -> EpisodeRecord:
    rng = random.Random(f"{setting.seed}/{number}")
    shots = [screen(rng) for _ in range(setting.steps)]
    clicks = [Click(x=28 * rng.randrange(1, 4), y=56 * rng.randrange(1, 4)) for _ in shots[1:]]
    actions: list[Action] = [*clicks, Finish()]
    steps = tuple(
        Step(
            index=i, screenshot_sha256=shot.sha256, width_px=WIDTH_PX, height_px=HEIGHT_PX, requested=None,
            executed=action, expected=ExpertAction(action=action, thought="tap the red button"),
        )
        for i, (shot, action) in enumerate(zip(shots, actions, strict=True))
    )  # fmt: skip
    trajectory = Trajectory(
        episode_id=f"expert-{number}", task_id=f"task-{number}", template="tap", suite="drawn",
        goal=f"tap the red buttons of page {number}", steps=steps, stop=StopReason.FINISHED, split="train",
        outcome=Outcome(verdict=Verdict.SUCCESS),
    )  # fmt: skip
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})


def _corpus(records: list[EpisodeRecord], setting: Setting) -> list[str]:
    prompt_format = get_format(setting.format)
    texts = []
    for record in records:
        shot = next(iter(record.screenshots.values()))
        for step in record.trajectory.steps:
            assert step.expected is not None
            words = prompt_format.render(step.expected.action, step.expected.thought, answer_geometry())
            prompt = prompt_format.prompt(
                record.trajectory.goal, [Turn(screenshot=shot, response=words)], shot
            )
            texts += [part.text for message in prompt for part in message.parts if isinstance(part, TextPart)]
    return texts


class Probe:
    """Counts what one iteration costs: times, pictures cut into patches, pictures through the tower."""

    def __init__(self, model_dir: Path, visual: Any) -> None:
        """Watch the class of the checkpoint's image processor, and this vision tower."""
        self.iterations: list[dict[str, float]] = []
        self._preprocessed = self._encoded = 0
        self._count_preprocessing(type(load_processor(model_dir).image_processor))
        visual.register_forward_hook(self._count_encoding, with_kwargs=True)
        self.loaded_mib = peak_rss_mib()
        self._reset()

    def mark(self, *, rows: int = 0, tokens: int = 0) -> None:
        """An iteration with so many rows, and tokens in their prompts and answers, is over."""
        self.iterations.append(
            {
                "cpu_s": time.process_time() - self._cpu_s,
                "wall_s": time.perf_counter() - self._wall_s,
                "rows": rows,
                "tokens": tokens,
                "images_preprocessed": self._preprocessed,
                "images_encoded": self._encoded,
            }
        )
        self._reset()

    def _reset(self) -> None:
        self._preprocessed = self._encoded = 0
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    def _count_preprocessing(self, image_processor: Any) -> None:
        preprocess = image_processor.preprocess

        def counted(processor: Any, *arguments: Any, **options: Any) -> Any:
            features = preprocess(processor, *arguments, **options)
            self._preprocessed += len(features["image_grid_thw"])
            return features

        image_processor.preprocess = counted

    def _count_encoding(self, _: Any, arguments: tuple[Any, ...], options: dict[str, Any], __: Any) -> None:
        grids = options["grid_thw"] if "grid_thw" in options else arguments[1]
        self._encoded += len(grids)


def peak_rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
