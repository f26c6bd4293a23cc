"""CPU time of one update: rows of one semi-online iteration on a tiny model with a frozen tower.

    python benchmarks/learner.py [--rows 300] [--repeat 3] [--no-sharing]

Prints JSON. One thread, process time, the best of `repeat`; the first update, which fills the caches, is
not counted.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from gui_agent.observation import Screenshot
from gui_agent.policy import ImagePart, Message, Role, TextPart
from trainers.learner import Learner
from trainers.learner_model import load_learner_model
from trainers.rl_config import RLConfig
from trainers.rows import Row
from trainers.tiny_model import TinyModelConfig, build_tiny_model


def synthetic_rows(
    learner: Learner, num_rows: int, *, equal: int, siblings: int = 8
) -> tuple[list[Row], dict[str, Screenshot]]:
    """Rows in groups of siblings at one screen, about 70 prompt tokens and 8 completion tokens each."""
    generator = random.Random(0)
    model, rows, screenshots = learner.model, [], {}
    allowed = model.allowed_V.nonzero()[:, 0].tolist()
    for number in range(-(-num_rows // siblings)):
        color = tuple(generator.randrange(256) for _ in range(3))
        screenshot = Screenshot.from_image(Image.new("RGB", (112, 224), color))
        screenshots[screenshot.sha256] = screenshot
        for sibling in range(siblings):
            words = TextPart(
                text=f"turn on wi-fi\nsettings click {10 + max(0, sibling - equal + 1)} 60\n" * 2
            )
            encoded = model.prompts.encode(
                (Message(role=Role.USER, parts=(ImagePart(screenshot=screenshot), words)),)
            )
            rows.append(
                Row(
                    prompt_token_ids=encoded.token_ids,
                    image_grids=encoded.image_grids,
                    image_sha256s=encoded.image_sha256s,
                    token_ids=(*generator.sample(allowed, 7), model.end_token_id),
                    old_logprobs=(-6.0,) * 8,
                    advantage=generator.gauss(0, 1),
                    group_id=f"g{number}",
                    episode_id=f"e{sibling}",
                )
            )
    return rows[:num_rows], screenshots


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--max-tokens-per-batch", type=int, default=4096)
    parser.add_argument("--no-sharing", action="store_true", help="compute every prompt for every row")
    parser.add_argument("--equal", type=int, default=4, help="of 8 siblings, how many share a history")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        corpus = ["turn on wi-fi", "settings click 28 60", "finish success"]
        model_dir = build_tiny_model(TinyModelConfig(), corpus, Path(folder), seed=0)
        config = RLConfig(
            model=str(model_dir), device="cpu", beta=0.0, learning_rate=1e-5, num_mini_batches=2,
            max_tokens_per_batch=arguments.max_tokens_per_batch, share_prefixes=not arguments.no_sharing,
        )  # fmt: skip
        learner = Learner(load_learner_model(config), config)
    rows, screenshots = synthetic_rows(learner, arguments.rows, equal=arguments.equal)
    learner.update(rows, screenshots)
    seconds = []
    for _ in range(arguments.repeat):
        started = time.process_time()
        learner.update(rows, screenshots)
        seconds.append(time.process_time() - started)
    report = {
        "rows": len(rows),
        "prompt_tokens": sum(len(row.prompt_token_ids) for row in rows) / len(rows),
        "weights": learner.optimizer.num_weights,
        "share_prefixes": not arguments.no_sharing,
        "equal_histories_of_8": arguments.equal,
        "max_tokens_per_batch": arguments.max_tokens_per_batch,
        "update_cpu_s": round(min(seconds), 3),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
