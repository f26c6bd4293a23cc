"""One goal on one device: how the episode ends is the exit code, and what happened is in the store."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from devices.goals import goal_on
from devices.phone.device import PhoneDevice
from gui_agent.actions import Click, Finish, FinishStatus, ParseError
from gui_agent.agent import DemonstratorAgent
from gui_agent.cli.main import main
from gui_agent.cli.run_end import RunExit, run_exit
from gui_agent.cli.run_view import printable
from gui_agent.device import Outcome, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.interruption import INTERRUPTED, InterruptibleAgent
from gui_agent.observation import Observation
from trajectories.loops import LoopDetector
from trajectories.records import Step, Trajectory
from trajectories.store import TrajectoryStore

TASK = "phone/quickstart:set_alarm:1000000"


def last_episode(store: Path) -> Trajectory:
    opened = TrajectoryStore.open(store)
    return opened.trajectory(opened.episode_ids[-1])


def test_the_expert_does_a_task_and_the_check_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--task", TASK, "--expert", "--store", str(tmp_path / "s")]) == RunExit.DONE
    said = capsys.readouterr().out
    assert "step 1: click" in said
    assert "decide" in said
    assert "thought: clock" in said
    trajectory = last_episode(tmp_path / "s")
    assert (trajectory.task_id, trajectory.outcome.verdict) == (TASK.replace(":", "/"), Verdict.SUCCESS)
    assert trajectory.policy == "oracle"

    code = main(["run", "--task", TASK, "--expert", "--max-steps", "1", "--store", str(tmp_path / "s")])
    assert code == RunExit.STEP_LIMIT
    assert len(TrajectoryStore.open(tmp_path / "s")) == 2


def test_a_random_model_goes_round_in_circles_and_is_stopped(
    tmp_path: Path, tiny_model_dir_qwen3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "turn on wifi", "--model", str(tiny_model_dir_qwen3), "--max-completion-length", "4"]
    words += ["--loop-limit", "2", "--store", str(tmp_path / "s")]
    assert main([*words, "--json"]) == RunExit.LOOP
    said = json.loads(capsys.readouterr().out)
    assert (said["end"], said["verdict"], said["steps"]) == ("loop", "unscored", 2)
    trajectory = last_episode(tmp_path / "s")
    assert (trajectory.stop, trajectory.goal, trajectory.template) == (
        StopReason.LOOP,
        "turn on wifi",
        "goal",
    )
    assert trajectory.steps[0].completions  # can be trained on
    assert main([*words, "--loop-limit", "0", "--max-steps", "3"]) == RunExit.STEP_LIMIT
    assert main([*words, "--agent", "hierarchical", "--max-steps", "1"]) == RunExit.STEP_LIMIT
    assert last_episode(tmp_path / "s").steps[0].completions[0].role == "planner"


@pytest.mark.browser
def test_a_web_page(tmp_path: Path, tiny_model_dir_qwen3: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<title>t</title><button>Press</button>")
    words = ["run", "press it", "--device", f"browser:{page.as_uri()}", "--store", str(tmp_path / "s")]
    words += ["--model", str(tiny_model_dir_qwen3), "--max-completion-length", "4", "--max-steps", "1"]
    assert main(words) == RunExit.STEP_LIMIT
    trajectory = last_episode(tmp_path / "s")
    assert (trajectory.goal, trajectory.steps[0].foreground_app) == ("press it", page.as_uri())


class Interrupting(BaseHTTPRequestHandler):
    """A model that presses Ctrl-C instead of answering."""

    protocol_version = "HTTP/1.1"
    released = threading.Event()

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        self.released.wait(30)
        self.close_connection = True

    def _answer(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def interrupting_endpoint() -> Iterator[str]:
    Interrupting.released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Interrupting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    Interrupting.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_ctrl_c_while_the_model_thinks_executes_nothing_more(
    tmp_path: Path, interrupting_endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    store = tmp_path / "s"
    words = ["run", "buy it", "--endpoint", interrupting_endpoint, "--model", "m", "--store", str(store)]
    assert main(words) == RunExit.USER
    assert "stopped by Ctrl-C after 0 steps" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    trajectory = last_episode(store)
    assert (trajectory.stop, trajectory.steps) == (StopReason.USER, ())


async def test_what_is_interrupted_is_not_told_to_the_agent() -> None:
    task = goal_on("phone", "look").suite.task("goal", 0)
    device = PhoneDevice()
    await device.reset(task)

    class Recording(DemonstratorAgent):
        records = 0

        async def record(self, result: Any) -> None:
            self.records += 1

    inner = Recording(device)
    agent = InterruptibleAgent(inner)
    agent.interrupt()
    decision = await agent.decide(await device.observe())
    assert decision.action is INTERRUPTED
    await agent.record(await device.execute(decision.action))
    assert inner.records == 0


def episode(stop: StopReason, *requests: Click | Finish, verdict: Verdict = Verdict.UNSCORED) -> Trajectory:
    steps = tuple(step(request, index=index) for index, request in enumerate(requests))
    return Trajectory(
        episode_id="e",
        task_id="t",
        template="t",
        suite="s",
        goal="g",
        steps=steps,
        stop=stop,
        outcome=Outcome(verdict=verdict),
    )


def step(request: Click | Finish | ParseError, *, state: str | None = "a", index: int = 0) -> Step:
    return Step(
        index=index,
        screenshot_sha256="p",
        width_px=10,
        height_px=10,
        requested=request,
        executed=None if isinstance(request, ParseError) else request,
        state_key_before=state,
    )


GAVE_UP = Finish(status=FinishStatus.FAILURE)


@pytest.mark.parametrize(
    ("trajectory", "code"),
    [
        (episode(StopReason.FINISHED, Finish()), 0),
        (episode(StopReason.FINISHED, Finish(), verdict=Verdict.SUCCESS), 0),
        (episode(StopReason.FINISHED, Finish(), verdict=Verdict.FAILURE), 10),
        (episode(StopReason.FINISHED, GAVE_UP, verdict=Verdict.FAILURE), 11),
        (episode(StopReason.STEP_LIMIT, Click(x=1, y=1), verdict=Verdict.SUCCESS), 12),
        (episode(StopReason.TIME_LIMIT), 13),
        (episode(StopReason.LOOP, verdict=Verdict.FAILURE), 14),
        (episode(StopReason.DEVICE_FAULT), 4),
        (episode(StopReason.MODEL_FAULT, Click(x=1, y=1)), 1),
        (episode(StopReason.PROGRAM_FAULT), 1),
        (episode(StopReason.USER), 130),
        (episode(StopReason.TASK_ENDED, Click(x=1, y=1), verdict=Verdict.FAILURE), 10),
    ],
)
def test_exit_codes(trajectory: Trajectory, code: int) -> None:
    assert run_exit(trajectory) == code


def test_a_loop_is_the_same_request_in_the_same_state() -> None:
    click, other = Click(x=1, y=1), Click(x=2, y=2)
    circle = [step(click), step(other, state="b")] * 3
    loops = LoopDetector(limit=3)
    assert [loops.closes(each) for each in circle] == [False] * 4 + [True] * 2
    loops = LoopDetector(limit=2)
    assert not any(loops.closes(step(click, state=f"{number}")) for number in range(9))
    assert not loops.closes(step(ParseError(reason="no", text="x"), state=None))
    assert loops.closes(step(ParseError(reason="other", text="y"), state=None))  # the same picture
    assert not any(LoopDetector(limit=0).closes(step(click)) for _ in range(9))


async def test_a_goal_on_a_virtual_phone_is_unscored_and_can_be_restored() -> None:
    small, large = goal_on("phone", "look"), goal_on("phone:phone", "a/b")
    assert small.devices == large.devices == "phone:1"
    task = large.suite.task("goal", 3)
    device = PhoneDevice(display=large.suite.display)  # type: ignore[attr-defined]
    await device.reset(task)
    seen: Observation = await device.observe()
    assert (seen.screenshot.width_px, (await device.check()).verdict) == (412, Verdict.UNSCORED)
    assert await device.next_expert_action() is None
    another = PhoneDevice(display=large.suite.display)  # type: ignore[attr-defined]
    await another.restore(await device.snapshot())
    assert (await another.observe()).state_key == seen.state_key
    assert (await another.check()).detail == "a goal in words has no check"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to do"),
        (["look", "--task", TASK], "not both"),
        (["look", "--expert"], "has no expert"),
        (["--task", TASK, "--expert", "--model", "m"], "either the expert"),
        (["--task", "phone/quickstart"], "expected SUITE:TEMPLATE:SEED"),
        (["look", "--model", "m", "--device", "phones"], "no kind of device 'phones'"),
        (["look", "--model", "m", "--device", "phone:2"], "'2' is no world of the virtual phone"),
        (["look", "--model", "m", "--device", "browser:example"], "no address of a page"),
        (["look", "--model", "m", "--loop-limit", "1"], "expected 0 (never) or 2"),
        (["look"], "no model"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_starts(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # a quickstart that was run here has a model
    assert main(["run", *words, "--store", str(tmp_path / "s")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_goal_needs_words() -> None:
    with pytest.raises(ConfigError, match="goal is empty"):
        goal_on("phone", "  ")


def test_a_terminal_obeys_nothing_that_a_model_writes() -> None:
    assert printable("a\x1b[2J\nb\u202e") == "a�[2J b�"
