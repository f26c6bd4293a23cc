"""What the whole program says to input that is wrong: the exit code and the words that help."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gui_agent.cli.main import main
from trajectories.check import check_store
from trajectories.store import TrajectoryStore

COMPACT = "compact:snap_px=8"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "store"
    assert main(["collect", "--suite", "phone/quickstart", "--episodes", "4", "--output", str(path)]) == 0
    return path


@pytest.fixture
def blocker(tmp_path: Path) -> Path:
    """A file where a folder is wanted."""
    path = tmp_path / "file"
    path.write_text("")
    return path


class Said:
    """The exit code of a command and everything it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str]:
        code = main([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        return code, " ".join((out + err).split())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


SEMI_ONLINE = "train semi-online --model M --data D --output-dir O --format compact"
EVAL = "eval run --agent.model M --suite phone/quickstart --output-dir O"
COLLECT = "collect --suite phone/quickstart --output N"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("collect --suite phone/quikstart --output O", "did you mean 'quickstart'"),
        ("collect --suite fone/quickstart --output O", "no world 'fone'"),
        (f"{COLLECT} --episodes 0", "episodes is 0; expected 1 or more"),
        (f"{COLLECT} --time-limit-s -3", "time_limit_s is -3.0"),
        (f"{COLLECT} --devices phone:-1", "'-1' is no number of devices"),
        (f"{COLLECT} --devices browser:1", "is no task for a browser"),
        ("collect --suite phone/quickstart --output O/below", "output O/below cannot be made"),
        ("data convert ui-s1 --source D --output N --screen 0x3", "screen size '0x3': expected WIDTHxHEIGHT"),
        ("data convert ui-s1 --source D --output O", "output O cannot be made"),
        ("pipeline --recipe quikstart", "did you mean 'quickstart'"),
        ("train grounding --num-screens 0 --output-dir N", "num_screens is 0; expected 1 or more"),
        ("train sft --model M --output-dir O", "no data: give --data"),
        ("train sft --model M --data D --output-dir O", "output_dir O cannot be made"),
        (f"{SEMI_ONLINE} --max-completion-length 0", "max_completion_length is 0"),
        (f"{SEMI_ONLINE} --max-batch-size 0", "max_batch_size is 0"),
        (f"{SEMI_ONLINE} --max-concurrency 0", "max_concurrency is 0"),
        (f"{SEMI_ONLINE} --num-train-epochs 0", "num_train_epochs is 0"),
        (f"{SEMI_ONLINE} --max-updates -7", "max_updates is -7; expected -1"),
        (f"{SEMI_ONLINE} --num-generations 0", "num_generations is 0"),
        (f"{SEMI_ONLINE} --num-generations 1 --dry-run", "set num_generations to 2 or more"),
        (f"{SEMI_ONLINE} --algorithm salt --single-step --dry-run", "needs the state that follows"),
        (f"{SEMI_ONLINE} --algorithm gigpo:anchor=tree --dry-run", "gigpo.anchor is 'tree'"),
        ("train online --suite phone/quickstart --algorithm ui_s1 --dry-run", "use gigpo (equal states)"),
        ("train online --suite phone/quickstart --algorithm srgpo --dry-run", "pays only the outcome"),
        (f"{SEMI_ONLINE} --algorithm gipo --dry-run", "did you mean 'gigpo'"),
        (f"{SEMI_ONLINE} --matcher ui_s2 --dry-run", "did you mean 'ui_s1'"),
        (f"{SEMI_ONLINE} --format compact:snip=8 --dry-run", "has no option 'snip'"),
        (f"{EVAL} --agent.temperature -1", "temperature is -1.0"),
        (f"{EVAL} --agent.max-completion-length 0", "max_completion_length is 0"),
        (f"{EVAL} --seed -1", "seed is -1"),
        (f"{EVAL} --max-trajectories -1", "max_trajectories is -1"),
        (EVAL, "output_dir O cannot be made"),
        ("eval run --suite phone/quickstart", "no model: name one with --model"),
        ("view D --limit -2", "limit is -2"),
        ("view D --output O/page.html", "cannot be made"),
        ("view O", "O is no trajectory store"),
        ("serve M --port 99999", "port is 99999"),
    ],
)  # fmt: skip
def test_wrong_settings_start_nothing(
    line: str, message: str, good: Path, blocker: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, run: Said
) -> None:
    places = {"D": good, "O": blocker, "O/below": blocker / "below", "O/page.html": blocker / "page.html"}
    places |= {"M": tiny_model_dir_qwen3, "N": tmp_path / "new"}
    code, said = run(*(places.get(word, word) for word in line.split()))
    assert code == 2, said
    assert message.replace("O ", f"{blocker} ").replace("O/", f"{blocker}/") in said


def test_a_port_in_use_is_said_before_the_model_is_loaded(tiny_model_dir_qwen3: Path, run: Said) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = run("serve", tiny_model_dir_qwen3, "--port", taken.getsockname()[1])
    assert code == 2
    assert "choose another --port" in said


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("{recipe: quickstart, seeds: 3, methods: {a: {}}}", "seeds is 3; expected a list"),
        ("{seeds: [0], methods: {a: {}}}", "recipe is None"),
        ("{recipe: nope, methods: {a: {}}}", "nope: there is no such file"),
        ("{recipe: quickstart, methods: [a]}", "methods is ['a']"),
        ("{recipe: quickstart, methods: {}}", "methods is {}"),
        ("{recipe: quickstart, methods: {a: 3}}", "a is 3; expected the keys"),
        ("{recipe: quickstart, methods: {a: {command: train sft, settings: 3}}}", "settings is 3"),
        ("{recipe: quickstart, methods: {a: {command: train sft, settings: {lr: 3}}}}", "option 'lr'"),
        ("{recipe: quickstart, methods: {a: {command: train sft, same_cpu_as: a}}}", "stands before it"),
        ("{recipe: quickstart, methods: {../a: {}}}", "no name for a method"),
    ],
)
def test_a_wrong_grid_is_refused_before_its_first_run(
    grid: str, message: str, tmp_path: Path, run: Said
) -> None:
    (tmp_path / "grid.yaml").write_text(grid)
    code, said = run("bench", tmp_path / "grid.yaml", "--root", tmp_path, "--results", tmp_path / "r.json")
    assert code == 2
    assert message in said


# Browsers


@pytest.mark.parametrize(
    ("variable", "value", "code", "message"),
    [
        ("GUI_AGENT_CHROMIUM", "/no/chromium", 2, "GUI_AGENT_CHROMIUM='/no/chromium' is no executable file"),
        ("PATH", "/nonexistent", 5, "apt-get install chromium"),
    ],
)
def test_a_missing_browser_is_named(
    variable: str, value: str, code: int, message: str, tmp_path: Path, monkeypatch: Any, run: Said
) -> None:
    monkeypatch.delenv("GUI_AGENT_CHROMIUM", raising=False)
    monkeypatch.setenv(variable, value)
    if variable == "PATH":  # a browser of playwright's own would be found without PATH
        monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
        monkeypatch.setenv("HOME", str(tmp_path))
    found, said = run("collect", "--suite", "miniwob/quickstart", "--episodes", 1, "--output", tmp_path / "o")
    assert (found, message in said) == (code, True), said


# Stores


def edit(store: Path, table: str, change: Callable[[list[Row]], Any]) -> None:
    file = store / f"{table}-00000000.parquet"
    old = pq.read_table(file, partitioning=None)
    rows = old.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=old.schema), file)


def show_instead(data: bytes) -> Callable[[Path], None]:
    """Let a step show these bytes, under their right name."""

    def change(store: Path) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        file = store / "screenshots" / sha256[:2] / f"{sha256}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        edit(store, "steps", lambda rows: rows[0].update(screenshot_sha256=sha256))

    return change


def verdict(value: str) -> Callable[[Path], None]:
    return lambda store: edit(store, "episodes", lambda rows: [row.update(verdict=value) for row in rows])


def drop_column(store: Path) -> None:
    file = store / "steps-00000000.parquet"
    pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["thought"]), file)


def meta(**changes: object) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        said = json.loads((store / "meta.json").read_text()) | changes
        (store / "meta.json").write_text(json.dumps(said))

    return change


def no_episode(store: Path) -> None:
    for file in store.glob("*.parquet"):
        file.unlink()


def tap_far_outside(store: Path) -> None:
    click = json.dumps({"type": "click", "x": 5000, "y": 9000})
    expected = f'{{"action": {click}, "boxes": [], "thought": null}}'
    edit(store, "steps", lambda rows: rows[0].update(expected=expected, executed=click))


STORES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no version": (meta(schema_version=None), "schema_version is None"),
    "newer": (meta(schema_version=99), "upgrade gui-agent"),
    "a column is missing": (drop_column, "the columns thought are missing"),
    "empty": (no_episode, "no trajectory at all; fill it with gui-agent collect"),
    "all failed": (verdict("failure"), "4 of 4 trajectories did not succeed"),
    "none scored": (verdict("unscored"), "4 of 4 trajectories did not succeed"),
    "unknown verdict": (verdict("splendid"), "row 0: episode"),
    "no picture": (show_instead(b"no picture"), "the 10 bytes are no PNG, JPEG or WebP"),
}


@pytest.fixture
def store(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "store"))


@pytest.mark.parametrize("name", STORES)
def test_training_names_what_is_wrong_with_a_store(
    name: str, store: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, run: Said
) -> None:
    damage, message = STORES[name]
    damage(store)
    flags = ["--output-dir", tmp_path / "o", "--format", COMPACT, "--max-steps", 0]
    code, said = run("train", "sft", "--model", tiny_model_dir_qwen3, "--data", store, *flags)
    assert (code, message in said) == (3, True), said


def test_failures_are_left_out_of_imitation_and_counted(
    store: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, run: Said
) -> None:
    edit(store, "episodes", lambda rows: rows[1].update(verdict="failure"))
    flags = ["--output-dir", tmp_path / "o", "--format", COMPACT, "--max-steps", 0]
    with pytest.warns(UserWarning, match="1 of 4 trajectories did not succeed"):
        code, _ = run("train", "sft", "--model", tiny_model_dir_qwen3, "--data", store, *flags)
    assert code == 0


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (show_instead(b"no picture"), "no PNG, JPEG or WebP"),
        (tap_far_outside, "lies outside the screen"),
        (lambda store: next((store / "screenshots").glob("*/*")).unlink(), "is missing"),
    ],
)
def test_an_evaluation_goes_on_without_a_bad_recording_and_names_it(
    damage: Callable[[Path], None], reason: str,
    store: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, run: Said,
) -> None:  # fmt: skip
    damage(store)
    flags = ["--agent.format", COMPACT, "--agent.max-completion-length", 1, "--output-dir", tmp_path / "o"]
    code, said = run("eval", "run", "--agent.model", tiny_model_dir_qwen3, "--data", store, *flags)
    assert code == 0, said
    report = json.loads((tmp_path / "o" / "eval.json").read_text())["replay"]
    assert len(report["refused"]) >= 1
    assert reason in report["refused"][0]["reason"]
    assert f"{len(report['refused'])} trajectories could not be replayed" in said
    # Nothing that this model says is an action; the report says so instead of only a zero.
    responses = report["responses"]
    assert responses["decisions"] == responses["unparsed"] == responses["cut_off"] > 0
    assert "could not be read as an action" in said


def test_a_page_of_a_damaged_store_shows_the_rest_and_counts(store: Path, tmp_path: Path, run: Said) -> None:
    edit(store, "episodes", lambda rows: rows[1].update(verdict="splendid"))
    code, said = run("view", store, "--output", tmp_path / "page.html")
    assert code == 0
    assert "row 1: episode" in said
    assert "3 of 4 episodes" in said
    verdict("splendid")(store)
    code, said = run("view", store)
    assert (code, "no episode to show" in said) == (3, True)


# Models


def weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def fill_with_nan(tensors: dict[str, Any]) -> None:
    for tensor in tensors.values():
        tensor.fill_(float("nan"))


@pytest.mark.parametrize(
    ("damage", "flags", "code", "message"),
    [
        (lambda m: (m / "model.safetensors").rename(m / "pytorch_model.bin"), (), 2, "from safetensors"),
        (lambda m: (m / "model.safetensors").write_bytes(b"cut"), (), 2, "the file is missing or damaged"),
        (lambda m: (m / "tokenizer.json").unlink(), (), 2, "the tokenizer has no words"),
        (lambda m: (m / "config.json").write_text("{"), (), 2, "no model configuration could be read"),
        (lambda m: (m / "config.json").unlink(), (), 2, "has no config.json"),
        (weights(lambda t: t.pop(min(n for n in t if "q_proj" in n))), (), 2, "1 weights are missing"),
        (weights(fill_with_nan), (), 1, "its weights hold NaN"),
        (lambda m: None, ("--agent.device", "banana"), 2, "device is 'banana'"),
        (lambda m: None, ("--agent.device", "cuda:99"), 2, "CUDA devices; use cpu"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_used_is_never_scored(
    damage: Callable[[Path], Any], flags: tuple[str, ...], code: int, message: str,
    good: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, run: Said,
) -> None:  # fmt: skip
    model = Path(shutil.copytree(tiny_model_dir_qwen3, tmp_path / "model"))
    damage(model)
    line = ["eval", "run", "--agent.model", model, "--data", good, "--agent.format", COMPACT]
    found, said = run(*line, "--output-dir", tmp_path / "o", *flags)
    assert (found, message in said) == (code, True), said


def test_training_that_changed_nothing_is_no_success(
    good: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, run: Said
) -> None:
    model = Path(shutil.copytree(tiny_model_dir_qwen3, tmp_path / "model"))
    weights(fill_with_nan)(model)
    flags = ["--format", COMPACT, "--max-steps", 1, "--rows-per-step", 2, "--output-dir", tmp_path / "o"]
    code, said = run("train", "sft", "--model", model, "--data", good, *flags)
    assert (code, "1 of 1 optimiser steps had no finite gradient" in said) == (1, True), said
    assert not (tmp_path / "o" / "model").exists()


@pytest.mark.parametrize("file", ["trainer_state.json", "config.json", "*.safetensors"])
def test_a_damaged_checkpoint_is_named_with_the_way_out(
    file: str, good: Path, tiny_model_dir_qwen3: Path, tmp_path: Path, run: Said
) -> None:
    flags = ["--format", COMPACT, "--max-steps", 1, "--rows-per-step", 2, "--output-dir", tmp_path / "o"]
    line = ["train", "sft", "--model", tiny_model_dir_qwen3, "--data", good, *flags]
    assert run(*line)[0] == 0
    checkpoint = tmp_path / "o" / "checkpoint-1"
    damaged = list(checkpoint.rglob(file))
    for each in damaged:
        each.write_text("{")
    code, said = run(*line, "--resume-from-checkpoint", "true")
    assert damaged
    assert (code, "set resume_from_checkpoint to an earlier checkpoint" in said) == (3, True), said
    assert str(checkpoint) in said


# Servers


class _Garbage(BaseHTTPRequestHandler):
    answer: tuple[int, str] = (200, "")

    def do_GET(self) -> None:
        self._send(200, '{"data": [{"id": "m", "owned_by": "vllm"}]}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._send(*self.answer)

    def _send(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture(scope="module")
def garbage_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Garbage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def choice(content: str | None, reason: str) -> str:
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": reason}]})


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ((200, "<html>"), 1, "no JSON"),
        ((200, '{"choices": []}'), 1, "got 0 choices"),
        ((401, "who are you"), 1, "status 401"),
        ((200, choice("tap tap", "length")), 0, "3 of 3 responses could not be read as an action, 3 were"),
        ((200, choice(None, "stop")), 0, "responses could not be read as an action, 0 were cut"),
    ],
)  # fmt: skip
def test_garbage_of_a_server_is_an_error_or_is_counted(
    answer: tuple[int, str], code: int, message: str, good: Path, garbage_server: str, tmp_path: Path,
    run: Said, monkeypatch: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(_Garbage, "answer", answer)
    line = ["eval", "run", "--agent.model", "m", "--agent.endpoint", garbage_server, "--data", good]
    flags = ["--agent.format", COMPACT, "--max-trajectories", 1, "--output-dir", tmp_path / "o"]
    found, said = run(*line, *flags)
    assert (found, message in said) == (code, True), said


# Interruption


def test_ctrl_c_keeps_what_was_collected(tmp_path: Path) -> None:
    program = "from gui_agent.cli.main import main; raise SystemExit(main())"
    arguments = ["--suite", "phone/quickstart", "--episodes", "5000", "--output", str(tmp_path / "s")]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "collect", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting = threading.Event()
    while not list(tmp_path.glob("s/episodes-*.parquet")) and process.poll() is None:
        waiting.wait(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.strip() == "gui-agent: interrupted"
    kept = TrajectoryStore.open(tmp_path / "s")
    assert 0 < len(kept) < 5000
    assert check_store(kept).ok
