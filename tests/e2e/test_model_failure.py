"""A model that fails in the middle of the work: what was done until then is kept, and never a zero."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gui_agent.agent import Decision, FlatAgent
from gui_agent.cli.main import ExitCode, main
from gui_agent.cli.run_end import RunExit
from gui_agent.device import StopReason, Verdict
from gui_agent.observation import Observation
from trajectories.store import TrajectoryStore

REASON = "CUDA out of memory"


class Failing(ThreadingHTTPServer):
    """Answers `answers` requests, the lines in turn, and then refuses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = 0
        self.lines = ["open clock", "button home", "finish success"]
        self.asked = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def next(self) -> str | None:
        with self.lock:
            self.asked += 1
            return self.lines[(self.asked - 1) % len(self.lines)] if self.asked <= self.answers else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Failing

    def do_GET(self) -> None:
        self._answer(200, {"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        line = self.server.next()
        if line is None:
            self._answer(400, {"error": {"message": REASON}})
            return
        message = {"role": "assistant", "content": line}
        self._answer(200, {"choices": [{"message": message, "finish_reason": "stop"}]})

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def failing() -> Iterator[Failing]:
    server = Failing()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_run_keeps_its_steps(failing: Failing, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing.answers = 2
    words = ["run", "turn on wifi", "--endpoint", failing.url, "--model", "m", "--format", "compact"]
    words += ["--store", str(tmp_path / "s")]
    assert main(words) == RunExit.FAILED
    said = capsys.readouterr()
    store = TrajectoryStore.open(tmp_path / "s")
    (trajectory,) = store
    assert "broken off by a failure after 2 steps" in said.out
    assert f"episode {trajectory.episode_id} in {tmp_path / 's'}" in said.out
    assert REASON in said.err
    assert (trajectory.stop, trajectory.outcome.verdict) == (StopReason.MODEL_FAULT, Verdict.UNSCORED)
    assert REASON in (trajectory.fault or "")
    assert len(trajectory.steps) == 2
    assert trajectory.steps[-1].state_key_after is not None
    assert trajectory.final_screenshot_sha256 in store.screenshots  # what it was to decide on

    failing.asked, failing.answers = 0, 0
    assert main([*words, "--json"]) == RunExit.FAILED
    found = json.loads(capsys.readouterr().out)
    assert (found["end"], found["exit_code"]) == ("failed", 1)
    assert (found["verdict"], found["steps"]) == ("unscored", 0)
    assert REASON in found["detail"]


def test_a_run_keeps_its_steps_before_a_bug_of_ours(
    failing: Failing, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing.answers = 9
    decide = FlatAgent.decide

    async def decide_twice(self: FlatAgent, observation: Observation) -> Decision:
        if failing.asked == 2:
            raise KeyError("no such adapter")
        return await decide(self, observation)

    monkeypatch.setattr(FlatAgent, "decide", decide_twice)
    words = ["run", "turn on wifi", "--endpoint", failing.url, "--model", "m", "--format", "compact"]
    with pytest.raises(KeyError, match="no such adapter"):  # which keeps its traceback
        main([*words, "--store", str(tmp_path / "s")])
    assert f"in {tmp_path / 's'}" in capsys.readouterr().out
    (trajectory,) = TrajectoryStore.open(tmp_path / "s")
    assert (trajectory.stop, len(trajectory.steps)) == (StopReason.PROGRAM_FAULT, 2)
    assert trajectory.outcome.verdict is Verdict.UNSCORED


def test_a_collection_keeps_what_had_ended_and_goes_on(
    failing: Failing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.answers = 7  # two episodes, and a step of the third
    words = ["collect", "--suite", "phone/quickstart", "--devices", "phone:1", "--episodes", "4"]
    words += ["--agent.endpoint", failing.url, "--agent.model", "m", "--agent.format", "compact"]
    words += ["--output", str(tmp_path / "s")]
    assert main(words) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert REASON in said
    assert "2 of 4 episodes had ended, 2 of them are kept" in said
    assert [len(one.steps) for one in TrajectoryStore.open(tmp_path / "s")] == [3, 3]
    failing.asked, failing.answers = 0, 99
    assert main(words) == ExitCode.OK
    stored = list(TrajectoryStore.open(tmp_path / "s"))
    assert len({one.task_id for one in stored}) == len(stored) == 4


def test_an_evaluation_keeps_what_had_ended_and_calls_it_no_result(
    failing: Failing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.answers = 7
    words = ["eval", "run", "--suite", "phone/quickstart", "--devices", "phone:1"]
    words += ["--episodes-per-template", "1", "--output-dir", str(tmp_path)]
    words += ["--agent.endpoint", failing.url, "--agent.model", "m", "--agent.format", "compact"]
    assert main(words) == ExitCode.FAILED
    unfinished = tmp_path / "episodes_unfinished"
    assert f"2 of 10 episodes had ended; they are in {unfinished}" in capsys.readouterr().err
    assert len(TrajectoryStore.open(unfinished)) == 2
    assert not (tmp_path / "eval.json").exists()
    assert not (tmp_path / "episodes").exists()
    failing.asked, failing.answers = 0, 99
    assert main(words) == ExitCode.OK
    assert len(TrajectoryStore.open(tmp_path / "episodes")) == 10
    assert not unfinished.exists()
