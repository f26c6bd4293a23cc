"""A person works with the demo's page in a real browser: a goal, hints, corrections, keys, tabs, stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gui_agent.actions import OpenApp
from gui_agent.device import ActionSource, Verdict
from trajectories.records import Trajectory
from trajectories.store import TrajectoryStore

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]


def newest(store: Path) -> Trajectory:
    opened = TrajectoryStore.open(store)
    return opened.trajectory(opened.episode_ids[-1])


def begin(page: Any, goal: str, *, approve: bool = True) -> None:
    page.set_checked("#approve-each", approve)
    page.fill("#goal", goal)
    page.keyboard.press("Enter")


def steps(page: Any) -> list[str]:
    return [str(text) for text in page.locator("#steps .did").all_inner_texts()]


def wait_for_steps(page: Any, number: int) -> None:
    expect(page.locator("#steps li")).to_have_count(number)


def wait_for_phase(page: Any, words: str) -> None:
    expect(page.locator("#phase")).to_have_text(words)


def point(page: Any, x: float, y: float) -> tuple[float, float]:
    """A place on the picture, from shares of its width and height."""
    box = page.locator("#screen").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def stop(page: Any) -> None:
    if page.is_enabled("#stop"):
        page.keyboard.press("Escape")
    page.wait_for_selector("#stop:disabled")


@pytest.fixture(scope="module")
def phone(serve_demo: Any) -> Any:
    """A demo on a virtual phone that tests take turns with."""
    return serve_demo(device="phone")


@pytest.fixture
def page(phone: Any, open_page: OpenPage, scripted_model: Any) -> Iterator[Any]:
    scripted_model.answers.clear()
    scripted_model.prompts.clear()
    opened = open_page(phone.address)
    stop(opened)
    opened.wait_for_selector("#run:enabled")
    opened.uncheck("#approve-each")
    yield opened
    stop(opened)


def test_a_goal_in_words_with_a_hint_and_an_edit(page: Any, phone: Any, scripted_model: Any) -> None:
    tap = scripted_model.tap
    scripted_model.answers += [tap(100, 100, "first"), tap(300, 300, "again"), tap(500, 500, "edited")]
    scripted_model.answers += [tap(700, 700, "third"), tap(800, 800, "fourth")]
    begin(page, "turn on wifi")
    page.wait_for_selector("#approve:visible")
    assert page.inner_text("#thought") == "first"
    page.fill("#reject-hint", "use the settings")
    page.keyboard.press("Enter")
    expect(page.locator("#thought")).to_have_text("again")
    assert "Hint from the user: use the settings" in scripted_model.prompts[-1]

    page.click("#edit")  # another kind of action, written in fields
    page.select_option("#edit-kind", "open")
    page.fill("#edit-inputs input", "settings")
    page.click("#edit-send")
    wait_for_steps(page, 1)
    page.wait_for_selector("#approve:visible")
    stop(page)
    page.wait_for_selector("#end:visible")

    (opened,) = newest(phone.session.store.path).steps
    assert (opened.source, opened.executed) == (ActionSource.HUMAN, OpenApp(name="settings"))
    assert len(opened.candidates) > 0  # what was rejected is kept


def test_with_the_keyboard_alone(page: Any, phone: Any, scripted_model: Any) -> None:
    scripted_model.answers += [scripted_model.tap(100, 100), scripted_model.tap(200, 200)]
    scripted_model.otherwise = scripted_model.tap(900, 900)
    press = page.keyboard.press
    page.set_checked("#approve-each", False)  # other tests of this demo left it as they liked
    expect(page.locator("#approve-each")).not_to_be_checked()
    page.reload()  # the focus is at the top again
    expect(page.locator("#link")).to_have_text("you control")
    press("Tab")
    for _ in range(12):  # from the top of the page to the goal
        if page.evaluate("document.activeElement.id") == "goal":
            break
        press("Tab")
    page.keyboard.type("turn on wifi")
    for _ in range(6):
        press("Tab")
        if page.evaluate("document.activeElement.id") == "approve-each":
            break
    press("Space")
    expect(page.locator("#approve-each")).to_be_checked()
    page.evaluate("document.activeElement.blur()")
    press("s")  # one step: asks first, as the mode says
    page.wait_for_selector("#approve:visible")
    press("a")
    wait_for_steps(page, 1)
    wait_for_phase(page, "Paused")
    press("Space")
    page.wait_for_selector("#approve:visible")
    press("e")
    assert page.evaluate("document.activeElement.id") == "edit-kind"
    press("Escape")
    page.wait_for_selector("#stop:disabled")  # it stops from anywhere, first of all
    assert steps(page) == ["click (11, 22)"]

    press("t")
    press("c")
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowUp"):
        press(key)
    assert page.inner_text("#spoken") == "50, 105"
    press("Enter")
    press("ArrowDown")
    press("m")
    press("ArrowRight")
    press("Enter")
    press("t")
    press("?")
    page.wait_for_selector("#keys[open]")
    press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    press("ArrowLeft")
    assert page.inner_text("#phase") == "Step 1"
    press("l")
    press("+")
    page.wait_for_selector("#end [data-verdict=success][aria-pressed=true]")
    assert newest(phone.session.store.path).outcome.verdict is Verdict.SUCCESS


def test_letters_are_no_keys_where_they_are_switched_off_or_written(page: Any) -> None:
    page.fill("#goal", "")
    page.type("#goal", "ta ?")
    assert page.input_value("#goal") == "ta ?"
    assert not page.is_visible("#keys")
    page.click("#keys-button")
    page.uncheck("#letters")
    page.click("#keys >> text=Close")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("t")
    assert page.get_attribute("#take-over", "aria-pressed") == "false"


def test_two_tabs_one_of_them_decides(
    page: Any, phone: Any, open_page: OpenPage, scripted_model: Any
) -> None:
    scripted_model.otherwise = scripted_model.tap(100, 100)
    other = open_page(phone.address)
    other.wait_for_selector("#take-control:visible")
    assert "watching" in other.inner_text("#link")
    begin(page, "turn on wifi")
    other.wait_for_selector("#proposal:visible")  # sees, and cannot answer
    assert not other.is_visible("#approve")
    assert all(other.is_disabled(f"#{name}") for name in ("run", "pause", "step", "stop", "take-over"))
    other.keyboard.press("Escape")
    other.keyboard.press("a")
    other.mouse.click(*point(other, 0.5, 0.5))
    page.wait_for_selector("#approve:visible")
    assert steps(page) == []
    other.click("#take-control")
    other.wait_for_selector("#approve:visible")
    page.wait_for_selector("#take-control:visible")
    other.click("#approve")
    for tab in (page, other):
        wait_for_steps(tab, 1)
        assert steps(tab) == ["click (11, 22)"]
    page.click("#take-control")
    page.wait_for_selector("#stop:enabled")


def test_a_connection_that_breaks_is_taken_up_again(page: Any, phone: Any, scripted_model: Any) -> None:
    scripted_model.otherwise = scripted_model.tap(100, 100)
    begin(page, "turn on wifi")
    page.wait_for_selector("#approve:visible")
    page.click("#approve")
    wait_for_steps(page, 1)
    page.wait_for_selector("#approve:visible")
    phone.hang_up()
    page.wait_for_selector("#demo[data-link=lost]")
    page.wait_for_selector("#demo[data-link=open]")
    page.wait_for_selector("#approve:visible")  # control came back too
    assert steps(page) == ["click (11, 22)"]


def test_stop_while_the_model_thinks(page: Any, scripted_model: Any) -> None:
    scripted_model.held.clear()
    begin(page, "turn on wifi", approve=False)
    wait_for_phase(page, "Thinking")
    page.focus("#hint")
    page.keyboard.press("Escape")
    page.wait_for_selector("#stop:disabled")
    scripted_model.held.set()
    assert steps(page) == []
    assert "stopped by you" in page.inner_text("#end")
