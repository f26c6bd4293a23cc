"""The whole chain on the command line, with a model too small and a training too short to learn."""

import json
from pathlib import Path

import pytest
import yaml

from gui_agent.cli.main import main

FORMAT = "compact:snap_px=8,require_thought=true"
RECIPE = {
    "defaults": {"seed": 0, "format": FORMAT, "suite": "phone/quickstart"},
    "collect": {"episodes": 11},
    "train grounding": {
        "num_screens": 24,
        "num_held_out": 8,
        "answer_steps": 1,
        "num_eval_questions": 4,
        "dense": {"vision_steps": 1, "noun_steps": 1, "lookup_steps": 1},
    },
    "train sft": {"learning_rate": 1e-3, "num_train_epochs": 1},
    "train semi-online": {
        "learning_rate": 1e-4,
        "num_generations": 2,
        "groups_per_update": 2,
        "num_mini_batches": 1,
        "max_num_gen_batches": 1,
        "on_exhausted": "train_on_rest",
        "filter_std": -1,
        "max_completion_length": 6,
        "max_updates": 2,
        "beta": 0,
        "eval_steps": 2,
        "eval_suite": "phone/quickstart",
        "eval_episodes_per_template": 1,
    },
    "eval run": {"episodes_per_template": 1, "agent": {"format": FORMAT, "max_completion_length": 6}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pipeline, and the recipe that made it."""
    root = tmp_path_factory.mktemp("pipeline")
    (root / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    assert run(root) == 0
    return root


def run(root: Path, *flags: str) -> int:
    return main(
        ["pipeline", "--recipe", str(root / "recipe.yaml"), "--output-dir", str(root / "run"), *flags]
    )


def figures(root: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / "run" / "report.json").read_text())
    return found


def test_the_report_has_its_figures_and_shows_episodes(folder: Path) -> None:
    report = figures(folder)
    for key in ("live_success_before", "live_success_after", "sop_before", "sop_after"):
        value = report[key]
        assert isinstance(value, float)
        assert 0 <= value <= 1
    assert {"cpu_s", "wall_s", "seed"} <= set(report)
    page = (folder / "run" / "report.html").read_text()
    assert "data:image/" in page
    assert "set_switch" in page
    assert "http://" not in page.replace("http://www.w3.org", ""), "the page needs nothing from outside"


def test_live_success_is_measured_during_training(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "run/semi_online/metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == [1, 2]
    assert "eval/live_success" in lines[1]
    assert all(line["images_dropped"] == 0 for line in lines)


def test_finished_stages_are_not_run_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = figures(folder)
    capsys.readouterr()
    assert run(folder) == 0
    said = capsys.readouterr().out
    assert said.count("finished before") == 9
    assert "gui-agent train" not in said
    assert figures(folder) == before


def test_a_changed_setting_repeats_what_depends_on_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {**RECIPE, "train semi-online": {**RECIPE["train semi-online"], "max_updates": 1}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(changed))
    capsys.readouterr()
    assert run(folder) == 0
    said = capsys.readouterr().out
    assert "grounding: finished before" in said
    assert "warm_start: finished before" in said
    assert "semi_online: gui-agent train semi-online" in said
    assert "semi_online_eval: gui-agent eval run" in said


def test_a_folder_of_somebody_else_is_not_touched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = folder / "other" / "demonstrations"
    foreign.mkdir(parents=True)
    (foreign / "thesis.tex").write_text("years of work")
    code = main(["pipeline", "--recipe", str(folder / "recipe.yaml"), "--output-dir", str(folder / "other")])
    assert code == 2
    assert "is no stage" in capsys.readouterr().err
    assert (foreign / "thesis.tex").read_text() == "years of work"


def test_two_evaluations_give_the_same_figures(folder: Path) -> None:
    reports = []
    for name in ("one", "two"):
        flags = {
            "--agent.model": folder / "run/warm_start/model",
            "--agent.format": FORMAT,
            "--agent.max-completion-length": 6,
            "--suite": "phone/quickstart",
            "--episodes-per-template": 1,
            "--data": folder / "run/held_out",
            "--output-dir": folder / name,
        }
        assert main(["eval", "run", *(str(word) for pair in flags.items() for word in pair)]) == 0
        report = json.loads((folder / name / "eval.json").read_text())
        reports.append({key: report[key] for key in ("live", "replay")})
    assert reports[0] == reports[1]
    assert reports[0]["live"]["resolution"] == "112x224"
    assert reports[0]["replay"]["matcher"] == "ui_s1@1"
