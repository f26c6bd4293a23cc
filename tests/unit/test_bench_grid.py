"""Grid files say what is compared; what they cannot say is refused by name."""

from pathlib import Path

import pytest

from gui_agent.cli.bench import read_grid, replace_table
from gui_agent.errors import ConfigError

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
