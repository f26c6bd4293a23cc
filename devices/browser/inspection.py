"""What an action on a page would hit, read from its DOM beside the page's own scripts, for safety rules."""

from __future__ import annotations

from typing import Any

from devices.browser.page import BrowserPage
from devices.browser.scripts import page_script
from gui_agent.actions import Action, Button, PressKey, Scroll, SystemButton, TypeText, action_points
from gui_agent.safety.scene import Scene, Target


async def page_scene(page: BrowserPage, action: Action) -> Scene:
    """The widgets under an action, the focus with what Enter may press, and the words around.

    Raises:
        DeviceError: the page is broken or does not answer.
    """
    points = () if isinstance(action, Scroll) else action_points(action)
    keys = isinstance(action, TypeText | PressKey) or action == SystemButton(button=Button.ENTER)
    if not points and not keys:
        return Scene(place=page.url)
    found = await page.evaluate_apart(
        page_script("devices.browser", "inspection.js"), {"points": [list(point) for point in points]}
    )
    focus = found["focus"]
    return Scene(
        place=page.url,
        hit=tuple(map(_target, found["hit"])),
        focus=None if focus is None else _target(focus),
        submits=tuple(map(_target, found["submits"])),
        context=tuple(map(str, found["context"])),
    )


def _target(found: dict[str, Any]) -> Target:
    return Target(
        labels=tuple(str(label) for label in found["labels"]),
        identifier=str(found["identifier"]),
        role=str(found["role"]),
        link=str(found["link"]),
        password=bool(found["password"]),
        opaque=bool(found["opaque"]),
    )
