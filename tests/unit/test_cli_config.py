"""Settings of commands: defaults, recipes and flags, and what is said when one of them is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import types
import warnings
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest

from gui_agent.cli import commands, main
from gui_agent.cli.commands import COMMANDS, Entry
from gui_agent.cli.config import load_command, option, to_yaml
from gui_agent.cli.main import ExitCode
from gui_agent.errors import ConfigError, DataError, DependencyError, DeviceError, PolicyError


class Algorithm(StrEnum):
    GRPO = "grpo"
    UI_S1 = "ui_s1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """How weights move.

    Attributes:
        learning_rate: step size,
            on two lines.
        betas: decay of both moments.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if self.learning_rate < 0:
            raise ValueError(f"learning_rate must not be negative, got {self.learning_rate}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """Updates weights."""

    optimizer: Optimizer = Optimizer(learning_rate=2e-3)
    gamma: float = 0.5
    checkpointing: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Scores runs."""

    tasks: tuple[str, ...]
    gamma: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Train a toy.

    Longer words.

    Attributes:
        output_dir: where results go.
        weights: how much each part counts.

    Examples:
        gui-agent toy train --output-dir runs/a
    """

    output_dir: Path
    algorithm: Algorithm = Algorithm.GRPO
    dtype: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    max_steps: int | None = None
    resume: bool | Path = False
    label: str = ""
    tags: list[str] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    learner: Learner = field(default_factory=Learner)
    judge: Judge | None = None

    def run(self) -> int:
        print(json.dumps({"seed": self.seed, "lr": self.learner.optimizer.learning_rate}))
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Look at something."""

    path: Path = option(help="what to look at", positional=True)
    port: int = 8000
    error: str = ""
    recipe: str | None = None

    def run(self) -> int:
        errors: dict[str, type[BaseException]] = {
            "data": DataError,
            "device": DeviceError,
            "policy": PolicyError,
            "missing": DependencyError,
            "interrupt": KeyboardInterrupt,
        }
        if self.error:
            raise errors[self.error]("what went wrong")
        return 0

    def dry_run(self) -> int:
        print(f"would look at {self.path}")
        return 0


@pytest.fixture(autouse=True)
def _toy_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("toy_commands")
    module.Train, module.Look = Train, Look  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_commands", module)
    monkeypatch.setitem(COMMANDS, "toy train", Entry(target="toy_commands:Train", summary="trains"))
    monkeypatch.setitem(COMMANDS, "toy look", Entry(target="toy_commands:Look", summary="looks"))


def _recipe(tmp_path: Path, text: str) -> str:
    path = tmp_path / "some.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _toy(*arguments: str, command: type = Train, name: str = "toy train") -> object:
    """The command that the arguments build, by way of the public parser."""
    from gui_agent.cli.config import build, recipe_settings
    from gui_agent.cli.flags import parse_flags
    from gui_agent.cli.recipes import overlaid
    from gui_agent.cli.schema import schema_of

    schema = schema_of(command)
    parsed = parse_flags(arguments, schema)
    recipe = parsed.common.recipe
    settings = recipe_settings(recipe, name, schema) if recipe else {}
    return build(command, overlaid(settings, parsed.settings, schema), recipe=recipe)


def test_defaults_of_a_section_are_those_of_its_default_instance() -> None:
    built = _toy("--output-dir", "out")
    assert built == Train(output_dir=Path("out"))
    assert isinstance(built, Train)
    assert built.learner.optimizer.learning_rate == 2e-3


def test_flags_go_before_the_recipe_and_its_section_before_its_defaults(tmp_path: Path) -> None:
    recipe = _recipe(
        tmp_path,
        "defaults: {seed: 1, output_dir: d, learner: {gamma: 0.1, optimizer: {learning_rate: 1e-4}}}\n"
        "toy train:\n  seed: 2\n  max_steps: 9\n  learner: {gamma: 0.2}\n",
    )
    built = _toy("--recipe", recipe, "--max-steps=7")
    expected = Learner(gamma=0.2, optimizer=Optimizer(learning_rate=1e-4))
    assert built == Train(output_dir=Path("d"), seed=2, max_steps=7, learner=expected)


@pytest.mark.parametrize(
    ("arguments", "field_name", "expected"),
    [
        (["--algorithm", "ui_s1"], "algorithm", Algorithm.UI_S1),
        (["--dtype=bfloat16"], "dtype", "bfloat16"),
        (["--seed", "-3"], "seed", -3),
        (["--max-steps", "none"], "max_steps", None),
        (["--label", "007"], "label", "007"),
        (["--label="], "label", ""),
        (["--tags", "a", "1", "--seed", "2"], "tags", ["a", "1"]),
        (["--tags", "[a, b]"], "tags", ["a", "b"]),
        (["--weights", "format=0.1", "action=1"], "weights", {"format": 0.1, "action": 1.0}),
        (["--learner.no-checkpointing"], "learner", Learner(checkpointing=False)),
        (["--no-checkpointing"], "learner", Learner(checkpointing=False)),
        (["--checkpointing", "false"], "learner", Learner(checkpointing=False)),
        (["--resume"], "resume", True),
        (["--resume", "--seed", "1"], "resume", True),
        (["--resume", "runs/a"], "resume", Path("runs/a")),
        (["--no-resume"], "resume", False),
        (["--learner.gamma", "1"], "learner", Learner(gamma=1.0)),
        (
            ["--betas", "0.8", "0.9"],
            "learner",
            Learner(optimizer=Optimizer(learning_rate=2e-3, betas=(0.8, 0.9))),
        ),
        (["--learning_rate", "1e-4"], "learner", Learner(optimizer=Optimizer(learning_rate=1e-4))),
        (["--optimizer.learning-rate", "0"], "learner", Learner(optimizer=Optimizer(learning_rate=0.0))),
        (["--tasks", "one"], "judge", Judge(tasks=("one",))),
    ],
)
def test_flags_become_typed_values(arguments: list[str], field_name: str, expected: object) -> None:
    value = getattr(_toy("--output-dir", "out", *arguments), field_name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lerning-rate", "1"], "unknown flag --lerning-rate; did you mean '--learning-rate'"),
        (["--gamma", "1"], "--gamma may mean --learner.gamma or --judge.gamma"),
        (["--seed", "1.5"], "--seed: expected whole number, got '1.5'"),
        (["--seed", "many"], "--seed: expected whole number, got 'many'"),
        (["--seed"], "--seed needs a value"),
        (["--algorithm", "grp"], "did you mean 'grpo'"),
        (["--betas", "1"], "expected 2 values"),
        (["--weights", "format"], "expected key=value, got 'format'"),
        (["--checkpointing=maybe"], "expected true or false, got 'maybe'"),
        (["--learning-rate", "-1"], "learner.optimizer: learning_rate must not be negative, got -1.0"),
        (["--judge.gamma", "1"], "missing: --judge.tasks"),
        (["extra"], "unexpected argument 'extra'"),
    ],
)
def test_wrong_flags_are_refused_with_what_was_expected(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        _toy("--output-dir", "out", *arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("toy train:\n  sede: 1\n", r"some.yaml:2: unknown key 'sede'; did you mean 'seed'\?"),
        (
            "toy train:\n  learning_rate: 1\n",
            r"some.yaml:2: .*did you mean 'learner.optimizer.learning_rate'\?",
        ),
        ("toy train:\n  seed: '3'\n", r"some.yaml:2: seed: expected whole number, got '3'"),
        ("toy train:\n  seed: 010\n", "expected whole number, got '010'"),
        ("toy train:\n  seed: true\n", "expected whole number, got True"),
        ("toy train:\n  label: 1.0\n", "label: expected text, got 1.0"),
        ("toy train:\n  tags: a\n", "tags: expected list of text, got 'a'"),
        ("toy train:\n  seed: 1\n  seed: 2\n", "some.yaml:3: 'seed' is set twice"),
        ("toy train: [1]\n", "must be a mapping"),
        ("toy train:\n  learner: 3\n", "some.yaml:2: section learner must be a mapping"),
        ("toy train:\n  learner: null\n", "section learner must be a mapping"),
        ("toy trian: {}\n", "there is no command 'toy trian'; did you mean 'toy train'"),
        ("toy look: {}\n", "no section for 'toy train'; it has: toy look"),
        ("toy train: {}\ndefaults: {sede: 1}\n", "no command of this recipe has 'sede'"),
        ("toy train: {}\ndefaults: {learner: {gama: 1}}\n", "no command of this recipe has 'learner.gama'"),
        ("toy train: {}\ndefaults: {port: 1}\n", "no command of this recipe has 'port'"),
        ("a: [\n", "this is no YAML"),
        ("toy train: {}\n", "missing: --output-dir"),
    ],
)
def test_wrong_recipes_are_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _toy("--recipe", _recipe(tmp_path, text))


def test_defaults_for_other_commands_of_the_recipe_are_left_to_them(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, "defaults: {port: 1, output_dir: out}\ntoy train:\ntoy look: {path: x}\n")
    assert _toy("--recipe", recipe) == Train(output_dir=Path("out"))
    assert load_command("toy look", recipe=recipe) == Look(path=Path("x"), port=1, recipe=recipe)


def test_a_section_that_is_off_by_default_comes_on_when_set_and_off_with_null(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, "defaults: {judge: {tasks: [a]}}\ntoy train: {output_dir: o, judge: null}\n")
    assert _toy("--recipe", recipe) == Train(output_dir=Path("o"))
    assert _toy("--recipe", recipe, "--tasks", "b") == Train(output_dir=Path("o"), judge=Judge(tasks=("b",)))


def test_a_flag_switches_a_section_off_and_a_later_one_on_again(tmp_path: Path) -> None:
    recipe = ("--recipe", _recipe(tmp_path, "toy train: {output_dir: o, judge: {tasks: [a], gamma: 0.5}}\n"))
    off = Train(output_dir=Path("o"))
    assert _toy(*recipe, "--judge", "none") == off
    assert _toy(*recipe, "--judge.tasks", "b", "--judge=none") == off
    on = _toy(*recipe, "--judge", "none", "--judge.tasks", "b")
    assert on == Train(output_dir=Path("o"), judge=Judge(tasks=("b",))), "nothing of the recipe is left"
    for words in (("--judge", "3"), ("--learner", "none")):
        with pytest.raises(ConfigError, match="is a section of settings"):
            _toy(*recipe, *words)


def test_the_printed_config_loads_to_an_equal_command(tmp_path: Path) -> None:
    command = Train(
        output_dir=Path("a b"),
        algorithm=Algorithm.UI_S1,
        label="1e-4",
        tags=["null", "3", "2024-01-01"],
        weights={"x": 1e-7, "y": float("inf")},
        learner=Learner(optimizer=Optimizer(learning_rate=1e-5)),
        judge=Judge(tasks=("no", "yes")),
    )
    assert _toy("--recipe", _recipe(tmp_path, to_yaml("toy train", command))) == command


def test_overrides_from_python_are_checked_like_flags() -> None:
    command = load_command("toy train", overrides={"output_dir": "o", "learner.gamma": 1})
    assert command == Train(output_dir=Path("o"), learner=Learner(gamma=1.0))
    with pytest.raises(ConfigError, match="unknown option 'gamma'"):
        load_command("toy train", overrides={"gamma": 1})


def test_an_argument_without_flag_and_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["toy", "look", "runs/a", "--dry-run"]) == ExitCode.OK
    assert capsys.readouterr().out == "would look at runs/a\n"


def test_a_dry_run_without_its_own_words_shows_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["toy", "train", "--output-dir", "o", "--dry-run"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "nothing was done" in printed
    assert '"lr"' not in printed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("", ExitCode.OK),
        ("data", ExitCode.DATA),
        ("device", ExitCode.DEVICE),
        ("policy", ExitCode.FAILED),
        ("missing", ExitCode.DEPENDENCY),
        ("interrupt", ExitCode.INTERRUPTED),
    ],
)
def test_exit_codes(error: str, code: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["toy", "look", "x", f"--error={error}"]) == code
    if error and error != "interrupt":
        assert capsys.readouterr().err == "gui-agent: error: what went wrong\n"


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["trian", "sft"]) == ExitCode.USAGE
    assert "did you mean 'train sft'" in capsys.readouterr().err
    assert main.main(["train"]) == ExitCode.USAGE
    assert main.main([]) == ExitCode.USAGE
    assert main.main(["toy", "look"]) == ExitCode.USAGE
    assert "missing: --path" in capsys.readouterr().err


def test_a_command_that_cannot_be_imported_exits_with_5(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(commands.COMMANDS, "absent", Entry(target="gui_agent.cli.absent:Absent", summary=""))
    assert main.main(["absent"]) == ExitCode.DEPENDENCY
    assert "no module gui_agent.cli.absent" in capsys.readouterr().err


def test_help_shows_sections_types_defaults_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["toy", "train", "--help"]) == ExitCode.OK
    printed = capsys.readouterr().out
    for expected in (
        "Train a toy.",
        "Longer words.",
        "learner.optimizer: How weights move.",
        "step size, on two lines (default: 0.002)",
        "--algorithm {grpo,ui_s1}",
        "--output-dir PATH",
        "--resume [PATH]",
        "--tags TEXT ...",
        "--weights KEY=VALUE ...",
        "--max-steps INT",
        "(required)",
        "gui-agent toy train --output-dir runs/a",
        "--print-config",
    ):
        assert expected in printed


def test_help_of_the_program_names_every_command_and_imports_none() -> None:
    script = (
        "import sys; from gui_agent.cli.main import main; main(['--help']); main(['nonsense']);"
        "heavy = {'torch', 'transformers', 'playwright', 'numpy', 'rich'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, entry in COMMANDS.items():
        if not name.startswith("toy "):
            assert name in done.stdout
            assert entry.summary in done.stdout


def test_the_environment_report_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["env", "--json", "--no-adb"]) == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    assert report["packages"]["pyyaml" if "pyyaml" in report["packages"] else "httpx"]
    assert report["machine"]["cores"] >= 1
    assert set(report) >= {"gui_agent", "python", "packages", "machine", "gpus", "browsers"}
    assert "adb" not in report, "it was not to be asked"


def test_the_environment_report_names_the_adb_that_runs_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one on the PATH, where there often is none."""
    monkeypatch.setenv("PATH", "")
    # By this name no server is started, and on this port none answers.
    monkeypatch.setenv("ANDROID_ADB_SERVER_ADDRESS", "127.0.0.9")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    assert main.main(["env", "--json"]) == ExitCode.OK
    adb = json.loads(capsys.readouterr().out)["adb"]
    assert Path(adb["program"]).is_file()
    assert adb["server"] == "127.0.0.9:1"
    assert adb["devices"] == []
    assert "no adb server answers at 127.0.0.9:1" in adb["error"]


def test_a_warning_is_one_line_that_begins_with_the_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back what main sets
    assert main.main(["--version"]) == ExitCode.OK
    line = warnings.formatwarning("gamma has no effect", UserWarning, main.__file__, 1, None)
    assert line == "gui-agent: warning: gamma has no effect\n"
    library = warnings.formatwarning("old", UserWarning, pytest.__file__, 7, None)
    assert library == f"{pytest.__file__}:7: UserWarning: old\n"
    capsys.readouterr()
