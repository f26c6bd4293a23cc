"""The demo's page itself: it fits, can be read, has names for all it has, and takes no text for markup."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]
EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"&"

CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1), pen = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (colour) => colour
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    const words = walk.currentNode.textContent.trim();
    if (!words || !node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (node.closest("button:disabled, .visually-hidden, dialog, label:has(:disabled), option")) continue;
    const style = getComputedStyle(node), size = parseFloat(style.fontSize);
    const big = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const is = ratio(over(rgba(style.color), ground(node)), ground(node));
    if (is < (big ? 3 : 4.5)) found.push(`${words.slice(0, 30)}: ${is.toFixed(2)}`);
  }
  return found;
}"""
NAMELESS = """() =>
  [...document.querySelectorAll("button, input, select, textarea, a[href], [role=application]")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.ariaLabel || node.labels?.[0]?.textContent.trim() || node.textContent.trim()))
  .map((node) => node.outerHTML.slice(0, 80))"""
UNFOCUSED = """() => {
  const found = [];
  for (const node of document.querySelectorAll("button, input, textarea, select, a[href], [tabindex='0']")) {
    if (!node.checkVisibility() || node.disabled) continue;
    node.focus({ focusVisible: true });
    if (getComputedStyle(node).outlineStyle === "none") found.push(node.outerHTML.slice(0, 80));
  }
  return found;
}"""


@pytest.fixture(scope="module")
def demo(serve_demo: Any) -> Any:
    return serve_demo(device="phone")


@pytest.fixture
def evil(demo: Any, scripted_model: Any) -> Iterator[None]:
    """Everything that a model can write is an attack."""
    act = scripted_model.call(EVIL, action="open", text=EVIL)
    scripted_model.answers.clear()
    scripted_model.otherwise = act
    yield
    demo.interrupt()


@pytest.mark.usefixtures("evil")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_is_legible_and_takes_no_text_for_markup(
    demo: Any, open_page: OpenPage, scheme: str, width: int
) -> None:
    page = open_page(demo.address, width=width, height=844, color_scheme=scheme)

    def check(where: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width, where
        assert page.evaluate(CONTRAST) == [], where
        assert page.evaluate(NAMELESS) == [], where

    page.wait_for_selector("#run:enabled")
    check("before")
    assert page.evaluate(UNFOCUSED) == []
    page.check("#approve-each")
    page.fill("#goal", EVIL)
    page.click("#run")
    page.wait_for_selector("#approve:visible")
    assert page.inner_text("#thought") == EVIL
    assert EVIL in page.inner_text("#deed")
    assert EVIL in page.inner_text("#caption")
    check("waiting")
    for name in ("#stop", "#approve", "#reject"):  # always within reach
        box = page.locator(name).bounding_box()
        assert box["y"] >= 0, name
        assert box["y"] + box["height"] <= 844, name
    page.click("#edit")
    check("editing")
    page.click("#edit-cancel")
    page.click("#approve")
    expect(page.locator("#steps li")).to_have_count(1)
    page.click("#take-over")
    expect(page.locator("#hand-tools")).to_be_visible()
    check("by hand")
    page.locator("#steps button").first.click()
    check("a step")
    page.keyboard.press("Escape")
    page.wait_for_selector("#stop:disabled")
    page.keyboard.press("l")
    page.wait_for_selector("#end:visible")
    page.locator("#episodes summary").click()
    check("ended")
    assert page.locator("script").count() == 1
    assert page.locator(".rooms img[src=x]").count() == 0
    assert page.evaluate("document.getAnimations().length") == 0
    page.keyboard.press("?")
    check("keys")


def test_words_for_screen_readers(demo: Any, open_page: OpenPage, scripted_model: Any) -> None:
    scripted_model.otherwise = scripted_model.tap(100, 100, "because")
    page = open_page(demo.address)
    page.wait_for_selector("#run:enabled")
    page.check("#approve-each")
    snapshot = page.locator("body").aria_snapshot()
    for name in ("Run", "Pause", "Step", "Stop Esc", "Act by hand", "Keys"):
        assert f'button "{name}"' in snapshot
    assert 'textbox "What is to be done?"' in snapshot
    assert 'checkbox "ask me before each action"' in snapshot
    assert page.get_attribute("#stop", "aria-keyshortcuts") == "Escape"
    page.fill("#goal", "turn on wifi")
    page.keyboard.press("Enter")
    expect(page.locator("#spoken")).to_contain_text("Step 1: click (11, 22). Approve, edit or reject.")
    assert page.get_attribute("#picture", "aria-label") == "screen of the device, proposed: click (11, 22)"
    page.click("#approve")
    expect(page.locator("#spoken")).to_contain_text("Step 2:")
    page.keyboard.press("Escape")
    expect(page.locator("#spoken")).to_contain_text("Ended: stopped by you")


def test_names_that_the_server_tells_are_text_and_links_lead_nowhere_else(demo: Any, chromium: Any) -> None:
    """Names of devices, tasks, files and episodes may hold markup; a path may try to leave this server."""
    words = ("episode_id", "goal", "stop", "reason", "verdict", "detail", "answer")
    episode = {**dict.fromkeys(words, EVIL), "picture": "", "stored": True}
    archive = {"type": "exported", "name": EVIL, "num_episodes": 1, "num_bytes": 1}
    evil_paths = ("javascript:document.title='owned'", "/\\example.org/x")
    events = [
        {
            "type": "hello", "client": 1, "device": EVIL, "agent": EVIL, "can_undo": True, "can_hint": True,
            "actions": ["click"], "task": EVIL, "examples": [EVIL], "poll_interval_s": 1.0,
        },
        {"type": "control", "controller": 1, "you": True, "watchers": 0},
        {"type": "episode", **episode, "steps": 1, "human_steps": 0, "wall_s": 1.0},
        {"type": "notice", "level": "error", "code": "episode", "text": EVIL},
        *({**archive, "path": path} for path in (*evil_paths, f"/exports/{EVIL}.zip")),
        {"type": "error", "code": "bad_value", "text": EVIL, "id": 1},
    ]  # fmt: skip
    context = chromium.new_context()
    page = context.new_page()
    page.route_web_socket("**/socket", lambda socket: [socket.send(json.dumps(event)) for event in events])
    page.goto(demo.address)
    expect(page.locator("#alerts")).to_contain_text(EVIL)
    assert EVIL in page.inner_text("#where")
    assert EVIL in page.get_attribute("#goal", "placeholder")
    assert EVIL in page.inner_text("#end")
    assert page.locator("img[src=x]").count() == 0
    links = page.evaluate("[...document.links].map((link) => [link.origin, link.pathname])")
    assert len(links) == 3  # the viewer twice, one of the files
    assert {origin for origin, _ in links} == {demo.base}
    assert all(path.startswith(("/episode/0/%3C", "/exports/")) for _, path in links)
    assert page.title() != "owned"
    context.close()


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs_inline(demo: Any) -> None:
    with httpx.Client(base_url=demo.base, follow_redirects=True) as client:
        answer = client.get(demo.address)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for word in ("http:", "https:", "//", "style=", "onclick", "<script>"):
            assert word not in answer.text
        for name in ("demo.js", "demo.css", "page.css"):
            assert client.get(f"/static/{name}").status_code == 200
            assert "url(" not in client.get(f"/static/{name}").text
        script = client.get("/static/demo.js").text
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):
        assert word not in script
