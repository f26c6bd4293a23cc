"""A model says how it is to be asked, and commands ask it so unless their user chose otherwise."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.cli.config import load_command
from gui_agent.cli.main import main
from gui_agent.cli.model_defaults import QUICKSTART_MODEL
from gui_agent.cli.recipes import parse_yaml
from gui_agent.cli.serve import as_flags
from gui_agent.errors import ConfigError
from gui_agent.model_settings import MODEL_SETTINGS_FILE, ModelSettings

FLAT = ModelSettings(agent=AgentKind.FLAT, format="compact:snap_px=8", max_completion_length=16)
TWO = ModelSettings(
    agent=AgentKind.HIERARCHICAL,
    format="compact:snap_px=8,history_limit=16",
    planner_format="hi_agent",
    actor_history=2,
    max_completion_length=32,
)
EVAL = "eval run --suite phone/quickstart"
ONLINE = "train online --suite phone/quickstart"


def model_that_says(settings: ModelSettings, folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    settings.write(folder)
    return folder


def effective(line: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """The settings that a command line comes down to."""
    capsys.readouterr()
    assert main([*line.split(), "--print-config"]) == 0
    (settings,) = parse_yaml(capsys.readouterr().out).values()
    return settings


@pytest.mark.parametrize("settings", [FLAT, TWO, ModelSettings(format="ui_s1")])
def test_what_is_written_is_read_again(settings: ModelSettings, tmp_path: Path) -> None:
    assert ModelSettings.read(model_that_says(settings, tmp_path / "m")) == settings


def test_nothing_is_left_to_defaults_that_may_change() -> None:
    flat = ModelSettings.of_trained(AgentSpec(format="compact"), max_completion_length=16)
    assert flat.decided() == {"agent": "flat", "format": "compact", "max_completion_length": 16}
    for name, planner in (("compact:snap_px=8", "compact"), ("mobile_use", "hi_agent")):
        two = ModelSettings.of_trained(AgentSpec(kind=AgentKind.HIERARCHICAL, format=name))
        assert (two.planner_format, two.actor_history) == (planner, -1)


def test_a_folder_without_the_file_says_nothing(tmp_path: Path) -> None:
    assert ModelSettings.read(tmp_path) is None
    assert ModelSettings.read("Qwen/Qwen2.5-VL-7B-Instruct") is None


def test_keys_of_newer_versions_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / MODEL_SETTINGS_FILE).write_text('{"format": "ui_s1", "voice": "low"}')
    assert ModelSettings.read(tmp_path) == ModelSettings(format="ui_s1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[1]", "expected an object"),
        ('{"agent": "swarm"}', "agent is 'swarm'; expected flat or hierarchical"),
        ('{"agent": ["flat"]}', "agent is"),
        ('{"format": 3}', "format is 3; expected the name of a format"),
        ('{"actor_history": -2}', "actor_history is -2"),
        ('{"max_completion_length": 0}', "expected a whole number, 1 or more"),
        ('{"max_completion_length": true}', "max_completion_length is True"),
    ],
)
def test_a_damaged_file_is_told_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / MODEL_SETTINGS_FILE).write_text(text)
    with pytest.raises(ConfigError, match=message) as raised:
        ModelSettings.read(tmp_path)
    assert str(tmp_path / MODEL_SETTINGS_FILE) in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [f"{EVAL} --agent.model", "collect --suite phone/quickstart --output o --agent.model", "run x --model"],
)
def test_an_agent_is_asked_as_its_model_was_trained(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = effective(f"{line} {model_that_says(TWO, tmp_path / 'm')}", capsys)["agent"]
    assert found["kind"] == "hierarchical"
    assert (found["format"], found["planner_format"]) == (TWO.format, TWO.planner_format)
    assert (found["actor_history"], found["max_completion_length"]) == (2, 32)


def test_trainings_go_on_as_the_model_was_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_that_says(TWO, tmp_path / "m")
    for line in (ONLINE, "train semi-online --data d", "train sft --data d"):
        found = effective(f"{line} --model {model}", capsys)
        assert (found["agent"], found["format"]) == ("hierarchical", TWO.format)
        assert (found["planner_format"], found["actor_history"]) == ("hi_agent", 2)
    assert effective(f"train grounding --output-dir g --model {model}", capsys)["format"] == TWO.format


def test_what_is_chosen_stays_chosen_and_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_that_says(FLAT, tmp_path / "m")
    # The defaults of the program, said: that is a choice, too.
    line = f"{EVAL} --agent.model {model} --format ui_s1 --agent.max-completion-length 512"
    found = effective(line, capsys)["agent"]
    assert (found["format"], found["max_completion_length"]) == ("ui_s1", 512)
    with pytest.warns(UserWarning, match="was trained in the prompt format 'compact:snap_px=8'"):
        assert main([*line.split(), "--dry-run"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main([*f"{EVAL} --agent.model {model} --dry-run".split()]) == 0


def test_a_flat_agent_gets_nothing_of_a_planner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_that_says(TWO, tmp_path / "m")
    found = effective(f"{EVAL} --agent.model {model} --agent flat", capsys)["agent"]
    assert (found["kind"], found["planner_format"], found["actor_history"]) == ("flat", "", -1)
    assert found["format"] == TWO.format


def test_partners_bring_their_own_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat, two = model_that_says(FLAT, tmp_path / "flat"), model_that_says(TWO, tmp_path / "two")
    line = f"{EVAL} --agent hierarchical --agent.model {flat} --agent.planner {two}"
    found = effective(line, capsys)["agent"]
    assert (found["format"], found["planner_format"]) == (FLAT.format, "hi_agent")
    # The planner's 32, or its subgoals would be cut off.
    assert (found["actor_history"], found["max_completion_length"]) == (-1, 32)
    found = effective(f"{ONLINE} --agent hierarchical --model {two} --actor {flat}", capsys)
    assert (found["format"], found["planner_format"], found["actor_history"]) == (FLAT.format, "hi_agent", -1)


def test_recipes_go_before_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ModelSettings(agent=AgentKind.FLAT, format="mobile_use", max_completion_length=99)
    model = model_that_says(other, tmp_path / "m")
    found = effective(f"eval run --recipe quickstart --agent.model {model}", capsys)["agent"]
    assert (found["format"], found["max_completion_length"]) == ("compact:snap_px=8,require_thought=true", 16)


def test_a_served_name_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model_that_says(FLAT, tmp_path / "m")
    line = f"{EVAL} --agent.model m --agent.endpoint http://127.0.0.1:8000/v1"
    assert effective(line, capsys)["agent"]["format"] == "ui_s1"


def test_commands_from_python_are_those_of_the_command_line_but_for_stages(tmp_path: Path) -> None:
    settings = {"suite": "phone/quickstart", "model": str(model_that_says(FLAT, tmp_path / "m"))}
    assert load_command("train online", overrides=settings).format == FLAT.format  # type: ignore[attr-defined]
    stage = load_command("train online", overrides=settings, asks_models=False)
    assert stage.format == "ui_s1"  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["run x", "demo"])
def test_the_default_model_is_asked_as_it_was_trained_unless_its_user_chose(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert effective(command, capsys)["agent"]["model"] == ""
    (tmp_path / QUICKSTART_MODEL).parent.mkdir(parents=True)
    model_that_says(FLAT, tmp_path / QUICKSTART_MODEL)
    found = effective(command, capsys)["agent"]
    assert (found["model"], found["format"]) == (QUICKSTART_MODEL, FLAT.format)
    assert found["max_completion_length"] == 16
    # The defaults of the program, said: that is a choice, too.
    chosen = f"{command} --format ui_s1 --agent.max-completion-length 512"
    found = effective(chosen, capsys)["agent"]
    assert (found["model"], found["format"], found["max_completion_length"]) == (
        QUICKSTART_MODEL,
        "ui_s1",
        512,
    )
    with pytest.warns(UserWarning, match="in the prompt format 'compact:snap_px=8' and is asked in 'ui_s1'"):
        assert main([*chosen.split(), "--dry-run"]) == 0
    for other in ("--endpoint http://127.0.0.1:8000/v1", "--agent hierarchical"):
        assert effective(f"{command} {other}", capsys)["agent"]["model"] == ""
    assert effective(f"{command} --agent flat", capsys)["agent"]["model"] == QUICKSTART_MODEL


@pytest.mark.parametrize("line", [f"{EVAL} --agent.model", f"{ONLINE} --model"])
def test_every_choice_wins_with_a_warning(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"{line} {model_that_says(TWO, tmp_path / 'm')}"
    for choice, words in (
        ("--agent flat", "as a hierarchical agent and is asked as a flat one"),
        ("--planner-format compact", "planner format 'hi_agent' and is asked in 'compact'"),
        ("--actor-history -1", "actor_history=2 and is asked with actor_history=-1"),
    ):
        with pytest.warns(UserWarning, match=words):
            assert main([*line.split(), *choice.split(), "--dry-run"]) == 0


def test_a_server_says_how_to_ask_its_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = as_flags(replace(TWO, image_max_pixels=1000))  # pictures are the server's
    assert flags.startswith("--agent hierarchical --format compact:snap_px=8,history_limit=16 --planner")
    served = f"{EVAL} --agent.model m --agent.endpoint http://127.0.0.1:8000/v1 {flags}"
    local = effective(f"{EVAL} --agent.model {model_that_says(TWO, tmp_path / 'm')}", capsys)["agent"]
    assert effective(served, capsys)["agent"] == local | {
        "model": "m",
        "endpoint": "http://127.0.0.1:8000/v1",
    }


def test_a_format_that_is_unknown_here_is_told_unless_another_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_that_says(ModelSettings(format="forgotten"), tmp_path / "m")
    assert main([*f"{EVAL} --agent.model {model} --dry-run".split()]) == 2
    said = capsys.readouterr().err
    assert f"{model} was trained in 'forgotten'" in said
    assert "choose with --format" in said
    with pytest.warns(UserWarning, match="'forgotten' and is asked in 'ui_s1'"):
        assert main([*f"{EVAL} --agent.model {model} --format ui_s1 --dry-run".split()]) == 0


def test_the_file_is_readable(tmp_path: Path) -> None:
    model_that_says(FLAT, tmp_path / "m")
    assert json.loads((tmp_path / "m" / MODEL_SETTINGS_FILE).read_text()) == {
        "agent": "flat",
        "format": "compact:snap_px=8",
        "max_completion_length": 16,
    }
