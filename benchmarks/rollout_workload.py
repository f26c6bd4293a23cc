"""The work that the sampling and prefix-sharing benchmarks share: roll-outs over drawn screens."""

from __future__ import annotations

import platform
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from PIL import Image, ImageDraw

from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_loading import load_model
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_policy import SampleRequest
from gui_agent.policy import ImagePart, Message, Prompt, Role, SampleKey, SamplingParams, TextPart
from trainers.tiny_model import Family, TinyModelConfig, build_tiny_model

ACTIONS = ("tapped Settings", "scrolled down", "typed hello", "went back", "opened Clock", "tapped Wi-Fi")
GOAL = "tap the red button. History:"


def build(family: Family) -> VisionLanguageModel:
    """The default tiny model, with random weights."""
    corpus = [GOAL, *ACTIONS, '{"action": "click", "coordinate": [28, 60]}']
    with tempfile.TemporaryDirectory() as folder:
        return load_model(build_tiny_model(TinyModelConfig(family=family), corpus, Path(folder), seed=0))


def screen(rng: random.Random) -> Screenshot:
    image = Image.new("RGB", (112, 224), (240, 240, 245))
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = rng.randrange(80), rng.randrange(180)
        draw.rectangle([x, y, x + 30, y + 20], fill=tuple(rng.randrange(256) for _ in range(3)))
    return Screenshot.from_image(image)


def prompt(screenshot: Screenshot, history: list[str]) -> Prompt:
    text = GOAL + "".join(f" {i}. {action}" for i, action in enumerate(history, start=1))
    return (Message(role=Role.USER, parts=(ImagePart(screenshot=screenshot), TextPart(text=text))),)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`siblings`: 8 samples of each prompt. `histories`: 8 prompts that differ behind the screenshot."""

    name: str
    requests: list[SampleRequest]

    @property
    def num_rows(self) -> int:
        return sum(request.n for request in self.requests)

    @property
    def screenshots(self) -> dict[str, Screenshot]:
        shots = (
            part.screenshot
            for request in self.requests
            for part in request.prompt[0].parts
            if isinstance(part, ImagePart)
        )
        return {shot.sha256: shot for shot in shots}


def workloads(num_groups: int, *, max_new_tokens: int, seed: int = 0) -> list[Workload]:
    rng = random.Random(seed)
    params = SamplingParams(max_new_tokens=max_new_tokens)
    siblings: list[SampleRequest] = []
    histories: list[SampleRequest] = []
    for group in range(num_groups):
        shot = screen(rng)

        def request(sample: int, n: int, group: int = group, shot: Screenshot = shot) -> SampleRequest:
            history = [rng.choice(ACTIONS) for _ in range(4)]
            key = SampleKey(seed=seed, update=0, episode=f"{group:03}-{sample}", step=4)
            return SampleRequest(prompt=prompt(shot, history), n=n, params=params, key=key)

        siblings.append(request(0, 8))
        histories.extend(request(sample, 1) for sample in range(8))
    return [Workload(name="siblings", requests=siblings), Workload(name="histories", requests=histories)]


def fastest_cpu_s(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """CPU seconds of each side, the best of several turns taken in alternation."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(repeats):
        for name, side in sides.items():
            start = time.process_time()
            side()
            best[name] = min(best[name], time.process_time() - start)
    return best


def environment() -> dict[str, str]:
    return {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": str(torch.get_num_threads()),
    }
