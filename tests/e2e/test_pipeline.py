"""The whole chain on the command line, with a model too small and a training too short to learn."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.results import read_results
from gui_agent.cli.main import main
from trajectories.store import TrajectoryStore

FORMAT = "compact:snap_px=8,require_thought=true"
RECIPE: dict[str, dict[str, Any]] = {
    "defaults": {"seed": 0, "format": FORMAT, "suite": "phone/quickstart"},
    "collect": {"episodes": 10},
    "train grounding": {
        "num_screens": 24,
        "num_held_out": 8,
        "answer_steps": 1,
        "buttons": ["back", "home"],
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


def test_what_training_has_met_is_left_out_of_both_scores(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = TrajectoryStore.open(folder / "run/held_out")
    met = TrajectoryStore.create(folder / "met")
    met.append([held_out.record(name) for name in held_out.episode_ids[:3]])
    command = ["eval", "run", "--agent.model", str(folder / "run/warm_start/model"), "--agent.format", FORMAT]
    command += ["--agent.max-completion-length", "6", "--suite", "phone/quickstart"]
    command += ["--episodes-per-template", "1", "--data", str(folder / "run/held_out")]
    command += ["--output-dir", str(folder / "unseen"), "--training-data"]
    assert main([*command, str(folder / "run/demonstrations"), str(folder / "met")]) == 0
    report = json.loads((folder / "unseen/eval.json").read_text())
    assert report["live"]["seen_in_training"] == report["replay"]["seen_in_training"] == 3
    assert report["live"]["scored"] == report["replay"]["trajectories"] == len(held_out) - 3
    capsys.readouterr()
    assert main([*command, str(folder / "run/held_out")]) == 3
    assert "nothing is held out" in capsys.readouterr().err


def test_an_evaluation_replaces_no_trajectories_of_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = folder / "mine" / "episodes"
    assert main(["collect", "--suite", "phone/quickstart", "--episodes", "1", "--output", str(mine)]) == 0
    command = ["eval", "run", "--agent.model", str(folder / "run/warm_start/model"), "--agent.format", FORMAT]
    assert main([*command, "--suite", "phone/quickstart", "--output-dir", str(folder / "mine")]) == 2
    assert "no evaluation wrote" in capsys.readouterr().err
    assert len(TrajectoryStore.open(mine)) == 1


def test_the_model_goes_on_live(folder: Path) -> None:
    flags = {
        "--model": folder / "run/warm_start/model",
        "--format": FORMAT,
        "--suite": "phone/quickstart",
        "--task-seeds": 1,
        "--num-generations": 2,
        "--groups-per-update": 2,
        "--num-mini-batches": 1,
        "--filter-std": -1,
        "--reward": "task",
        "--max-completion-length": 6,
        "--max-updates": 1,
        "--beta": 0,
        "--output-dir": folder / "online",
    }
    assert main(["train", "online", *(str(word) for pair in flags.items() for word in pair)]) == 0
    store = TrajectoryStore.open(folder / "online/trajectories")
    groups: dict[str, set[tuple[str, str | None]]] = {}
    for trajectory in store:
        start = (trajectory.task_id, trajectory.steps[0].state_key_before)
        groups.setdefault(trajectory.group_id, set()).add(start)
    assert len(store) == 4
    assert [len(starts) for starts in groups.values()] == [1, 1], "siblings begin in the same state"


def test_a_model_collects_and_goes_on_where_it_stopped(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["collect", "--suite", "phone/quickstart", "--output", str(folder / "own")]
    command += ["--agent.model", str(folder / "run/warm_start/model"), "--agent.format", FORMAT]
    command += ["--agent.max-completion-length", "6", "--episodes"]
    assert main([*command, "2"]) == 0
    assert main([*command, "3"]) == 0
    assert "kept 1 of 1 episodes" in capsys.readouterr().out
    store = TrajectoryStore.open(folder / "own")
    assert len({trajectory.task_id for trajectory in store}) == len(store) == 3
    assert all(trajectory.steps[0].completions for trajectory in store)


def test_any_folder_with_episodes_can_be_looked_at(folder: Path) -> None:
    for name in ("demonstrations", "semi_online", "warm_start_eval"):
        page = folder / f"{name}.html"
        assert main(["view", str(folder / "run" / name), "--output", str(page), "--limit", "2"]) == 0
        assert "data:image/" in page.read_text()


def test_a_bench_appends_rows_and_keeps_its_stages(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = {
        "warm_start": None,
        "semi_online": {"command": "train semi-online"},
        "supervised": {
            "command": "train sft",
            "settings": {"num_train_epochs": 1000, "save_steps": 0},
            "same_cpu_as": "semi_online",
        },
    }
    grid = {"recipe": str(folder / "recipe.yaml"), "seeds": [0], "methods": methods}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    command = ["bench", str(folder / "grid.yaml"), "--root", str(folder / "bench")]
    command += ["--results", str(folder / "results.json"), "--table", str(folder / "results.md")]
    assert main(command) == 0
    rows = read_results(folder / "results.json")
    assert {row.method for row in rows} == set(methods)
    assert all(row.suite == "phone/quickstart" and row.episodes == 10 for row in rows)
    assert (folder / "results.md").read_text().count("\n| ") == 1 + len(methods)
    capsys.readouterr()
    assert main(command) == 0
    assert "gui-agent train" not in capsys.readouterr().out
    assert read_results(folder / "results.json") == rows
