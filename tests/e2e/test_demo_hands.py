"""A person acts with a finger and by hand in a real browser, while an episode runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gui_agent.actions import (
    Button,
    Click,
    Finish,
    LongPress,
    OpenApp,
    Swipe,
    SystemButton,
    TypeText,
)
from gui_agent.device import ActionSource, StopReason
from trajectories.store import TrajectoryStore

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = pytest.mark.browser

SCREEN = (412, 915)
NEW_NOTE, TITLE = (366, 869), (206, 122)
"""The round button of the notes, and the first field of the page behind it."""


class Finger:
    """One finger on the picture of the page; points are pixels of the device."""

    def __init__(self, page: Any) -> None:
        self._page = page

    def put(self, x: int, y: int) -> None:
        """Touch the screen."""
        self._page.mouse.move(*self._place(x, y))
        self._page.mouse.down()

    def slide(self, x: int, y: int) -> None:
        """Move it there, drawn on the picture as it goes."""
        self._page.mouse.move(*self._place(x, y), steps=3)

    def lift(self) -> None:
        self._page.mouse.up()

    def tap(self, x: int, y: int) -> None:
        self.put(x, y)
        self.lift()

    def _place(self, x: int, y: int) -> tuple[float, float]:
        box = self._page.locator("#screen").bounding_box()
        width, height = SCREEN
        return box["x"] + (x + 0.5) / width * box["width"], box["y"] + (y + 0.5) / height * box["height"]


def wait_for_steps(page: Any, number: int) -> None:
    expect(page.locator("#steps li")).to_have_count(number)


def test_by_hand_while_an_episode_runs(
    serve_demo: Any, open_page: Callable[..., Any], scripted_model: Any
) -> None:
    scripted_model.answers += [scripted_model.call(action="open", text="notes")]
    scripted_model.otherwise = scripted_model.tap(900, 900)
    demo = serve_demo(device="phone:phone")
    page = open_page(demo.address)
    finger = Finger(page)
    page.wait_for_selector("#run:enabled")
    page.check("#approve-each")
    page.fill("#goal", "write a note")
    page.keyboard.press("Enter")
    page.wait_for_selector("#approve:visible")
    page.click("#approve")
    wait_for_steps(page, 1)

    # A way of the finger instead of what the agent proposes.
    page.wait_for_selector("#approve:visible")
    finger.put(200, 700)
    finger.slide(200, 300)
    assert page.locator("#marks path.human").count() == 1
    finger.lift()
    expect(page.locator("#caption")).to_contain_text("700 200 300")
    page.keyboard.press("Enter")
    wait_for_steps(page, 2)
    assert "by hand" in page.inner_text("#history-words")

    page.click("#take-over")
    expect(page.locator("#phase")).to_have_text("You act")
    finger.put(200, 120)
    page.wait_for_selector("#marks .mark.human")
    page.wait_for_timeout(700)  # a finger that rests
    finger.lift()
    wait_for_steps(page, 3)

    page.fill("#hand-text", "milk")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text("no text field has the focus")
    page.click("#hand-back")
    wait_for_steps(page, 4)
    finger.tap(*NEW_NOTE)
    wait_for_steps(page, 5)
    finger.tap(*TITLE)
    wait_for_steps(page, 6)
    page.fill("#hand-text", "milk")
    page.keyboard.press("Enter")
    wait_for_steps(page, 7)
    page.click("#hand-home")
    wait_for_steps(page, 8)
    page.click("#undo")
    wait_for_steps(page, 7)

    page.locator("#steps button").nth(1).click()
    assert page.inner_text("#phase") == "Step 2"
    assert "before step 2" in page.inner_text("#caption")
    assert page.get_attribute("#picture", "class") == "picture past"
    finger.tap(*NEW_NOTE)  # what is long gone cannot be touched
    page.keyboard.press("l")
    page.click("#hand-done")
    page.wait_for_selector("#end:visible")
    for picture in page.locator("#steps img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).not_to_have_js_property("naturalWidth", 0)

    store = TrajectoryStore.open(demo.session.store.path)
    trajectory = store.trajectory(store.episode_ids[-1])
    opened, swiped, held, *others = (step.executed for step in trajectory.steps)
    assert opened == OpenApp(name="notes")
    assert swiped == Swipe(x=200, y=700, to_x=200, to_y=300)  # its format knows no drag
    assert isinstance(held, LongPress)
    assert held.duration_s >= 0.5
    assert others == [
        SystemButton(button=Button.BACK),
        Click(x=NEW_NOTE[0], y=NEW_NOTE[1]),
        Click(x=TITLE[0], y=TITLE[1]),
        TypeText(text="milk"),
        Finish(),
    ]
    assert [step.source for step in trajectory.steps] == [ActionSource.POLICY] + [ActionSource.HUMAN] * 7
    assert trajectory.stop is StopReason.FINISHED
    assert [undone["action"] for undone in trajectory.source["undone"]] == ["home button"]
