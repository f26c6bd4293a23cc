"""One joint update of planner and actor (foresight) beside one update of a flat agent, at equal trained rows.

Both start from the same base, warmed up for their own prompts, see the same recorded screens and train
adapters of the same rank. With G samples at each of n states and K probes, the joint update samples
n(2G + GK) responses and trains on 2Gn of them; the flat update plays 2G episodes of n states and trains on
all 2Gn responses. Prints CPU seconds per update (the best of several, both sides taken in turns), the ratio
of those of a trained row, and the samples and rows of an update for several lengths of episodes.

    OMP_NUM_THREADS=1 python benchmarks/hierarchical.py --format compact
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import torch
from rollout_workload import environment
from semi_online_workload import Setting, build, training_config

from gui_agent.agent_spec import AgentKind
from trainers.metrics import read_metrics
from trainers.semi_online import train_semi_online
from trainers.semi_online_config import SemiOnlineConfig
from trainers.sft import train_sft
from trainers.sft_config import SFTConfig

LORA_RANK = 8
WORST_RATIO = 2.2


def build_joint(folder: Path, setting: Setting) -> None:
    """The model of `build`, warmed up for the prompts of a planner and an actor too."""
    config = SFTConfig(
        model=str(folder / "random"), data=folder / "experts", output_dir=folder / "joint_sft", device="cpu",
        agent=AgentKind.HIERARCHICAL, format=setting.format, learning_rate=3e-3,
        max_steps=2 * setting.warm_start_steps, rows_per_step=8, save_steps=0,
        logging_steps=1000, seed=setting.seed, lora_rank=0,
    )  # fmt: skip
    train_sft(config).model_dir.rename(folder / "joint_model")


def flat(folder: Path, setting: Setting, output_dir: Path) -> SemiOnlineConfig:
    """2G episodes of every recording."""
    config = training_config(folder, setting, output_dir)
    return dataclasses.replace(
        config, num_generations=2 * setting.siblings, lora_rank=LORA_RANK, eval_steps=0
    )


def joint(folder: Path, setting: Setting, output_dir: Path, *, probes: int) -> SemiOnlineConfig:
    """G subgoals, G K probes and G actions at every state of one episode of every recording."""
    config = training_config(folder, setting, output_dir)
    return dataclasses.replace(
        config, model=str(folder / "joint_model"), agent=AgentKind.HIERARCHICAL, lora_rank=LORA_RANK,
        algorithm=f"foresight:probes={probes}", eval_steps=0,
    )  # fmt: skip


def measure(config: SemiOnlineConfig) -> list[dict[str, Any]]:
    """Samples, rows and CPU seconds of each update but the first."""
    result = asyncio.run(train_semi_online(config))
    updates = []
    for before, line in itertools.pairwise(read_metrics(result.metrics_path)):
        updates.append(
            {
                "cpu_s": line["time/cpu_s"] - before["time/cpu_s"],
                "samples": line["completions/sampled"],
                "rows": line["rows"],
                "tokens": line["num_tokens"],
                "generate_s": line["time/generate"],
                "train_s": line["time/train"],
            }
        )
    return updates


def compare(folder: Path, setting: Setting, *, probes: int, repeats: int) -> dict[str, Any]:
    """The best update of each side, the sides taken in turns."""
    found: dict[str, list[dict[str, Any]]] = {"flat": [], "joint": []}
    for number in range(repeats):
        output = folder / f"{setting.steps}-{number}"
        found["flat"] += measure(flat(folder, setting, output / "flat"))
        found["joint"] += measure(joint(folder, setting, output / "joint", probes=probes))
    rows = {side: statistics.fmean(update["rows"] for update in updates) for side, updates in found.items()}
    best = {side: min(updates, key=_cost) for side, updates in found.items()}
    return {
        "steps": setting.steps,
        "groups": setting.groups,
        "G": setting.siblings,
        "K": probes,
        **best,
        "mean_rows": rows,
        "ratio": round(_cost(best["joint"]) / _cost(best["flat"]), 3),
    }


def _cost(update: dict[str, Any]) -> float:
    """CPU seconds of a trained row: an update in which no subgoal could be read is cheap for a bad reason."""
    cost: float = update["cpu_s"] / max(1, update["rows"])
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", default="compact", help="prompt format of actor and flat agent")
    parser.add_argument("--family", default="qwen3_vl")
    parser.add_argument("--groups", type=int, default=4, help="recordings per update")
    parser.add_argument("--samples", type=int, default=8, help="samples at a state (G)")
    parser.add_argument("--probes", type=int, default=1, help="probes of a subgoal (K)")
    parser.add_argument("--steps", type=int, nargs="+", default=[2, 4, 8], help="lengths of episodes")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(environment()))
    for steps in arguments.steps:
        setting = Setting(
            family=arguments.family, format=arguments.format, groups=arguments.groups, steps=steps,
            siblings=arguments.samples, max_new_tokens=arguments.max_new_tokens, iterations=2,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            build(folder, setting)
            build_joint(folder, setting)
            found = compare(folder, setting, probes=arguments.probes, repeats=arguments.repeats)
        print(json.dumps(found), flush=True)
        if arguments.probes == 1 and found["ratio"] > WORST_RATIO:
            raise SystemExit(f"a joint update costs {found['ratio']} times a flat one; at most {WORST_RATIO}")


if __name__ == "__main__":
    main()
