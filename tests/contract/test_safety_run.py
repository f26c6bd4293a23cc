"""gui-agent run with a model that obeys whatever it reads: how it ends, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from devices.android import AdbServer
from devices.phone.adb.android import Android
from devices.phone.adb.daemon import AdbDaemon
from devices.phone.device import PhoneDevice
from devices.phone.suites import phone_suite
from gui_agent.actions import OpenApp
from gui_agent.cli.agents import AgentOptions
from gui_agent.cli.demo import Demo
from gui_agent.cli.main import ExitCode, main
from gui_agent.cli.run_end import RunExit
from gui_agent.demo.commands import Act, Reconnect, Run
from gui_agent.demo.events import Event, StepEvent
from gui_agent.device import StopReason
from trajectories.records import Trajectory
from trajectories.store import TrajectoryStore

STYLE = "<!doctype html><style>*{margin:0}button,input{display:block;width:200px;height:40px}</style>"


def last_episode(store: Path) -> Trajectory:
    opened = TrajectoryStore.open(store)
    return opened.trajectory(opened.episode_ids[-1])


class Obedient(BaseHTTPRequestHandler):
    """A model server that answers with what it is told, in order; "^C" presses Ctrl-C meanwhile."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[list[dict[str, Any] | str]] = []
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.asked.append(body)
        action = self.script.pop(0) if self.script else {"action": "terminate", "status": "success"}
        if action == "^C":
            os.kill(os.getpid(), signal.SIGINT)
            action = {"action": "wait", "time": 1}
        text = f"<think>the screen says so</think><action>{json.dumps(action)}</action>"
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": text}}
        self._answer({"choices": [choice]})

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
def endpoint() -> Iterator[str]:
    Obedient.script.clear()
    Obedient.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Obedient)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def told(endpoint: str, store: Path, *words: str) -> list[str]:
    return ["run", *words, "--endpoint", endpoint, "--model", "m", "--store", str(store), "--json"]


def click(x: int, y: int) -> dict[str, Any]:
    return {"action": "click", "coordinate": [x, y]}


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
def test_without_a_terminal_what_needs_a_yes_ends_the_run(
    tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"{STYLE}<button onclick='document.body.innerHTML=1'>Delete all</button>")
    words = told(endpoint, tmp_path / "s", "tidy up", "--device", f"browser:{page.as_uri()}")
    Obedient.script[:] = [click(20, 20)]
    assert main(words) == int(RunExit.SAFETY) == 15
    said = json.loads(capsys.readouterr().out)
    assert (said["end"], said["held"][0]["rule"], said["held"][0]["executed"]) == (
        "safety",
        "deletion",
        False,
    )
    assert said["tokens_read"] > 0
    trajectory = last_episode(tmp_path / "s")
    assert (trajectory.stop, trajectory.fault) == (StopReason.SAFETY, None)
    assert trajectory.steps[-1].executed is None
    assert "held back (not confirmed) by deletion" in str(trajectory.steps[-1].error)
    assert trajectory.source["safety"] == said["held"]

    Obedient.script[:] = [click(20, 20)]
    assert main([*words, "--confirm", "allow"]) == RunExit.DONE


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
def test_a_secret_is_typed_and_stored_nowhere(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SITE_PASSWORD", "swordfish&co")
    page = tmp_path / "page.html"
    page.write_text(
        f"{STYLE}<title>t</title><form><input type=password name=p>"
        "<button>Go on</button></form><p id=o></p><script>o.textContent = location.search.length</script>"
    )
    store = tmp_path / "s"
    words = told(endpoint, store, "Log in with {PASSWORD}", "--device", f"browser:{page.as_uri()}")
    Obedient.script[:] = [click(20, 20), {"action": "type", "text": "{PASSWORD}"}, click(20, 60)]
    assert main([*words, "--secret", "PASSWORD=SITE_PASSWORD"]) == RunExit.DONE
    trajectory = last_episode(store)
    assert [step.error for step in trajectory.steps] == [None] * 4
    assert str(trajectory.steps[3].foreground_app).endswith("?p=<secret PASSWORD>")  # it was really typed
    said = capsys.readouterr()
    kept = repr(trajectory) + said.out + said.err + "".join(Obedient.asked)
    assert "swordfish" not in kept

    leaked = told(endpoint, store, "Log in with swordfish&co", "--device", f"browser:{page.as_uri()}")
    assert main([*leaked, "--secret", "PASSWORD=SITE_PASSWORD"]) == 2
    assert "swordfish" not in capsys.readouterr().err


def test_made_up_worlds_are_asked_about_only_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = next(name for name in phone_suite("quickstart").templates if "delete" in name)
    task = ["--task", f"phone/quickstart:{template}:1000000", "--expert", "--store", str(tmp_path / "s")]
    assert main(["run", *task]) == RunExit.DONE
    assert "allow" not in {event["decision"] for event in last_episode(tmp_path / "s").source["safety"]}
    assert main(["run", *task, "--confirm", "deny"]) == RunExit.SAFETY
    assert "nobody can be asked" not in capsys.readouterr().out
    assert main(["run", *task, "--confirm", "ask"]) == RunExit.SAFETY
    assert "--confirm allow" in capsys.readouterr().out  # what to do where there is no terminal
    assert main(["run", *task, "--deny", "deletion"]) == RunExit.SAFETY


def test_a_person_at_a_terminal_says_yes_and_then_ctrl_c(tmp_path: Path) -> None:
    template = next(name for name in phone_suite("quickstart").templates if "delete" in name)
    words = ["run", "--task", f"phone/quickstart:{template}:1000000", "--expert", "--confirm", "ask"]
    words += ["--store", str(tmp_path / "s")]
    terminal, other_end = pty.openpty()
    command = [sys.executable, "-m", "gui_agent.cli.main", *words]
    with subprocess.Popen(command, stdin=other_end, stdout=other_end, stderr=other_end) as child:
        os.close(other_end)
        assert b"deletion" in read_until(terminal, b"[y]es, [n]o, [s]top?")
        os.write(terminal, b"y\n")
        assert b"which the dialog asks" in read_until(terminal, b"[y]es, [n]o, [s]top?")
        child.send_signal(signal.SIGINT)
        read_until(terminal, b"stopped by Ctrl-C")
        with contextlib.suppress(OSError):  # the terminal of a program that has ended
            while os.read(terminal, 4096):
                pass
        assert child.wait() == RunExit.USER
    os.close(terminal)
    trajectory = last_episode(tmp_path / "s")
    assert trajectory.stop is StopReason.USER
    assert [event["consent"] for event in trajectory.source["safety"]] == ["yes", "stop"]


def read_until(terminal: int, words: bytes) -> bytes:
    """What a terminal shows, up to these words."""
    shown = b""
    while words not in shown:
        shown += os.read(terminal, 4096)
    return shown


def test_tokens_and_money_run_out(tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = told(endpoint, tmp_path / "s", "look")
    Obedient.script[:] = [{"action": "wait", "time": number} for number in range(1, 9)]
    assert main([*words, "--token-budget", "10"]) == int(RunExit.BUDGET) == 16
    assert json.loads(capsys.readouterr().out)["steps"] == 1
    Obedient.script[:] = [{"action": "wait", "time": number} for number in range(1, 9)]
    assert main([*words, "--cost-limit", "0.01", "--price-input", "20"]) == RunExit.BUDGET
    said = json.loads(capsys.readouterr().out)
    assert said["cost"] >= 0.01
    assert last_episode(tmp_path / "s").stop is StopReason.BUDGET


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a" * 1_000_000], "1000000 characters; at most 20000"),
        (["look", "--cost-limit", "1"], "prices"),
        (["look", "--secret", "P=NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
        (["look", "--safety", "/nowhere.yaml"], "cannot be read"),
        (["look", "--allow-sites", "*"], "is no host"),
        (["look", "--confirm", "maybe"], "maybe"),
    ],
)
def test_wrong_safety_options_are_told_before_anything_starts(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words, "--model", "m", "--store", str(tmp_path / "s")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.fixture
def real_phone(adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Android]]:
    """A virtual phone that nobody can tell from a real one: on adb, without a channel around it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    suite = phone_suite("phone")
    phone = PhoneDevice(suite.display, popup_rate=0.0)

    async def start() -> AdbDaemon:
        await phone.reset(suite.task("create_note", 0))
        daemon = AdbDaemon(Android(phone, serial="TEST0"))
        await daemon.start()
        await asyncio.to_thread(adb_server.connect, daemon.address)
        return daemon

    daemon = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server.port))
    try:
        yield daemon.address, daemon.android
    finally:
        adb_server.disconnect(daemon.address)
        asyncio.run_coroutine_threadsafe(daemon.close(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_ctrl_c_leaves_a_phone_as_it_was_found(
    real_phone: tuple[str, Android], tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serial, android = real_phone
    before = {name: dict(table) for name, table in android.settings.items()}
    Obedient.script[:] = [
        {"action": "open", "text": "notes"},
        {"action": "type", "text": "你好"},  # nothing has the focus: the agent's mistake
        "^C",
        {"action": "open", "text": "shop"},
    ]
    words = told(endpoint, tmp_path / "s", "look", "--device", f"android:{serial}")
    assert main(words) == RunExit.USER
    said = json.loads(capsys.readouterr().out)
    assert (said["end"], said["steps"]) == ("user", 2)
    assert {name: dict(table) for name, table in android.settings.items()} == before
    assert android.phone.state.foreground_app == "notes"  # and nothing was done after it


@pytest.mark.parametrize("in_background", [False, True])
def test_sigterm_leaves_a_phone_as_it_was_found(real_phone: tuple[str, Android], in_background: bool) -> None:
    """What a script starts with & ignores Ctrl-C."""
    serial, android = real_phone
    before = {name: dict(table) for name, table in android.settings.items()}
    command = [sys.executable, "-m", "gui_agent.cli.main", "devices", "doctor", serial, "--fix"]
    if in_background:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert any("hold until Ctrl-C" in line for line in child.stdout)
        assert android.settings != before
        child.send_signal(signal.SIGTERM)
        assert child.wait() == ExitCode.INTERRUPTED
    assert android.settings == before


async def test_a_demo_leaves_a_phone_as_it_was_found_and_notices_that_it_is_gone(
    real_phone: tuple[str, Android], tmp_path: Path, endpoint: str, adb_server: AdbServer
) -> None:
    serial, android = real_phone
    before = {name: dict(table) for name, table in android.settings.items()}
    demo = Demo(
        device=f"android:{serial}",
        agent=AgentOptions(model="m", endpoint=endpoint),
        store=tmp_path / "s",
        poll_interval_s=0.05,
    )
    async with demo.opened() as session:
        taken: list[Event] = []
        session.listen(lambda event: taken.append(event) if isinstance(event, StepEvent) else None)
        await session.handle(Run(goal="look", takeover=True))
        await session.handle(Act(action=OpenApp(name="notes")))
        async with asyncio.timeout(60):
            while not taken:  # noqa: ASYNC110 (a listener is told, and is no coroutine)
                await asyncio.sleep(0.01)
    assert {name: dict(table) for name, table in android.settings.items()} == before
    assert last_episode(tmp_path / "s").stop is StopReason.USER
    async with demo.opened() as session:
        adb_server.disconnect(serial)  # nobody does anything: the page is told all the same
        async with asyncio.timeout(60):
            while session.state.phase != "fault":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        adb_server.connect(serial)
        await session.handle(Reconnect())
        assert session.state.phase == "idle"
    assert {name: dict(table) for name, table in android.settings.items()} == before


def test_a_task_for_phones_finds_the_phone(
    real_phone: tuple[str, Android], tmp_path: Path, endpoint: str
) -> None:
    words = told(endpoint, tmp_path / "s", "--task", "android/Look around:goal:1")
    assert main(words) == RunExit.DONE
    assert last_episode(tmp_path / "s").goal == "Look around"


def test_a_phone_behind_adb_is_asked_about(
    real_phone: tuple[str, Android], tmp_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serial, android = real_phone
    words = told(endpoint, tmp_path / "s", "look", "--device", f"android:{serial}")
    Obedient.script[:] = [{"action": "open", "text": "notes"}, {"action": "open", "text": "shop"}]
    assert main([*words, "--allow-apps", "com.example.notes"]) == RunExit.SAFETY
    said = json.loads(capsys.readouterr().out)
    assert (said["held"][-1]["rule"], android.phone.state.foreground_app) == ("bounds", "notes")
