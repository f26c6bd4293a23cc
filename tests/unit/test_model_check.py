"""What is said of models, devices and settings before anything is loaded."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from gui_agent.cli.main import main
from gui_agent.cli.model_check import check_model, trained_as, warn_of_another_format
from gui_agent.errors import ConfigError
from gui_agent.model_settings import ModelSettings

ONLINE = "train online --suite phone/quickstart --algorithm grpo --dry-run --model"


def training(folder: Path, *, prompt_format: str) -> Path:
    """A folder as a training leaves it, short of weights."""
    for number, said in ((2, "mobile_use"), (10, prompt_format)):
        checkpoint = folder / f"checkpoint-{number}"
        (checkpoint / "model").mkdir(parents=True)
        settings = {"format": said, "output_dir": str(folder)}
        (checkpoint / "config.json").write_text(json.dumps(settings))
        (checkpoint / "model" / "config.json").write_text("{}")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    return folder / "model"


def test_a_model_is_known_by_the_format_of_its_newest_checkpoint(tmp_path: Path) -> None:
    model = training(tmp_path / "run", prompt_format="compact:snap_px=8")
    assert trained_as(model) == ModelSettings(format="compact:snap_px=8")
    assert trained_as(tmp_path / "run" / "checkpoint-2" / "model") == ModelSettings(format="mobile_use")
    assert trained_as(tmp_path / "nowhere") is None
    assert trained_as(Path("Qwen/Qwen2.5-VL-7B-Instruct")) is None


def test_a_model_that_says_it_itself_needs_no_checkpoint_beside_it(tmp_path: Path) -> None:
    model = training(tmp_path / "run", prompt_format="mobile_use")
    ModelSettings(format="compact:snap_px=8").write(model)
    assert trained_as(model) == ModelSettings(format="compact:snap_px=8")
    moved = model.rename(tmp_path / "moved")
    assert trained_as(moved) == ModelSettings(format="compact:snap_px=8")
    with pytest.warns(UserWarning, match="moved was trained in the prompt format 'compact:snap_px=8'"):
        warn_of_another_format(str(moved), "ui_s1")


def test_another_format_is_warned_of(tmp_path: Path) -> None:
    model = str(training(tmp_path / "run", prompt_format="compact:snap_px=8"))
    with pytest.warns(UserWarning, match=r"trained in the prompt format 'compact:snap_px=8' .* 'ui_s1'"):
        warn_of_another_format(model, "ui_s1")
    with pytest.warns(UserWarning, match="is asked in 'compact'"):
        warn_of_another_format(model, "compact")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_another_format(model, "compact:snap_px=8,require_thought=false")  # its default, said
        warn_of_another_format("Qwen/Qwen2.5-VL-7B-Instruct", "ui_s1")
        warn_of_another_format(str(training(tmp_path / "old", prompt_format="forgotten")), "ui_s1")


def test_a_folder_that_is_none_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    check_model("owner/name")  # on the hub, for all that can be said here
    check_model(str(training(tmp_path / "run", prompt_format="ui_s1")))
    with pytest.raises(ConfigError, match="no such folder"):
        check_model(str(tmp_path / "nowhere"))
    (tmp_path / "roles").mkdir()
    roles = {"base_model": str(tmp_path / "gone"), "adapters": ["planner", "actor"]}
    (tmp_path / "roles" / "roles.json").write_text(json.dumps(roles))
    with pytest.raises(ConfigError, match="gone: no such folder"):
        check_model(str(tmp_path / "roles"))


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
