"""The hierarchical quickstart from nothing, with a model too small and a training too short to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jinja2.utils import htmlsafe_json_dumps

from gui_agent.agent import CandidateKind
from gui_agent.cli.main import main
from gui_agent.cli.recipes import RECIPES_DIR, parse_yaml
from trajectories.store import TrajectoryStore

SHORTER: dict[str, dict[str, Any]] = {
    "collect": {"episodes": 10},
    "train grounding": {
        "num_screens": 24,
        "num_held_out": 8,
        "answer_steps": 1,
        "num_eval_questions": 4,
        "dense": {"vision_steps": 1, "noun_steps": 1, "lookup_steps": 1},
    },
    "train sft": {"max_steps": 4},
    "train semi-online": {
        "num_generations": 2,
        "groups_per_update": 2,
        "num_mini_batches": 1,
        "filter_std": -1,
        "max_completion_length": 4,
        "max_updates": 5,
        "eval_steps": 1,
        "eval_episodes_per_template": 1,
    },
    "eval run": {"episodes_per_template": 1},
}


def test_a_training_from_nothing_makes_its_warm_start_and_a_report_with_subgoals(tmp_path: Path) -> None:
    sections = parse_yaml((RECIPES_DIR / "hierarchical_quickstart.yaml").read_text(encoding="utf-8"))
    recipe = {name: {**section, **SHORTER.get(name, {})} for name, section in sections.items()}
    recipe["eval run"]["agent"]["max_completion_length"] = 4
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run = tmp_path / "run"
    flags = ["--recipe", str(tmp_path / "recipe.yaml"), "--output-dir", str(run), "--max-updates", "1"]
    assert main(["train", "semi-online", *flags]) == 0
    trunks = list(TrajectoryStore.open(run / "semi_online" / "trajectories"))
    candidates = [each for trunk in trunks for step in trunk.steps for each in step.candidates]
    subgoals = {each.subgoal for each in candidates if each.kind is CandidateKind.SUBGOAL}
    assert len(trunks) == 2
    assert subgoals
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "<dt>train semi-online · max_updates</dt><dd>1</dd>" in html
    executed = [step.subgoal for trunk in trunks for step in trunk.steps if step.subgoal]
    assert executed
    assert all(str(htmlsafe_json_dumps(subgoal))[1:-1] in html for subgoal in executed)
