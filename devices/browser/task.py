"""What a task of a browser provides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from devices.browser.page import BrowserPage
from gui_agent.device import ExpertAction, Outcome, Task
from gui_agent.observation import UiElement


class BrowserTask(Task, Protocol):
    """A task that lives on a page.

    The methods talk to the page by JavaScript, which is a channel that the agent does not have: it
    acts by coordinates and keys only.
    """

    @property
    def allows_back(self) -> bool:
        """Whether the agent may go back in the page's history."""
        ...

    async def start(self, page: BrowserPage) -> None:
        """Bring the page to the start of the task, drawn and with no pointer over a widget."""
        ...

    async def settle(self, page: BrowserPage) -> bool:
        """Wait until the page shows the effect of an action; whether the page ended the task by itself."""
        ...

    async def check(self, page: BrowserPage) -> Outcome:
        """Judge the task; changes nothing."""
        ...

    async def elements(self, page: BrowserPage) -> Sequence[UiElement]:
        """The widgets that can be seen."""
        ...

    async def next_expert_action(self, page: BrowserPage) -> ExpertAction | None:
        """What an expert would do now; None if nothing is left to do."""
        ...
