"""The widgets of a page, read from its DOM: labels for grounding, never part of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devices.browser.page import BrowserPage
from devices.browser.scripts import page_script
from gui_agent.observation import Box, UiElement


async def visible_elements(page: BrowserPage) -> Sequence[UiElement]:
    """The named widgets that a click reaches, in the order of the document.

    A box holds pixels that reach its widget: what another widget covers is left out, as far as a grid of
    8 by 8 points tells.
    """
    found = await page.evaluate(page_script("devices.browser", "dom.js", "elements.js"))
    return tuple(
        UiElement(name=str(one["name"]), role=str(one["role"]), box=box_of(one["box"])) for one in found
    )


def box_of(edges: Sequence[Any]) -> Box:
    """A box from JavaScript's [left, top, right, bottom]."""
    left, top, right, bottom = (int(edge) for edge in edges)
    return Box(left=left, top=top, right=right, bottom=bottom)
