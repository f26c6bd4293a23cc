"""Stages of an experiment: finished ones are kept, cut-off ones go on, and nothing is deleted."""

import sys
import threading
import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from gui_agent.cli.chain import Chain
from gui_agent.cli.commands import COMMANDS, Entry
from gui_agent.cli.experiment import Experiment, Stage
from gui_agent.cli.pipeline import Pipeline
from gui_agent.errors import ConfigError
from trainers.checkpoint import Checkpoints, TrainerState

deeds: list[Callable[[Path], None]] = []
"""What the next trainings do after they began; one that has no deed left just ends."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Stands for a training: writes how it was called."""

    output_dir: Path
    seed: int = 0
    share: float = 1.0
    resume_from_checkpoint: bool = False

    def run(self) -> int:
        """Add a line to the log and do the next deed."""
        self.output_dir.mkdir(exist_ok=True)
        with (self.output_dir / "log").open("a") as log:
            log.write(f"{self.share} {'resumed' if self.resume_from_checkpoint else 'new'}\n")
        if deeds:
            deeds.pop(0)(self.output_dir)
        return 0


@dataclass(kw_only=True)
class Bench:
    """Asks for the same stage again and again, as another process would, and hears what is said."""

    root: Path
    said: list[str] = field(default_factory=list)

    def stage(self, *, seed: int = 0) -> Stage:
        recipe = str(self.root / "recipe.yaml")
        return Experiment(recipe, root=self.root, seed=seed, say=self.said.append).stage("a", "probe", {})

    def log(self, folder: str = "a") -> list[str]:
        return (self.root / folder / "log").read_text().splitlines()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    module = types.ModuleType("probe_commands")
    module.Training = Training  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe_commands", module)
    monkeypatch.setitem(COMMANDS, "probe", Entry(target="probe_commands:Training", summary="trains"))
    (tmp_path / "recipe.yaml").write_text("probe:\n  share: 0.5\n")
    deeds.clear()
    return Bench(root=tmp_path)


def killed(folder: Path) -> None:
    raise KeyboardInterrupt


def killed_after_a_checkpoint(folder: Path) -> None:
    state = TrainerState(update=3, optimizer_steps=3, cpu_s=1000.0)
    Checkpoints(folder).save(state, {}, lambda partial: None)
    raise KeyboardInterrupt


def test_a_finished_stage_is_not_run_again(bench: Bench) -> None:
    first, second = bench.stage(), bench.stage()
    assert asdict(second) == asdict(first) | {"reused": True}
    assert bench.log() == ["0.5 new"]


def test_what_other_settings_made_is_put_aside_whole(bench: Bench) -> None:
    bench.stage()
    (bench.root / "a" / "notes.txt").write_text("mine")
    assert not bench.stage(seed=1).reused
    assert not bench.stage(seed=2).reused
    assert (bench.root / "a.old-1" / "notes.txt").read_text() == "mine"
    assert bench.log("a.old-2") == bench.log() == ["0.5 new"]
    assert any("a.old-1" in line for line in bench.said), "the user is told where it went"


def test_a_folder_without_a_record_is_refused(bench: Bench) -> None:
    (bench.root / "a").mkdir()
    with pytest.raises(ConfigError, match="is no stage"):
        bench.stage()


def test_a_training_cut_off_before_its_first_checkpoint_begins_anew(bench: Bench) -> None:
    deeds.append(killed)
    with pytest.raises(KeyboardInterrupt):
        bench.stage()
    stage = bench.stage()
    # A training that is told to resume and finds no checkpoint begins anew; one that is not refuses.
    assert bench.log() == ["0.5 new", "0.5 resumed"]
    assert stage.cpu_s < 1000


def test_a_resumed_training_counts_what_it_spent_before(bench: Bench) -> None:
    deeds.append(killed_after_a_checkpoint)
    with pytest.raises(KeyboardInterrupt):
        bench.stage()
    assert bench.stage().cpu_s >= 1000, "or a method with the same CPU time would get too little"
    assert bench.stage().cpu_s >= 1000


def test_two_processes_do_not_run_the_same_stage_at_once(bench: Bench) -> None:
    begun, finish = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        begun.set()
        assert finish.wait(timeout=30)

    deeds.append(slow)
    other = threading.Thread(target=bench.stage)
    other.start()
    assert begun.wait(timeout=30)
    with pytest.raises(Timeout):
        FileLock(bench.root / ".a.lock").acquire(blocking=False)
    finish.set()
    assert bench.stage().reused, "the second waited, and took what the first made"
    other.join()
    assert bench.log() == ["0.5 new"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("collect: {suite: phone/quickstart}", "no section for 'train grounding'"),
        ("defaults: {seed: 1}\ncollect: {suite: a}\neval run: {data: d}", "has no suite to measure"),
        ("defaults: {suite: phone/quickstart}\neval run: {seed: -1}", "seed is -1"),
    ],
)
def test_a_chain_is_refused_before_its_first_stage(tmp_path: Path, text: str, message: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    run = Pipeline(recipe=str(recipe), output_dir=tmp_path / "run").run
    with pytest.raises(ConfigError, match=message):
        run()
    assert not (tmp_path / "run").exists()


def test_recipes_run_into_folders_of_their_own() -> None:
    roots = [Pipeline(recipe=name).root for name in ("quickstart", "miniwob", "elsewhere/mine.yaml")]
    assert roots == [Path("runs/quickstart"), Path("runs/miniwob"), Path("runs/mine")]


class Asked(Chain):
    """Runs nothing and remembers the settings of each stage."""

    def stage(self, name: str, command: str, settings: Mapping[str, Any], **_: Any) -> Stage:
        """Make the folder of the stage and what is read from it."""
        (self.root / name).mkdir(exist_ok=True)
        (self.root / name / "eval.json").write_text('{"live": {}, "replay": {}}')
        self.settings = {**getattr(self, "settings", {}), name: settings}
        return Stage(name=name, folder=self.root / name, fingerprint="", cpu_s=0.0, wall_s=0.0, reused=False)


@pytest.mark.parametrize(
    ("command", "stores"),
    [
        ("train semi-online", "demonstrations"),
        ("train online", ["demonstrations", "method/trajectories"]),
    ],
)
def test_instances_met_in_training_are_not_evaluated_on(
    tmp_path: Path, command: str, stores: str | list[str]
) -> None:
    chain = Asked("quickstart", root=tmp_path, seed=0)
    chain.evaluate(chain.method("method", command, {}))
    asked = chain.settings["method_eval"]["training_data"]
    named = (
        [str(tmp_path / store) for store in stores] if isinstance(stores, list) else str(tmp_path / stores)
    )
    assert asked == named


def test_a_model_remembers_the_instances_that_its_beginnings_met(tmp_path: Path) -> None:
    chain = Asked("quickstart", root=tmp_path, seed=0)
    live = chain.method("live", "train online", {})
    chain.evaluate(chain.method("later", "train sft", {}, start=live))
    asked = chain.settings["later_eval"]["training_data"]
    assert asked == [str(tmp_path / "demonstrations"), str(tmp_path / "live" / "trajectories")]


def test_an_experiment_may_be_moved(bench: Bench, tmp_path: Path) -> None:
    bench.stage()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("a", "a.stage.json", "recipe.yaml"):
        (tmp_path / name).rename(moved / name)
    assert Bench(root=moved).stage().reused
