"""`gui-agent pipeline`: the whole chain of a recipe, from nothing to a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gui_agent.cli.chain import Chain, Scores, planned_commands
from gui_agent.cli.config import to_yaml
from gui_agent.cli.experiment import Stage
from gui_agent.cli.pipeline_report import write_pipeline_report
from gui_agent.cli.stopwatch import Stopwatch
from gui_agent.errors import ConfigError

_TRAINING: Final = "train semi-online"


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Record, ground, warm up, train semi-online, evaluate before and after, and write a report.

    The recipe has a section for every command of the chain. A pipeline that was interrupted goes on
    where it stopped; finished stages whose settings did not change are taken from the output folder, and
    what other settings made there is put aside.
    `report.html` shows curves, success per task and episodes step by step; `report.json` has the figures.

    Examples:
        gui-agent pipeline --recipe quickstart
        gui-agent pipeline --recipe quickstart --seed 1 --output-dir runs/quickstart-1
        gui-agent pipeline --recipe quickstart --training algorithm=gigpo patch_budget=-1 \\
            --output-dir runs/gigpo
        gui-agent pipeline --recipe miniwob --dry-run

    Attributes:
        recipe: filled in by --recipe.
        output_dir: where the stages and the report go; by default the recipe's name below runs.
        seed: of demonstrations, model and training.
        training: settings of `train semi-online` that go before the recipe's.
        compare_with_sft: train the warm start on with supervision alone for the same CPU time, too.
    """

    recipe: str = ""
    output_dir: Path | None = None
    seed: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    compare_with_sft: bool = True

    def __post_init__(self) -> None:
        if not self.recipe:
            raise ConfigError("a pipeline is described by a recipe: give --recipe quickstart, or a path")

    @property
    def root(self) -> Path:
        """Where everything goes; one recipe does not run into another's results."""
        return self.output_dir or Path("runs") / Path(self.recipe).stem

    def run(self) -> int:
        """Run what is missing and write the report."""
        watch = Stopwatch()
        planned_commands(self.recipe, _TRAINING, self.training)  # now, not when its turn comes after hours
        chain = Chain(self.recipe, root=self.root, seed=self.seed, say=_say)
        before = chain.evaluate(chain.warm_start)
        trained = chain.method("semi_online", _TRAINING, self.training)
        after = chain.evaluate(trained)
        beside = self._supervised(chain, trained) if self.compare_with_sft else None
        stages = chain.stages
        figures = {
            "recipe": self.recipe,
            "seed": self.seed,
            "live_success_before": before.success,
            "live_success_after": after.success,
            "sop_before": before.sop,
            "sop_after": after.sop,
            "live_success_supervised": None if beside is None else beside.success,
            "sop_supervised": None if beside is None else beside.sop,
            "cpu_s": round(sum(stage.cpu_s for stage in stages), 1),
            "wall_s": round(sum(stage.wall_s for stage in stages), 1),
            "stages": {stage.name: {"cpu_s": stage.cpu_s, "wall_s": stage.wall_s} for stage in stages},
        }
        (self.root / "report.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        report = write_pipeline_report(
            chain, figures, training=self.training, before=before, after=after, beside=beside
        )
        _print(figures, watch, report)
        return 0

    def dry_run(self) -> int:
        """Say what the recipe would do."""
        print(f"would run the chain of recipe {self.recipe} with seed {self.seed} into {self.root}:")
        for name, command in planned_commands(self.recipe, _TRAINING, self.training).items():
            print(to_yaml(name, command))
        return 0

    def _supervised(self, chain: Chain, trained: Stage) -> Scores:
        settings = {"max_cpu_s": trained.cpu_s, "num_train_epochs": 100_000, "save_steps": 0}
        return chain.evaluate(chain.method("supervised", "train sft", settings))


def _say(text: str) -> None:
    print(f"── {text}", flush=True)


def _print(figures: dict[str, Any], watch: Stopwatch, report: Path) -> None:
    def share(name: str) -> str:
        value = figures[name]
        return "unscored" if value is None else f"{value:.1%}"

    print()
    print(f"live success on held-out tasks: {share('live_success_before')} -> {share('live_success_after')}")
    print(f"SOP score on held-out demonstrations: {figures['sop_before']:.3f} -> {figures['sop_after']:.3f}")
    if figures["live_success_supervised"] is not None:
        print(f"supervised for the same CPU time instead: {share('live_success_supervised')}")
    print(f"{figures['cpu_s']:.0f} CPU-s, {figures['wall_s']:.0f} s ({watch.wall_s:.0f} s in this run)")
    print(f"report: {report}")
