"""One whole semi-online iteration at full size, on weights that mean nothing.

    python -m trainers.gpu_smoke                      a 3B-shaped model on the first GPU
    python -m trainers.gpu_smoke --tiny --device cpu  the same code, small

Builds a Qwen2.5-VL of the shape of the 3B checkpoint (or a tiny one) from its configuration alone,
attaches LoRA, replays synthetic recordings with phone-size screenshots through the same loop that
trains, and prints memory and times as JSON. What it shows is that everything fits and runs; rewards of
a random model say nothing, so advantages are set to plus and minus one.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import accelerate
import torch
import transformers
from peft import get_peft_model
from PIL import Image, ImageDraw
from transformers import AutoConfig, AutoModelForImageTextToText

from gui_agent.actions import Click
from gui_agent.device import ExpertAction, Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.observation import Box, Screenshot
from gui_agent.policies.transformers_loading import LoraSettings, load_processor
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_placement import AUTO, place
from gui_agent.policy import ImageBudget
from trainers.choices import OnExhausted
from trainers.credit import EstimatorCredit, ScoredGroup
from trainers.learner_model import keep_quiet_without_terminal
from trainers.loop import Evaluator, TimedPolicy
from trainers.metrics import read_metrics
from trainers.rows import Row
from trainers.semi_online import replay_groups, replay_tasks
from trainers.semi_online_config import SemiOnlineConfig
from trainers.tiny_model import TinyModelConfig, build_tiny_model
from trainers.training import Training
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

_TEXT_3B = {
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "layer_types": None,  # as many as there are layers, all alike
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 128000,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    "initializer_range": 0.02,
}
_VISION_3B = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 2048,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "initializer_range": 0.02,
}
_GIB = 2**30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the smoke test is.

    Attributes:
        tiny: a model of some ten thousand weights in place of a 3B-shaped one.
        width_px, height_px: of the screenshots.
        num_steps: of each recording; two screenshots are in a prompt from the second on.
        num_generations: siblings.
        max_new_tokens: per response.
        format: prompt format.
    """

    tiny: bool
    width_px: int = 1080
    height_px: int = 2400
    num_steps: int = 3
    num_generations: int = 4
    max_new_tokens: int = 64
    format: str = "ui_s1"

    @classmethod
    def smallest(cls) -> Size:
        """For a CPU."""
        return cls(
            tiny=True,
            width_px=56,
            height_px=112,
            num_steps=2,
            num_generations=2,
            max_new_tokens=6,
            format="compact",
        )


class _AlternatingCredit(EstimatorCredit):
    """Advantages of plus and minus one, so that there is a gradient whatever was sampled."""

    def rows(self, groups: Sequence[ScoredGroup], *, update: int) -> list[Row]:
        """The rows of the estimator with other advantages."""
        rows = super().rows(groups, update=update)
        return [dataclasses.replace(row, advantage=(-1.0) ** i) for i, row in enumerate(rows)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the iteration and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m trainers.gpu_smoke")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and small screenshots")
    parser.add_argument("--device", default="cuda:0", help="where to compute (default: cuda:0)")
    parser.add_argument("--updates", type=int, default=1, help="iterations to run (default: 1)")
    options = parser.parse_args(arguments)
    try:
        place(options.device, AUTO)
    except ConfigError as error:
        parser.error(str(error))
    keep_quiet_without_terminal()
    size = Size.smallest() if options.tiny else Size(tiny=False)
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(smoke(Path(folder), size, device=options.device, updates=options.updates))
    print(json.dumps(report, indent=2))
    return 0


async def smoke(folder: Path, size: Size, *, device: str, updates: int = 1) -> dict[str, Any]:
    """Build, train and measure.

    Args:
        folder: an empty folder for recordings, metrics and checkpoints.
        size: how large.
        device: `cpu` or `cuda:0`.
        updates: iterations.

    Returns:
        Versions, sizes, seconds and peak memory, JSON-ready.
    """
    config = SemiOnlineConfig(
        model="random",
        data=folder / "recordings",
        output_dir=folder / "run",
        format=size.format,
        device=device,
        bf16=device != "cpu",
        gradient_checkpointing=True,
        lora_rank=16,
        learning_rate=1e-5,
        beta=1e-4,
        num_generations=size.num_generations,
        groups_per_update=2,
        num_mini_batches=2,
        max_updates=updates,
        max_completion_length=size.max_new_tokens,
        max_batch_size=8,
        filter_std=-1,
        on_exhausted=OnExhausted.TRAIN_ON_REST,
        eval_steps=1,
        logging_steps=updates + 1,
    )
    TrajectoryStore.create(config.data).append([_recording(number, size) for number in range(2)])
    model = _build(folder / "tiny", config, size)
    training = Training.of(model, config)
    source = replay_groups(config, replay_tasks(config), training)
    peaks: list[float] = []
    result = await training.run(
        source, _AlternatingCredit(config), evaluator_for=lambda policy: _memory_probe(policy, peaks)
    )
    lines = read_metrics(result.metrics_path)
    network = model.network
    return {
        "device": torch.cuda.get_device_name(device) if device != "cpu" else platform.processor() or "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "weights": sum(weight.numel() for weight in network.parameters()),
        "weights_that_learn": training.learner.optimizer.num_weights,
        "screenshot_px": [size.width_px, size.height_px],
        "peak_memory_gib": round(max(peaks), 2),
        "updates": lines,
    }


def _memory_probe(policy: TimedPolicy, peaks: list[float]) -> Evaluator:
    """An evaluation hook that notes the peak of memory before checkpoints are written."""

    async def probe(update: int) -> dict[str, float]:
        device = policy.model.device
        peaks.append(torch.cuda.max_memory_allocated(device) / _GIB if device.type == "cuda" else 0.0)
        return {}

    return probe


def _build(folder: Path, config: SemiOnlineConfig, size: Size) -> VisionLanguageModel:
    dtype = torch.bfloat16 if config.bf16 else torch.float32
    network = random_network(folder, tiny=size.tiny, device=config.device, dtype=dtype)
    network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    lora = LoraSettings(rank=config.adapter_rank, alpha=config.lora_alpha)
    return VisionLanguageModel(
        network,
        load_processor(folder),
        peft_model=get_peft_model(network, lora.peft_config()),
        image_max_pixels=ImageBudget().max_pixels,
    )


def random_network(folder: Path, *, tiny: bool, device: str, dtype: torch.dtype) -> Any:
    """A network from its configuration alone; the folder gets the tokenizer and processor of a tiny one."""
    smallest = TinyModelConfig(
        family="qwen2_5_vl",
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_key_value_heads=1,
        mlp_size=64,
        vision_hidden_size=16,
        vision_depth=1,
        vision_heads=1,
        vision_mlp_size=32,
    )
    build_tiny_model(smallest, ["open the settings and turn on wi-fi"], folder, seed=0)
    shape = AutoConfig.from_pretrained(folder)
    if not tiny:
        text, vision = shape.text_config.to_dict(), shape.vision_config.to_dict()
        shape = type(shape).from_dict(
            {**shape.to_dict(), "text_config": text | _TEXT_3B, "vision_config": vision | _VISION_3B}
        )
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForImageTextToText.from_config(shape, dtype=dtype)


def _recording(number: int, size: Size) -> EpisodeRecord:
    """A few synthetic screens; on each one, the expert taps a rectangle."""
    shots, steps = [], []
    for index in range(size.num_steps):
        image = Image.new("RGB", (size.width_px, size.height_px), (245, 245, 250 - 20 * number))
        left, top = size.width_px // 8 * (1 + index), size.height_px // 8 * (1 + number)
        box = Box(left=left, top=top, right=left + size.width_px // 4, bottom=top + size.height_px // 10)
        drawing = ImageDraw.Draw(image)
        drawing.rectangle((box.left, box.top, box.right, box.bottom), fill=(40, 90, 200))
        for row in range(0, size.height_px, max(8, size.height_px // 40)):
            drawing.line((0, row, size.width_px, row), fill=(200, 200, 210))
        shots.append(Screenshot.from_image(image))
        action = Click(x=box.center[0], y=box.center[1])
        steps.append(
            Step(
                index=index,
                screenshot_sha256=shots[-1].sha256,
                width_px=size.width_px,
                height_px=size.height_px,
                requested=None,
                executed=action,
                expected=ExpertAction(action=action, boxes=(box,)),
            )
        )
    trajectory = Trajectory(
        episode_id=f"recording-{number}",
        task_id=f"smoke-{number}",
        template="smoke",
        suite="smoke",
        goal="open the settings and turn on wi-fi",
        steps=tuple(steps),
        stop=StopReason.EXPERT_END,
        outcome=Outcome(verdict=Verdict.SUCCESS),
        split="train",
    )
    return EpisodeRecord(trajectory=trajectory, screenshots={shot.sha256: shot for shot in shots})


if __name__ == "__main__":
    raise SystemExit(main())
