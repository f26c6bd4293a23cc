"""What is said of models, devices and settings before anything is loaded."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.cli.main import main
from gui_agent.cli.model_defaults import Trained, warn_of_other_ways
from gui_agent.errors import ConfigError
from gui_agent.model_settings import ModelSettings
from gui_agent.policies.opening import PolicySource

ONLINE = "train online --suite phone/quickstart --algorithm grpo --dry-run --model"


TWO = ModelSettings(
    agent=AgentKind.HIERARCHICAL,
    format="compact:snap_px=8,history_limit=16",
    planner_format="compact",
    actor_history=-1,
)
SPEC = AgentSpec(kind=AgentKind.HIERARCHICAL, format=TWO.format)


def model_that_says(settings: ModelSettings, folder: Path) -> str:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    settings.write(folder)
    return str(folder)


def said_of(asked: AgentSpec, *, actor: str, planner: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        acts, plans = (Trained.before_opening(PolicySource(model=model)) for model in (actor, planner))
        warn_of_other_ways(asked, actor=acts, planner=plans)
    return [str(warning.message) for warning in caught]


def test_a_model_that_is_asked_as_it_was_trained_is_not_warned_of(tmp_path: Path) -> None:
    two = model_that_says(TWO, tmp_path / "two")
    written_otherwise = "compact:history_limit=16,snap_px=8,require_thought=false"  # a default, said
    for asked in (SPEC, replace(SPEC, format=written_otherwise), replace(SPEC, planner_format="compact")):
        assert said_of(asked, actor=two, planner=two) == []
    assert said_of(SPEC, actor="Qwen/Qwen2.5-VL-7B-Instruct", planner="") == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": "ui_s1", "planner_format": "compact"}, r"prompt format 'compact:snap.* asked in 'ui_s1'"),
        ({"format": "compact:snap_px=8"}, "is asked in 'compact:snap_px=8'; give --format"),
        ({"kind": AgentKind.FLAT}, "as a hierarchical agent and is asked as a flat one"),
        ({"planner_format": "hi_agent"}, "planner format 'compact' and is asked in 'hi_agent'"),
        ({"planner_format": "compact:history_limit=2"}, "asked in 'compact:history_limit=2'"),
        ({"actor_history": 0}, "actor_history=-1 and is asked with actor_history=0"),
    ],
)
def test_another_way_of_asking_is_warned_of(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    two = model_that_says(TWO, tmp_path / "two")
    (said,) = said_of(replace(SPEC, **changed), actor=two, planner=two)
    assert re.search(words, said)
    assert said.startswith(f"{two} was trained ")


def test_a_model_is_warned_of_for_what_it_does_and_no_more(tmp_path: Path) -> None:
    two = model_that_says(TWO, tmp_path / "two")
    trained_flat = ModelSettings(agent=AgentKind.FLAT, format="compact:snap_px=8")
    flat = model_that_says(trained_flat, tmp_path / "flat")
    asked = replace(SPEC, format=trained_flat.format)
    assert said_of(asked, actor=flat, planner=two) == []  # two plans, in another prompt format than its own
    (said,) = said_of(asked, actor=flat, planner=flat)
    assert f"{flat} was trained as a flat agent and is asked to plan" in said


def test_a_format_of_another_version_is_another(tmp_path: Path) -> None:
    old = model_that_says(ModelSettings(format="forgotten"), tmp_path / "old")
    (said,) = said_of(AgentSpec(format="ui_s1"), actor=old, planner="")
    assert "'forgotten' and is asked in 'ui_s1'" in said


def test_a_training_with_partners_is_judged_by_who_acts(tmp_path: Path) -> None:
    two = model_that_says(TWO, tmp_path / "two")
    trained_flat = ModelSettings(agent=AgentKind.FLAT, format="compact:snap_px=8")
    flat = model_that_says(trained_flat, tmp_path / "flat")
    line = f"{ONLINE} {two} --actor {flat}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(line.split()) == 0
    with pytest.warns(UserWarning, match=f"{flat} was trained in the prompt format"):
        assert main([*line.split(), "--format", TWO.format]) == 0


def test_a_folder_that_is_none_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    PolicySource(model="owner/name").check()  # on the hub, for all that can be said here
    PolicySource(model=str(tmp_path), endpoint="http://127.0.0.1:8000/v1").check()
    PolicySource(model=model_that_says(TWO, tmp_path / "two")).check()
    with pytest.raises(ConfigError, match="no such folder"):
        PolicySource(model=str(tmp_path / "nowhere")).check()
    (tmp_path / "roles").mkdir()
    roles = {"base_model": str(tmp_path / "gone"), "adapters": ["planner", "actor"]}
    (tmp_path / "roles" / "roles.json").write_text(json.dumps(roles))
    with pytest.raises(ConfigError, match="gone: no such folder"):
        PolicySource(model=str(tmp_path / "roles")).check()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{ONLINE} ''", "no model: give --model"),
        (f"{ONLINE} /no/such/model", "/no/such/model: no such folder"),
        (f"{ONLINE} M --devices fone:4", "no world 'fone'; did you mean 'phone'? known are"),
        (f"{ONLINE} M --devices adbphone:4", "did you mean 'adb-phone'?"),
        (f"{ONLINE} M --devices phone:0", "'0' is no number of devices"),
        (f"{ONLINE} M --eval-steps 5 --eval-suite phone/quikstart", "did you mean 'quickstart'"),
        (f"{ONLINE} M --agent hierarchical --planner ./gone", "gone: no such folder"),
        (
            "collect --suite phone/quickstart --output N --devices phone:x --dry-run",
            "is no number of devices",
        ),
        ("eval run --suite phone/quickstart --agent.model ./gone --dry-run", "gone: no such folder"),
    ],
)
def test_a_dry_run_finds(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.strip("'") for word in line.split()]) == 2
    assert message in capsys.readouterr().err


def test_a_suite_that_is_never_evaluated_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="eval_suite=phone/quickstart has no effect without eval_steps"):
        assert main([*ONLINE.split(), "M", "--eval-suite", "phone/quickstart"]) == 0
    assert "would train M on" in capsys.readouterr().out
