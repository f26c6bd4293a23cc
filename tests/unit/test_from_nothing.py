"""When a training command stands for the whole chain of its recipe."""

from pathlib import Path

import pytest

from gui_agent.cli.main import main

FLAGS = ["train", "semi-online", "--recipe"]


def test_a_recipe_of_a_chain_needs_no_model_and_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--seed", "3", "--learning-rate", "0.5", "--schedule", "planner_only", "--dry-run"]
    assert main([*FLAGS, "hierarchical_quickstart", *flags]) == 0
    planned = capsys.readouterr().out
    assert "recipe hierarchical_quickstart with seed 3 into runs/hierarchical_quickstart" in planned
    training = planned[planned.index("train semi-online:") :]
    assert "learning_rate: 0.5" in training
    assert "schedule: planner_only" in training
    assert "learning_rate: 0.5" not in planned.removesuffix(training)


@pytest.mark.parametrize("given", [["--model", "m"], ["--data", "d"]])
def test_whoever_gives_half_a_start_is_asked_for_the_rest(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FLAGS, "hierarchical_quickstart", *given, "--dry-run"]) == 2
    assert "would run the chain" not in capsys.readouterr().out


def test_a_recipe_of_the_training_alone_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("train semi-online: {learning_rate: 1e-4}")
    assert main([*FLAGS, str(recipe)]) == 2
    assert "no data: give --data" in capsys.readouterr().err
