"""What step-level credit costs: every estimator as a share of one training iteration, and up to 100,000 rows.

    OMP_NUM_THREADS=1 python benchmarks/advantages.py [--json] [--groups 16] [--rows 100000]

The iteration is semi-online training of a tiny model at the size of the quickstart: 16 groups of 8
roll-outs over 3 screens, one optimiser step. The estimators then get the very episodes of its last
iteration; measured is all that depends on the choice of the algorithm, from recorded episodes to one
advantage per row: naming states, making rows, estimating. "First sight" is the additional time of an
iteration in which no picture was ever seen before, for anchors that look at pictures.

Growth is measured on made-up rows, groups of 8 episodes of 3 steps, as the exponent k of cost = rows ** k
between the two largest sizes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from semi_online_workload import Setting, build, training_config

from trainers.advantages import EstimatorRow
from trainers.algorithms import Algorithm, get_algorithm
from trainers.credit import EstimatorCredit, ScoredGroup, estimator_rows
from trainers.metrics import read_metrics
from trainers.rows import Row
from trainers.semi_online import replay_groups, replay_tasks
from trainers.semi_online_config import SemiOnlineConfig
from trainers.state_names import StateNamer
from trainers.training import Training

ALGORITHMS: Final = (
    "ui_s1",
    "ui_s1_offline",
    "grpo",
    "rloo",
    "reinforce_pp",
    "reinforce_pp:baseline=group",
    "gigpo",
    "gigpo:anchor=screenshot",
    "gigpo:anchor=perceptual",
    "gigpo:anchor=perceptual,tolerance_bits=4",
    "gigpo:anchor=ui_tree",
    "gigpo:anchor=ui_text,similarity=0.95",
    "srgpo",
    "srgpo:within=group",
    "salt",
    "salt:history=-1",
)
SIZES: Final = (1_000, 3_000, 10_000, 30_000, 100_000)
WIDGETS: Final = 12
"""On each screen, as many as a page of settings has."""
_LONG_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one algorithm.

    Attributes:
        algorithm: with options.
        ms: of one iteration, in milliseconds of processor time.
        share: of the iteration, 1 is all of it.
        first_sight_ms: added where no picture was seen before.
        by_rows_s: seconds of the estimator alone, by number of rows.
        exponent: of the growth between the two largest numbers of rows.
    """

    algorithm: str
    ms: float
    share: float
    first_sight_ms: float
    by_rows_s: dict[int, float]
    exponent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One training iteration and what it learnt from."""

    cpu_s: float
    rows: int
    groups: Sequence[ScoredGroup]


class KeepingCredit(EstimatorCredit):
    """Keeps the groups of the last iteration."""

    groups: Sequence[ScoredGroup] = ()

    def rows(self, groups: Sequence[ScoredGroup], *, update: int) -> list[Row]:
        self.groups = groups
        return super().rows(groups, update=update)


def measure_iteration(folder: Path, setting: Setting) -> Iteration:
    """Train for some iterations and take the cheapest after the first."""
    build(folder, setting)
    config: SemiOnlineConfig = replace(training_config(folder, setting, folder / "run"), eval_steps=0)
    training = Training.load(config)
    credit = KeepingCredit(config)
    result = asyncio.run(training.run(replay_groups(config, replay_tasks(config), training), credit))
    lines = read_metrics(result.metrics_path)
    spent = [line["time/cpu_s"] for line in lines]
    each = [later - earlier for earlier, later in pairwise(spent)]
    return Iteration(cpu_s=min(each), rows=lines[-1]["rows"], groups=with_widgets(credit.groups))


def with_widgets(groups: Sequence[ScoredGroup]) -> list[ScoredGroup]:
    """The same episodes, each screen with widgets of its own."""
    rng = random.Random(0)
    shown: dict[str, tuple[dict[str, Any], ...]] = {}

    def widgets(sha256: str) -> tuple[dict[str, Any], ...]:
        if sha256 not in shown:
            shown[sha256] = tuple(
                {"name": f"setting {rng.randrange(100)}", "role": "list_item", "clickable": True,
                 "box": [0, 18 * i, 112, 18 * i + 18]}
                for i in range(WIDGETS)
            )  # fmt: skip
        return shown[sha256]

    found = []
    for scored in groups:
        records = []
        for record in scored.group.records:
            steps = tuple(
                replace(step, elements=widgets(step.screenshot_sha256 or ""))
                for step in record.trajectory.steps
            )
            records.append(replace(record, trajectory=replace(record.trajectory, steps=steps)))
        found.append(replace(scored, group=replace(scored.group, records=tuple(records))))
    return found


def advantages(algorithm: Algorithm, namer: StateNamer, groups: Sequence[ScoredGroup]) -> list[float]:
    """From recorded episodes to advantages, as training does it."""
    rows = [
        row
        for scored in groups
        for record, rewards in zip(scored.group.records, scored.rewards, strict=True)
        for row in estimator_rows(record.trajectory, rewards, namer.names(record))
    ]
    return algorithm.estimator(rows, np.random.default_rng(0))


def made_up_rows(num_rows: int, *, text: bool) -> list[EstimatorRow]:
    """Groups of 8 episodes of 3 steps, in a world of a few states per group."""
    rng = random.Random(0)
    rows: list[EstimatorRow] = []
    while len(rows) < num_rows:
        group = len(rows) // 24
        states = [_state(rng, group, number, text=text) for number in range(6)]
        for name in range(8):
            score = float(rng.randrange(2))
            path = [states[rng.randrange(6)] for _ in range(4)]
            rows += [
                EstimatorRow(
                    group_id=f"g{group}", episode_id=f"g{group}-e{name}", step=step, reward=rng.random(),
                    episode_reward=score, matched=rng.random() < 0.7, state_key=path[step],
                    action_key=f"click {rng.randrange(4)}", next_state_key=path[step + 1],
                )
                for step in range(3)
            ]  # fmt: skip
    return rows[:num_rows]


def _state(rng: random.Random, group: int, number: int, *, text: bool) -> str:
    if not text:
        return f"{rng.getrandbits(2048):0512x}"
    return "\n".join(f"list_item setting {rng.randrange(100)} of {group}.{number}" for _ in range(WIDGETS))


def best_cpu_s(work: Callable[[], object], *, repeat: int) -> float:
    """The least processor time of several runs; of one where that takes seconds."""
    found = math.inf
    for _ in range(repeat):
        started = time.process_time()
        work()
        found = min(found, time.process_time() - started)
        if found > _LONG_S:
            break
    return found


def cost_of(text: str, iteration: Iteration, sizes: Sequence[int]) -> Cost:
    """Measure one algorithm."""
    algorithm = get_algorithm(text)
    namer = StateNamer(algorithm.anchors)
    started = time.process_time()
    advantages(algorithm, namer, iteration.groups)
    first_s = time.process_time() - started
    again_s = best_cpu_s(lambda: advantages(algorithm, namer, iteration.groups), repeat=7)
    grown = {}
    for size in sizes:
        rows = made_up_rows(size, text="similarity" in text)
        grown[size] = best_cpu_s(lambda: algorithm.estimator(rows, np.random.default_rng(0)), repeat=3)  # noqa: B023
    small, large = sorted(sizes)[-2:]
    looks = algorithm.anchors is not None and "perceptual" in text
    return Cost(
        algorithm=text,
        ms=again_s * 1e3,
        share=again_s / iteration.cpu_s,
        first_sight_ms=max(0.0, first_s - again_s) * 1e3 if looks else 0.0,
        by_rows_s=grown,
        exponent=math.log(grown[large] / grown[small]) / math.log(large / small),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--groups", type=int, default=16, help="groups in the iteration")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, help="with options after the name")
    parser.add_argument("--rows", type=int, default=SIZES[-1], help="largest number of made-up rows")
    arguments = parser.parse_args()
    sizes = sorted({size for size in SIZES if size < arguments.rows} | {arguments.rows})
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(groups=arguments.groups, siblings=8, steps=3, iterations=3)
        iteration = measure_iteration(Path(folder), setting)
    costs = [cost_of(text, iteration, sizes) for text in arguments.algorithms]
    if arguments.json:
        report = {
            "iteration_cpu_s": iteration.cpu_s,
            "rows": iteration.rows,
            "costs": [asdict(c) for c in costs],
        }
        print(json.dumps(report, indent=1))
        return
    print(f"one iteration: {iteration.rows} rows, {iteration.cpu_s:.2f} CPU-s\n")
    print(
        f"{'algorithm':42} {'ms':>7} {'share':>7} {'first sight ms':>15} "
        f"{f'{sizes[-1]} rows s':>15} {'exponent':>9}"
    )
    for cost in costs:
        print(
            f"{cost.algorithm:42} {cost.ms:7.2f} {cost.share:7.2%} {cost.first_sight_ms:15.1f} "
            f"{cost.by_rows_s[sizes[-1]]:15.2f} {cost.exponent:9.2f}"
        )


if __name__ == "__main__":
    main()
