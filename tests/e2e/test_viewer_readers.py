"""The viewer for every reader, of every store: contrast, names for screen readers, hostile contents."""

from __future__ import annotations

import json
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from PIL import Image

from gui_agent.actions import Action, Click, Finish, ParseError, Swipe, TypeText
from gui_agent.agent import Candidate, CandidateKind, RoleCompletion
from gui_agent.cli.main import main
from gui_agent.cli.view import run_source
from gui_agent.device import ActionSource, ExpertAction, Outcome, StopReason, Verdict
from gui_agent.matching import MatchResult
from gui_agent.observation import Box, Screenshot
from gui_agent.policy import AgentRole, Completion, FinishReason
from gui_agent.viewer.app import create_viewer
from gui_agent.web.access import Access, Guard
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.store import TrajectoryStore

EVIL = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&{{7*7}}"
)
FOLDER = "<img src=x onerror=document.title='owned'>"
PICTURE = Screenshot.from_image(Image.new("RGB", (120, 240), (230, 235, 250)))
ODD_IDS = ("../../etc/passwd", "a/b?c#d", "100%25", "<b>é 漢</b>", "plain")


def candidate(kind: CandidateKind, branch: int, text: str, action: Action | ParseError | None) -> Candidate:
    completion = Completion(
        prompt_token_ids=(1,),
        image_grids=(),
        token_ids=(2,),
        logprobs=(-0.5,),
        text=text,
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )
    role = AgentRole.PLANNER if kind is CandidateKind.SUBGOAL else AgentRole.ACTOR
    sampled = RoleCompletion(role=role, completion=completion, image_sha256s=())
    refused = {"rejected": 1.0} if branch == 2 else {}
    return Candidate(
        kind=kind,
        completion=sampled,
        branch=branch,
        subgoal=text or None,
        action=action,
        format_ok=bool(text),
        measured=refused,
    )


def episode(name: str, text: str) -> Trajectory:
    """One step of every kind that a page marks."""
    expert = ExpertAction(action=Click(x=50, y=60), boxes=(Box(left=40, top=50, right=60, bottom=70),))
    swipe = Swipe(x=60, y=200, to_x=60, to_y=40)
    plain = Step(
        index=0,
        screenshot_sha256=PICTURE.sha256,
        width_px=PICTURE.width_px,
        height_px=PICTURE.height_px,
        requested=expert.action,
        executed=expert.action,
        expected=expert,
        match=MatchResult(type_match=True, exact_match=True, reason=""),
        thought=text,
        subgoal=text,
        foreground_app=text,
        raw_action=text,
        elements=({"text": text, "bounds": [0, 0, 10, 10]},),
        state_key_before="a",
        state_key_after="a",
        candidates=tuple(
            candidate(kind, branch, text if branch < 3 else "", action)
            for kind, action in (
                (CandidateKind.SUBGOAL, None),
                (CandidateKind.PROBE, swipe),
                (CandidateKind.ACTION, expert.action),
            )
            for branch in range(4)
        ),
    )
    wrong = replace(
        plain,
        requested=Click(x=5, y=6),
        match=MatchResult(type_match=True, exact_match=False, reason=text),
        source=ActionSource.PATCH,
        error=text,
        candidates=(),
    )
    steps = [
        plain,
        wrong,
        replace(wrong, source=ActionSource.HUMAN),
        replace(plain, requested=ParseError(reason=text, text=text), executed=None, format_ok=False),
        replace(plain, requested=TypeText(text=text), executed=TypeText(text=text), format_ok=False),
        replace(plain, requested=Finish(), executed=Finish()),
    ]
    return Trajectory(
        episode_id=name,
        task_id=f"task/{text[:20]}",
        template=text,
        suite=text,
        goal=text,
        steps=tuple(replace(step, index=index) for index, step in enumerate(steps)),
        stop=StopReason.DEVICE_FAULT if name == "plain" else StopReason.FINISHED,
        outcome=Outcome(verdict=Verdict.UNSCORED if name == "plain" else Verdict.SUCCESS, detail=text),
        group_id=f"g/{text[:20]}",
        policy=text,
        split=name,
        fault=text,
        source={"file": text},
        final_screenshot_sha256=PICTURE.sha256,
    )


def records(text: str, names: tuple[str, ...] = ODD_IDS) -> list[EpisodeRecord]:
    pictures = {PICTURE.sha256: PICTURE}
    return [EpisodeRecord(trajectory=episode(name, text), screenshots=pictures) for name in names]


@dataclass(frozen=True)
class Served:
    base: str
    token: str


def serve(folder: Path) -> Iterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    access = Access(port=listener.getsockname()[1])
    app = Guard(create_viewer([run_source(folder)]), access=access)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield Served(f"http://127.0.0.1:{access.port}", access.token)
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose very name is markup, with curves."""
    run = tmp_path_factory.mktemp("runs") / FOLDER
    store = TrajectoryStore.create(run / "trajectories")
    store.append(records(EVIL))
    lines = [{"update": n, EVIL: n, "reward": 0.1 * n} for n in range(3)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    yield from serve(folder)


CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (pixel) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = pixel.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = {}, known = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, svg, .unseen, :disabled, option")) continue;
    const stack = [];
    for (let at = element; at; at = at.parentElement) stack.unshift(getComputedStyle(at).backgroundColor);
    const colour = getComputedStyle(element).color, key = [...stack, colour].join();
    if (!(key in known)) {
      const [high, low] = [light(paint(stack)), light(paint([...stack, colour]))].sort((a, b) => b - a);
      known[key] = (high + 0.05) / (low + 0.05);
    }
    const name = element.className || element.tagName;
    if (known[key] < 4.5) poor[name] = `${known[key].toFixed(2)}: ${node.textContent.slice(0, 40)}`;
  }
  return poor;
}"""
NAMELESS = """() => [...document.querySelectorAll(
    "a, button, input:not([type=hidden]), select, summary, [role=group], nav, img, svg")]
  .filter((node) => node.checkVisibility() && !node.closest("[aria-hidden=true], button > *, a > *"))
  .filter((node) => {
    if (node.tagName === "IMG") return !node.hasAttribute("alt");
    const labels = [...(node.labels || [])].map((label) => label.textContent).join("");
    const name = node.getAttribute("aria-label") || labels;
    return !(name || (node.tagName === "SELECT" ? "" : node.textContent)).trim();
  }).map((node) => node.outerHTML.slice(0, 120))"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("scheme", "width_px"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]
)
def test_every_page_can_be_read(chromium: Any, served: Served, scheme: str, width_px: int) -> None:
    """Contrast of WCAG 2 AA, a name for everything that can be operated, and no scrolling to the side."""
    context = chromium.new_context(viewport={"width": width_px, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{served.base}/?token={served.token}")
    steps = [f"/episode/0/plain?step={step}" for step in (1, 2, 3, 4)]
    group = quote(f"/group/0/g/{EVIL[:20]}")
    both = "/compare?left=0/plain&right=0/a/b%3Fc%23d"
    problems = {}
    for path in ("/episodes", *steps, group, both, "/tasks", "/curves"):
        page.goto(served.base + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        found = [page.evaluate(CONTRAST), page.evaluate(NAMELESS), max(0, width - width_px)]
        if any(found):
            problems[path] = found
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.title() != "owned"
    assert problems == {}
    context.close()


@pytest.mark.browser
def test_markup_in_every_text_and_name_stays_text(
    chromium: Any, served: Served, folder: Path, tmp_path: Path
) -> None:
    """Goals, thoughts, responses, widgets, names of folders, ids and metrics; served and in a file."""
    output = tmp_path / "page.html"
    assert main(["view", str(folder), "--output", str(output)]) == 0
    page = chromium.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{served.base}/?token={served.token}")
    assert FOLDER in page.inner_text("nav.top")
    for name in ODD_IDS:  # whatever an id looks like, its address leads to it
        page.goto(f"{served.base}/episodes")
        page.locator(".episodes tr", has=page.locator("small", has_text=name)).first.locator(
            ".goal a"
        ).click()
        page.wait_for_selector(".stephead")
        assert name in page.inner_text(".head")
        assert page.inner_text(".head h2") == EVIL
        for _ in range(6):
            page.keyboard.press("ArrowRight")
    assert all(url.startswith((served.base, "data:")) for url in asked)
    page.goto(output.as_uri())
    assert page.inner_text("h1").endswith(FOLDER)
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        assert page.locator("img[src=x]").count() == 0
    assert page.title() != "owned"
    page.close()


@pytest.mark.browser
def test_what_is_appended_while_a_page_is_open_is_there_on_reload(chromium: Any, tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "store")
    store.append(records("first", ("one",)))
    for served in serve(tmp_path / "store"):
        page = chromium.new_page()
        page.goto(f"{served.base}/?token={served.token}")
        assert page.inner_text("#tally").startswith("1 of 1")
        TrajectoryStore.open(tmp_path / "store").append(records("second", ("two",)))  # as a training does
        page.reload()
        assert page.inner_text("#tally").startswith("2 of 2")
        page.goto(f"{served.base}/episode/0/one")
        page.keyboard.press("j")
        page.wait_for_url("**/episode/0/two**")
        assert page.inner_text(".head h2") == "second"
        page.close()


def bomb(side_px: int) -> bytes:
    """A PNG that says it is enormous, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_texts_and_pictures_of_any_size(tmp_path: Path) -> None:
    """Megabytes of text make pages of bounded size; a picture that would fill the memory is not decoded."""
    store = TrajectoryStore.create(tmp_path / "store")
    store.append(records("y" * 2_000_000, ("long",)))
    file = store.screenshots.file(PICTURE.sha256)
    assert file is not None
    file.write_bytes(bomb(60_000))
    for served in serve(tmp_path / "store"):
        with httpx.Client(base_url=served.base, follow_redirects=True, timeout=60) as client:
            pages = [
                client.get(f"/?token={served.token}"),
                client.get("/tasks"),
                client.get("/episode/0/long"),
            ]
            assert [page.status_code for page in pages] == [200, 200, 200]
            assert max(len(page.content) for page in pages) < 2_000_000
            assert client.get(f"/screens/0/{PICTURE.sha256}?side=256").status_code == 404
            for path in ("/episode/0/" + "x" * 9000, "/group/0/" + "%2e%2e%2f" * 1000):
                assert client.get(path).status_code == 414
            assert client.get("/episodes", headers={"cookie": "a=" + "x" * 100_000}).status_code in (
                400,
                403,
                431,
            )
            assert client.get("/episodes").status_code == 200
            for path in (
                "/episode/0/../../meta.json",
                "/episode/0/%2e%2e%2f%2e%2e%2fmeta.json",
                "/group/0/..%2f..%2f",
            ):
                assert client.get(path).status_code == 404
