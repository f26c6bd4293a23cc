"""`gui-agent train …`: what the training commands need is wired together here."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from devices.registry import draw_labelled_screens, resolve_suite
from eval.live import training_tasks
from gui_agent.device import TaskSource
from gui_agent.errors import ConfigError
from gui_agent.formats.compact import CompactFormat, compact_vocabulary
from gui_agent.formats.registry import get_format
from gui_agent.observation import LabelledScreen
from trainers.grounding_config import GroundingConfig

_HELD_OUT_SCREENS_SEED = 1_000_000
_CORPUS_TASKS = 500


@dataclass(frozen=True, kw_only=True)
class Grounding(GroundingConfig):
    """Teach a model where things are, from screens with labelled boxes.

    A pretrained model is given with --model. Without one a tiny model is built first, with a tokenizer
    for the words of the suite, and goes through dense stages that make a model of random weights see
    within minutes. Boxes are labels of recorded screens; they are never part of a prompt.

    Examples:
        gui-agent train grounding --recipe quickstart --seed 1
        gui-agent train grounding --suite phone/quickstart --output-dir runs/grounding
        gui-agent train grounding --model Qwen/Qwen2.5-VL-3B-Instruct --dense none --suite phone/phone \\
            --format ui_s1 --learning-rate 1e-5 --dtype bfloat16 --device cuda:0 --output-dir runs/3b

    Attributes:
        suite: whose screens to learn from.
        format: prompt format of questions and answers.
        num_screens: labelled screens to draw for training.
        num_held_out: labelled screens to test on.
        family: architecture of the tiny model built when no model is given: qwen3_vl or qwen2_5_vl.
    """

    model: str = ""
    suite: str = "phone/quickstart"
    format: str = "compact:snap_px=8"
    num_screens: int = 2000
    num_held_out: int = 300
    family: str = "qwen3_vl"

    def run(self) -> int:
        """Draw screens, build the tiny model if there is none, train, test and save."""
        from trainers.grounding import train_grounding

        prompt_format = get_format(self.format)
        suite = resolve_suite(self.suite)
        screens = asyncio.run(draw_labelled_screens(suite, self.num_screens, self.seed))
        held_out = asyncio.run(
            draw_labelled_screens(suite, self.num_held_out, _HELD_OUT_SCREENS_SEED + self.seed)
        )
        model = self.model or str(self._build(suite, screens))
        config = GroundingConfig(**(_own(self, GroundingConfig) | {"model": model}))
        report = train_grounding(config, screens, held_out, prompt_format, show_progress=sys.stdout.isatty())
        summary = asdict(report) | {"model_dir": str(report.model_dir)}
        (self.output_dir / "grounding.json").write_text(json.dumps(summary, indent=1) + "\n")
        accuracy = "not tested" if report.accuracy is None else f"{report.accuracy:.1%} of held-out questions"
        print(f"pointing: {accuracy}; {report.cpu_s:.0f} CPU-s; model in {report.model_dir}")
        return 0

    def dry_run(self) -> int:
        """Check what can be checked without drawing a screen."""
        get_format(self.format)
        suite = resolve_suite(self.suite)
        start = self.model or f"a new tiny {self.family} model"
        print(f"would train {start} on {self.num_screens} screens of {suite.suite} into {self.output_dir}")
        return 0

    def _build(self, suite: TaskSource, screens: Sequence[LabelledScreen]) -> Path:
        from trainers.tiny_model import TinyModelConfig, build_tiny_model

        prompt_format = get_format(self.format)
        if not isinstance(prompt_format, CompactFormat):
            raise ConfigError(
                f"a tiny model speaks the compact format, not {self.format!r}; give --format compact, "
                "or --model with a pretrained checkpoint"
            )
        largest = max(max(each.screenshot.width_px, each.screenshot.height_px) for each in screens)
        words = compact_vocabulary(max_coordinate=largest - 1, snap_px=prompt_format.options.snap_px)
        config = TinyModelConfig(family=self.family, macro_tokens=tuple(words), number_tokens=0)  # type: ignore[arg-type]
        return build_tiny_model(config, _corpus(suite, screens), self.output_dir / "initial", self.seed)


def _corpus(suite: TaskSource, screens: Sequence[LabelledScreen]) -> Iterable[str]:
    """The words that a model of this suite reads and writes, with every name and goal."""
    names = {element.name for screen in screens for element in screen.elements}
    goals = {task.goal for task in training_tasks(suite, _CORPUS_TASKS, seed=0)}
    frame = ["user\n", "assistant\n", "system\n", "tap done"]
    # Every word often enough to become one token, however rare its instances are.
    return [text for text in sorted(names | goals | set(frame)) for _ in range(30)]


def _own(command: object, base: type) -> dict[str, object]:
    """The settings of a command that its configuration class has too."""
    return {field.name: getattr(command, field.name) for field in fields(base)}
