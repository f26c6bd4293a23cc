"""The demo's server over real sockets: who gets in, what bad messages do, two tabs, screens, Ctrl-C."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from gui_agent.cli.demo import Demo, Place
from gui_agent.cli.main import main
from gui_agent.demo.client import RefusedError, cookie_of, page_at
from gui_agent.demo.clients import Clients
from gui_agent.demo.commands import Mode
from gui_agent.demo.protocol import MAX_MESSAGE_BYTES, ProtocolError
from gui_agent.demo.server import create_demo
from gui_agent.demo.session import DemoSession
from gui_agent.errors import ConfigError
from gui_agent.web.serving import ServingOptions, serve_here
from trajectories.store import TrajectoryStore

TASK = "phone/quickstart:open_app:3"
BACK = {"type": "system_button", "button": "back"}
EDGE = {"type": "click", "x": 84, "y": 168}


@asynccontextmanager
async def served(
    folder: Path, *, serving: ServingOptions | None = None, **options: Any
) -> AsyncIterator[tuple[str, DemoSession]]:
    """The address of a demo in which the expert of a task acts, and its session."""
    given = {"task": TASK, "expert": True, "store": folder / "demo", "preview_s": 0.0, **options}
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with Demo(**given).opened() as session:
        clients = Clients(session)
        serving_task = asyncio.ensure_future(
            serve_here(
                create_demo(clients),
                serving or ServingOptions(),
                title="demo",
                max_message_bytes=MAX_MESSAGE_BYTES,
                on_listening=address.set_result,
            )
        )
        try:
            yield await address, session
        finally:
            serving_task.cancel()
            await asyncio.gather(serving_task, return_exceptions=True)
            await clients.close()


async def test_nobody_gets_in_without_the_token(tmp_path: Path) -> None:
    async with served(tmp_path) as (address, _):
        cookie = await cookie_of(address)
        name = cookie.partition("=")[0]
        refused: list[dict[str, Any]] = [
            {"cookie": ""},
            {"cookie": f"{name}=wrong"},
            {"cookie": cookie, "origin": "http://evil.example"},
            {"cookie": cookie, "origin": "null"},
            {"cookie": cookie, "host": "evil.example"},
            {"cookie": cookie, "host": "evil.example", "origin": "http://evil.example"},
            {"cookie": cookie, "sec_fetch_site": "cross-site"},
            {"cookie": cookie, "sec_fetch_site": "same-site"},
        ]
        for attempt in refused:
            with pytest.raises(RefusedError, match="403"):
                async with page_at(address, **attempt):
                    pass
        async with page_at(address, cookie=cookie) as page:
            await page.of("hello")
        where = urlsplit(address)
        async with httpx.AsyncClient(base_url=f"http://{where.netloc}") as client:
            for path in ("/", "/static/demo.js", f"/pictures/{'0' * 64}", "/exports/x.zip"):
                assert (await client.get(path)).status_code == 403
            client.headers["cookie"] = cookie
            shown = await client.get("/")
            assert "text/html" in shown.headers["content-type"]
            assert "default-src 'none'" in shown.headers["content-security-policy"]
            for path in ("/static/secrets.py", "/pictures/../x", "/exports/..%2Fmeta.json"):
                assert (await client.get(path)).status_code == 404


async def test_bad_messages_are_answered_and_change_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as (address, session):
        async with page_at(address) as page:
            page.send_text("{")
            page.send_bytes(b"\x00\xff")
            page.send_text('{"type": "rm -rf /"}')
            page.send_text('{"type": "act", "action": {"type": "click", "x": -5, "y": 1e99}, "id": 999}')
            await page.until(lambda: sum(event["type"] == "error" for event in page.events) == 4)
            assert [event["code"] for event in page.events if event["type"] == "error"] == [
                "bad_message",
                "bad_message",
                "unknown_command",
                "bad_message",
            ]
            outside = await page.ask("act", action={"type": "click", "x": 5000, "y": 1})
            assert outside["code"] == "not_performed"
            assert (await page.ask("run", task="phone/none:x:1"))["code"] == "bad_value"
            assert (await page.ask("run", task="miniwob/quickstart:x:1"))["code"] == "bad_value"
            assert (await page.ask("run", goal="x", task=TASK))["code"] == "bad_value"
            assert (await page.ask("outcome", episode_id="x", verdict="success"))["code"] == "bad_value"
            assert session.state.phase == "idle"
            page.send_text(" " * (MAX_MESSAGE_BYTES + 1))
            await page.until(lambda: page.closed is not None)
            assert page.closed == 1009
        async with page_at(address) as page:  # and the next one is welcome
            await page.of("control", you=True)


async def test_one_tab_decides_and_others_watch(tmp_path: Path) -> None:
    async with served(tmp_path, mode=Mode.APPROVE) as (address, session):
        async with page_at(address) as first, page_at(address) as second:
            await first.of("control", you=True, watchers=1)
            assert (await second.of("control"))["you"] is False
            for kind in ("run", "stop", "export"):
                with pytest.raises(ProtocolError, match="only watches"):
                    await second.do(kind)
            await first.do("run")
            shown = await second.of("proposal", needs="approval")  # who watches sees the same
            assert (await second.ask("approve", proposal=shown["proposal"]))["code"] == "not_controller"
            assert (await second.ask("claim"))["code"] == "not_controller"
            await second.do("claim", force=True)
            await first.event(lambda event: event["type"] == "control" and event["controller"] == 2)
            assert (await first.ask("stop"))["code"] == "not_controller"
            await second.do("approve", proposal=shown["proposal"])
            await second.of("step", index=0)
            await second.do("release")
            await first.of("control", controller=None)
            assert not session.desk.attended
            await first.do("claim")
        await asyncio.sleep(0)
        async with page_at(address) as late:  # in the middle of the episode, after all have left
            await late.of("control")
            assert late.last("control")["you"]
            kinds = [event["type"] for event in late.events]
            assert kinds[0] == "hello"
            assert {"step", "state", "budget", "proposal"} <= set(kinds)
            await late.until(lambda: bool(late.frames))
            await late.do("stop")
            assert (await late.of("episode"))["stop"] == "user"


async def test_a_stop_does_not_wait_for_what_was_ordered_before(tmp_path: Path) -> None:
    async with (
        served(tmp_path, mode=Mode.APPROVE) as (address, session),
        page_at(address) as page,
    ):
        await page.do("run")
        await page.of("proposal", needs="approval")
        async with session.borrowed.lock:  # the device is busy for long
            for number in (901, 902):
                page.send_text(json.dumps({"type": "act", "id": number, "action": BACK}))
            await page.do("stop")
            assert (await page.of("error", id=902))["text"] == "stopped before it was done"
        assert (await page.of("error", id=901))["code"] == "not_now"
        ended = await page.of("episode")
        assert (ended["stop"], ended["steps"]) == ("user", 0)


async def test_a_tab_that_takes_nothing_is_not_kept_for_and_a_long_story_is(tmp_path: Path) -> None:
    from gui_agent.demo.clients import Client
    from gui_agent.demo.events import NoticeEvent
    from gui_agent.demo.frames import encode_frame

    said = [NoticeEvent(level="info", code="x", text="half a letter \ud83d")] * 2000
    async with served(tmp_path) as (_, session):
        client = Client(1, encode_frame, said)
        message = await anext(client.messages(session.feed))
        assert isinstance(message, str)
        assert json.loads(message.encode())["text"] == said[0].text
        for event in said:
            client.put(event)
        assert len(client._events) < 3100


async def test_screens_are_pushed_and_a_page_that_takes_none_holds_nobody_up(tmp_path: Path) -> None:
    async with served(tmp_path) as (address, session):  # noqa: SIM117 (the address is needed)
        async with page_at(address) as quick, page_at(address) as slow:
            slow.acknowledges = False
            await quick.until(lambda: bool(quick.frames))
            for number in range(6):
                seen = len(quick.frames)
                await quick.do("act", action=EDGE if number % 2 == 0 else BACK)
                await quick.until(lambda before=seen: len(quick.frames) > before)  # type: ignore[misc]
            newest = session.feed.newest
            assert newest is not None
            assert quick.frames[-1].number == newest.number
            assert quick.frames[-1].screenshot == newest.screenshot
            assert len(slow.frames) <= 3  # the first may have been answered
            slow.send_text(f'{{"type": "seen", "frame": {slow.frames[-1].number}}}')
            await slow.until(lambda: slow.frames[-1].number == newest.number)
            assert len(slow.frames) <= 5  # most of what came between was never sent


async def test_pictures_and_exports_can_be_fetched(tmp_path: Path) -> None:
    async with served(tmp_path) as (address, _):
        async with page_at(address) as page:
            await page.do("run")
            episode = await page.of("episode")
            assert (episode["stop"], episode["verdict"], episode["stored"]) == ("finished", "success", True)
            step = await page.of("step", index=0)
            await page.do("outcome", episode_id=episode["episode_id"], verdict="failure")
            await page.of("episode", verdict="failure")
            await page.do("export", episodes=[episode["episode_id"]])
            exported = await page.of("exported")
        where = urlsplit(address)
        cookie = {"cookie": await cookie_of(address)}
        async with httpx.AsyncClient(base_url=f"http://{where.netloc}", headers=cookie) as client:
            whole = await client.get(step["picture"])
            with Image.open(io.BytesIO(whole.content)) as image:
                assert image.size == (step["width_px"], step["height_px"])
            assert (await client.get(f"{step['picture']}?small")).headers["content-type"] == "image/webp"
            archive = await client.get(exported["path"])
            assert len(archive.content) == exported["num_bytes"]
            with zipfile.ZipFile(io.BytesIO(archive.content)) as found:
                assert {"episodes.html", "trajectories/meta.json"} <= set(found.namelist())


async def test_other_computers_need_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="allow-remote"):
        ServingOptions(host="0.0.0.0")
    monkeypatch.setenv("DEMO_TEST_PASSWORD", "a long password")
    options = ServingOptions(host="0.0.0.0", allow_remote=True, password_env="DEMO_TEST_PASSWORD")
    async with served(tmp_path, serving=options) as (address, _):
        address = address.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(RefusedError):
            async with page_at(address, cookie="", host="phone.example", origin="http://phone.example"):
                pass
        cookie = await cookie_of(address)
        async with page_at(
            address, cookie=cookie, host="phone.example", origin="http://phone.example"
        ) as page:
            await page.of("hello")


async def _demo_process(folder: Path, *words: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gui_agent.cli.main", "demo", "--store", str(folder / "demo"), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = b""
    while not (found := re.search(rb"http://\S+token=\S+", said)):
        line = await process.stdout.readline()
        assert line, said.decode()
        said += line
    return process, found[0].decode()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_the_episode_and_keeps_it(tmp_path: Path, sent: signal.Signals) -> None:
    process, address = await _demo_process(tmp_path, "--task", TASK, "--expert", "--mode", "approve")
    async with page_at(address) as page:
        await page.do("run")
        first = await page.of("proposal", needs="approval")
        await page.do("approve", proposal=first["proposal"])
        await page.of("proposal", needs="approval", step=1)
        process.send_signal(sent)
        assert await process.wait() == 130
    (trajectory,) = TrajectoryStore.open(tmp_path / "demo")
    assert (trajectory.stop, len(trajectory.steps)) == ("user", 1)


async def test_the_page_of_a_visitor_that_floods_is_sent_away(tmp_path: Path) -> None:
    from gui_agent.demo.clients import Client, TooSlowError
    from gui_agent.demo.events import NoticeEvent
    from gui_agent.demo.frames import encode_frame

    async with served(tmp_path) as (_, session):
        client = Client(1, encode_frame)
        for _ in range(1001):
            client.put(NoticeEvent(level="info", code="x", text="y"))
        with pytest.raises(TooSlowError):
            await anext(client.messages(session.feed))


def test_what_can_be_told_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--dry-run", "--task", TASK, "--expert"]) == 0
    assert "would serve a demo of the task's expert on phone" in capsys.readouterr().out
    wrong = [
        ["--expert"],
        ["--device", "toaster", "--task", TASK],
        ["--task", "phone/quickstart:open_app", "--expert"],
        ["--task", "phone/quickstart:fly:1", "--expert"],
        ["--task", "phone/phone:open_app:1", "--expert", "--device", "phone"],
        ["--preview-s", "-1"],
        ["--cost-limit", "1"],
        ["--host", "0.0.0.0"],
        ["--device", "browser:example"],
    ]
    for words in wrong:
        assert main(["demo", "--dry-run", *words]) == 2, words
    assert Place.of("", "phone/phone:open_app:1", 0).name == "phone:phone"


def test_without_a_model_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--dry-run"]) == 2
    assert "gui-agent pipeline --recipe quickstart" in capsys.readouterr().err
    trained = tmp_path / "runs" / "quickstart" / "semi_online"
    (trained / "model").mkdir(parents=True)
    (trained / "model" / "config.json").write_text("{}", encoding="utf-8")
    assert main(["demo", "--dry-run"]) == 0
    assert main(["run", "turn on wifi", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("runs/quickstart/semi_online/model on phone") == 2
