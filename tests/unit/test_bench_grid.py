"""Grid files say what is compared; what they cannot say is refused by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gui_agent.cli.bench import Grid, _device_steps, _trained, _trained_rows, read_grid, replace_table
from gui_agent.cli.chain import Chain
from gui_agent.cli.experiment import Stage
from gui_agent.errors import ConfigError
from trainers.checkpoint import Checkpoints, TrainerState
from trajectories.store import TrajectoryStore

GRIDS = sorted(Path(__file__).parents[2].glob("recipes/grids/*.yaml"))


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_grid_of_the_program_is_valid(path: Path) -> None:
    grid = read_grid(path)
    assert len(grid.seeds) >= 3
    assert len({method.name for method in grid.methods}) == len(grid.methods) >= 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("methods: {a: {command: train semi-onlin}}\nrecipe: quickstart", "train semi-online"),
        ("methods: {a: {comand: train sft}}\nrecipe: quickstart", "command"),
        ("methods: {a: {command: train sft, same_cpu_as: b}}\nrecipe: quickstart", "same_cpu_as names 'b'"),
        ("methods: {a: {command: train sft, same_rows_as: a}}\nrecipe: quickstart", "same_rows_as names 'a'"),
        ("methods: {a: {command: train sft, after: b}}\nrecipe: quickstart", "before it: grounding"),
        ("methods: {a: {after: grounding}}\nrecipe: quickstart", "a has no command .* after would have no"),
        ("methods: {warm_start: {command: train sft}}\nrecipe: quickstart", "name of a stage"),
        ("methods: {a: {evaluation: 3}}\nrecipe: quickstart", "a: evaluation is 3"),
        ("recipe: quickstart", "recipe, seeds, methods and evaluation"),
        ("recipe: quickstart\nmethods: {a: }\nevaluation: 3", "evaluation is 3"),
        ("recipe: [", "no grid can be read"),
    ],
)
def test_a_wrong_grid_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        read_grid(path)


ROWS = {"warm_start": 10, "live": 200, "later": 3000, "flat": 40, "old": 0}


class Counted(Chain):
    """Runs nothing; every training leaves a checkpoint that counts its rows, and an empty store."""

    def stage(self, name: str, command: str, settings: Mapping[str, Any], **_: Any) -> Stage:
        """Make the folder of the stage, and remember what it was asked for."""
        self.asked = {**getattr(self, "asked", {}), name: settings}
        folder = self.root / name
        if name in ROWS and not folder.exists():
            state = TrainerState(update=1, optimizer_steps=1, rows_trained=ROWS[name])
            Checkpoints(folder).save(state, {}, lambda _: None)
            TrajectoryStore.create(folder / "trajectories")
        return Stage(name=name, folder=folder, fingerprint="", cpu_s=0.0, wall_s=0.0, reused=False)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    (tmp_path / "grid.yaml").write_text(
        "recipe: quickstart\n"
        "methods:\n"
        "  start:\n"
        "  live: {command: train online}\n"
        "  later: {command: train sft, after: live, same_rows_as: live}\n"
        "  flat: {command: train sft, after: grounding, same_rows_as: start}\n"
        "  old: {command: train sft}\n"
        "  new: {command: train sft, same_rows_as: old}\n"
    )
    return read_grid(tmp_path / "grid.yaml")


def test_rows_are_those_of_every_training_since_the_base(grid: Grid, tmp_path: Path) -> None:
    chain = Counted("quickstart", root=tmp_path, seed=0)
    rows = {
        name: _trained_rows(chain, grid, grid.method(name)) for name in ("start", "live", "later", "flat")
    }
    assert rows == {"start": 10, "live": 210, "later": 3210, "flat": 40}
    assert (chain.asked["later"]["max_rows"], chain.asked["flat"]["max_rows"]) == (200, 10)
    assert chain.asked["later"]["model"].endswith("live/model")
    assert chain.asked["flat"]["model"].endswith("grounding/model")
    assert "max_rows" not in chain.asked["live"]


def test_rows_that_nobody_counted_are_unknown_and_nothing_is_measured_by_them(
    grid: Grid, tmp_path: Path
) -> None:
    chain = Counted("quickstart", root=tmp_path, seed=0)
    assert _trained_rows(chain, grid, grid.method("old")) is None
    with pytest.raises(ConfigError, match=r"as many rows as old, but the checkpoint in .*old counts none"):
        _trained(chain, grid, grid.method("new"))


def test_live_steps_of_the_model_that_a_method_starts_from_count(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Counted("quickstart", root=tmp_path, seed=0)
    monkeypatch.setattr(TrajectoryStore, "__iter__", lambda self: iter([_Steps()]))
    steps = {
        name: _device_steps(chain, grid, grid.method(name)) for name in ("start", "live", "later", "flat")
    }
    assert steps == {"start": 0, "live": 3, "later": 3, "flat": 0}


class _Steps:
    """An episode of three steps."""

    steps = (1, 2, 3)


def test_the_table_replaces_only_what_is_between_the_markers(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text("before\n<!-- results: begin -->\nold\n<!-- results: end -->\nafter\n")
    replace_table(path, "new\n")
    replace_table(path, "newer\n")
    assert path.read_text() == "before\n<!-- results: begin -->\nnewer\n<!-- results: end -->\nafter\n"
    path.write_text("no markers")
    with pytest.raises(ConfigError, match="add them where the table belongs"):
        replace_table(path, "new\n")
    assert path.read_text() == "no markers"
