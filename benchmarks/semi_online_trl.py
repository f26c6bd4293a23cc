"""One iteration of semi-online RL, ours beside a subclass of TRL's `GRPOTrainer`.

An iteration samples roll-outs over recorded screens with their own history and patches, matches and
rewards every step, computes step and episode advantages, and makes one optimiser step. Both sides have
the same weights, vocabulary, trajectories, settings and number of rows. Ours is the whole training
loop, its trajectory store and metrics included; no side writes checkpoints. Sides run on one thread in
processes of their own, in alternation; times are the best of all measured iterations, and each process
throws its first away.

    OMP_NUM_THREADS=1 python benchmarks/semi_online_trl.py --format compact

Without TRL it prints our side alone. The baseline needs an environment of its own, beside this project
and its dependencies: `pip install trl==1.16.0 datasets transformers==5.17.0`.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1")

import torch
import transformers
from rollout_workload import environment
from semi_online_workload import Probe, Setting, build, peak_rss_mib, training_config

from gui_agent.policies.transformers_loading import load_model
from trainers.batching import plan_mini_batches, token_budget
from trainers.credit import EstimatorCredit, ScoredGroup
from trainers.forward import token_logprobs
from trainers.loop import Evaluator, TimedPolicy
from trainers.metrics import read_metrics
from trainers.objectives import TokenTargets, policy_gradient
from trainers.rows import Row
from trainers.semi_online import replay_groups, replay_tasks
from trainers.semi_online_config import SemiOnlineConfig
from trainers.training import Training

HOW_TO_GET_TRL = (
    "TRL is missing; in an environment of its own: pip install trl==1.16.0 datasets transformers==5.17.0"
)


def measure_ours(folder: Path, setting: Setting, output_dir: Path) -> Probe:
    """Our training loop; the probe is marked where it would evaluate."""
    config = training_config(folder, setting, output_dir)
    training = Training.load(config)
    probe = Probe(folder / "model", training.learner.model.network.model.visual)

    def evaluator_for(_: TimedPolicy) -> Evaluator:
        async def evaluate(_: int) -> Mapping[str, float]:
            probe.mark()
            return {}

        return evaluate

    source = replay_groups(config, replay_tasks(config), training)
    result = asyncio.run(training.run(source, EstimatorCredit(config), evaluator_for=evaluator_for))
    for iteration, line in zip(probe.iterations, read_metrics(result.metrics_path), strict=True):
        iteration["rows"], iteration["tokens"] = line["rows"], line["num_tokens"]
    return probe


def measure_trl(folder: Path, setting: Setting, output_dir: Path) -> Probe:
    """TRL's training loop; the probe is marked after every optimiser step."""
    from baselines.trl_semi_online import train

    trainer = _trainer(folder, setting, output_dir)
    probe = Probe(folder / "model", trainer.model.model.visual)
    train(trainer, probe)
    return probe


def check(folder: Path, setting: Setting, output_dir: Path) -> dict[str, float]:
    """Both sides on the same sampled rows: prompts, advantages, loss and gradient.

    The log-probabilities below the line of the ratio are shaken, so that the clips have work to do.
    """
    from baselines.trl_semi_online import StepRow, messages, ui_s1_advantages

    config = training_config(folder, setting, output_dir)
    training = Training.load(config)
    credit = EstimatorCredit(config)
    groups = asyncio.run(_sample(config, training, credit))
    screenshots = {sha: shot for g in groups for r in g.group.records for sha, shot in r.screenshots.items()}
    noise = random.Random(0)
    rows = [
        dataclasses.replace(row, old_logprobs=tuple(lp + noise.gauss(0, 0.3) for lp in row.old_logprobs))
        for row in credit.rows(groups, update=0)
    ]
    trainer = _trainer(folder, setting, output_dir)
    image_processor = trainer.processing_class.image_processor
    judged = [
        (number, episode, step, reward.value)
        for number, group in enumerate(groups)
        for episode, (record, rewards) in enumerate(zip(group.group.records, group.rewards, strict=True))
        for step, reward in zip(record.trajectory.steps, rewards, strict=True)
    ]
    step_rows = []
    for row, (group, episode, step, reward) in zip(rows, judged, strict=True):
        assert step.match is not None  # a replay compares every step
        pixels = image_processor(images=[screenshots[sha].image() for sha in row.image_sha256s])
        step_rows.append(
            StepRow(
                group=group, episode=episode, step=step.index, prompt_ids=row.prompt_token_ids,
                completion_ids=row.token_ids, patches=torch.as_tensor(pixels["pixel_values"]),
                grids=torch.as_tensor(pixels["image_grid_thw"]), matched=step.match.exact_match,
                reward=reward, advantage=row.advantage, old_logprobs=row.old_logprobs,
            )
        )  # fmt: skip
    advantages = ui_s1_advantages(step_rows)
    ours, theirs = _our_gradient(training, rows, screenshots), _trl_gradient(trainer, step_rows)
    task = trainer.tasks[0]
    prompt = trainer.prompt_format.prompt(task.goal, [], task.picture(task.frames[0]))
    (their_prompt,), _, _ = trainer._tokenize_prompts([messages(prompt)])
    same_prompt = list(their_prompt) == list(training.learner.model.prompts.encode(prompt).token_ids)
    training.policy.close()
    difference = math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(ours[1], theirs[1], strict=True)))
    return {
        "rows": len(rows),
        "same_prompt_tokens": same_prompt,
        "advantages_max_difference": max(
            abs(a - row.advantage) for a, row in zip(advantages, rows, strict=True)
        ),
        "advantages_std": float(torch.tensor(advantages).std()),
        "loss_ours": ours[0],
        "loss_trl": theirs[0],
        "loss_relative_difference": abs(ours[0] - theirs[0]) / abs(theirs[0]),
        "gradient_relative_difference": difference / math.sqrt(sum(float((g**2).sum()) for g in theirs[1])),
    }


async def _sample(config: SemiOnlineConfig, training: Training, credit: EstimatorCredit) -> list[ScoredGroup]:
    source = replay_groups(config, replay_tasks(config), training)
    batch = await source.run(source.draw(config.groups_per_update, update=0))
    return [credit.score(group) for group in batch.groups]


def _our_gradient(
    training: Training, rows: list[Row], screenshots: Mapping[str, Any]
) -> tuple[float, list[torch.Tensor]]:
    config, model = training.config, training.learner.model
    (mini_batch,) = plan_mini_batches(rows, num_mini_batches=1, budget=token_budget(config), seed=0)
    objective, loss = policy_gradient(config), 0.0
    for micro_batch in mini_batch.micro_batches:
        result = token_logprobs(model, micro_batch, screenshots, share_prefixes=config.share_prefixes)
        lengths = torch.tensor([len(row.token_ids) for row in micro_batch])
        targets = TokenTargets(
            advantages_N=torch.tensor([row.advantage for row in micro_batch]).repeat_interleave(lengths),
            old_logprobs_N=torch.tensor([value for row in micro_batch for value in row.old_logprobs]),
        )
        share = objective(result.logprobs_BT[result.mask_BT], targets).loss / mini_batch.num_tokens
        share.backward()
        loss += share.item()
    return loss, _gradients(model.network)


def _trl_gradient(trainer: Any, step_rows: list[Any]) -> tuple[float, list[torch.Tensor]]:
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, trainer.training_batch(step_rows))
    loss.backward()
    return loss.item(), _gradients(trainer.model)


def _gradients(network: Any) -> list[torch.Tensor]:
    named = sorted(network.named_parameters())
    return [weight.grad for name, weight in named if weight.requires_grad and weight.grad is not None]


def _trainer(folder: Path, setting: Setting, output_dir: Path) -> Any:
    from baselines.trl_semi_online import build_trainer

    config = training_config(folder, setting, output_dir)
    model = load_model(folder / "model")  # for what can be written and how pictures are resized
    return build_trainer(
        folder / "model", replay_tasks(config), setting, allowed_V=model.allowed_V,
        budget=model.images.budget, matcher_name=config.matcher, output_dir=output_dir / "trl",
    )  # fmt: skip


def run_side(side: str, folder: Path, setting: Setting) -> dict[str, Any]:
    """In a process of its own: measure or check."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as output:
        if side == "check":
            return check(folder, setting, Path(output))
        probe = {"ours": measure_ours, "trl": measure_trl}[side](folder, setting, Path(output) / "run")
    return {
        "iterations": probe.iterations[1:],
        "peak_rss_mib": round(peak_rss_mib()),
        "loaded_mib": round(probe.loaded_mib),
    }


def run_child(side: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--folder", str(folder)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return answer


def summary(runs: list[dict[str, Any]], setting: Setting) -> dict[str, Any]:
    """Best times, and what one iteration counted."""
    iterations = [iteration for run in runs for iteration in run["iterations"]]
    best = min(iterations, key=lambda iteration: iteration["cpu_s"] / iteration["rows"])
    return {
        "cpu_s": round(best["cpu_s"], 2),
        "wall_s": round(min(iteration["wall_s"] for iteration in iterations), 2),
        "rows": best["rows"],
        "tokens_per_row": round(best["tokens"] / best["rows"], 1),
        "rows_per_cpu_s": round(best["rows"] / best["cpu_s"], 1),
        "images_preprocessed": best["images_preprocessed"],
        "images_encoded": best["images_encoded"],
        "distinct_screenshots": setting.groups * setting.steps,
        "peak_rss_mib": min(run["peak_rss_mib"] for run in runs),
        "peak_rss_growth_mib": min(run["peak_rss_mib"] - run["loaded_mib"] for run in runs),
        "cpu_s_of_all": sorted(round(iteration["cpu_s"], 2) for iteration in iterations),
    }


def parse() -> tuple[argparse.Namespace, Setting]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="processes per side")
    parser.add_argument("--side", choices=("ours", "trl", "check"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--train-vision", action="store_true", help="the tower learns too")
    defaults = Setting()
    for field in dataclasses.fields(Setting):
        if field.name != "freeze_vision":
            default = getattr(defaults, field.name)
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(default), default=default)
    arguments = parser.parse_args()
    values = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Setting) if f.name in arguments}
    return arguments, Setting(**values, freeze_vision=not arguments.train_vision)


def main() -> None:
    arguments, setting = parse()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if arguments.side:
        print(json.dumps(run_side(arguments.side, arguments.folder, setting)))
        return
    sides = ["ours", "trl"] if find_spec("trl") else ["ours"]
    print(json.dumps({**environment(), **dataclasses.asdict(setting)}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, setting)
        if "trl" in sides:
            print(json.dumps({"check": run_child("check", folder)}), flush=True)
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side in sides:
                runs[side].append(run_child(side, folder))
    found = {side: summary(runs[side], setting) for side in sides}
    for side, values in found.items():
        print(json.dumps({side: values}))
    if "trl" not in sides:
        print(HOW_TO_GET_TRL)
        return
    per_row = {side: values["cpu_s"] / values["rows"] for side, values in found.items()}
    print(json.dumps({"trl_cpu_per_row_over_ours": round(per_row["trl"] / per_row["ours"], 2)}))


if __name__ == "__main__":
    main()
