"""What a task of a browser provides, and the plainest one: look at a web site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from devices.browser.page import BrowserPage
from gui_agent.device import ExpertAction, Outcome, Task, Verdict
from gui_agent.errors import ConfigError
from gui_agent.observation import UiElement

_SCHEMES: Final = ("http", "https", "file")


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
        """Bring the page to the start of the task."""
        ...

    async def has_ended(self, page: BrowserPage) -> bool:
        """Whether the page ended the task by itself."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTask:
    """Do something on a web site that nobody scores: for demonstrations.

    Every start uses an empty profile, so that no cookie of an earlier episode is left.

    Attributes:
        url: where to begin (http, https or file).
        goal: what to do there.
        max_steps: budget of actions.
        seed: kept with the recorded episode; a site does not depend on it.
    """

    url: str
    goal: str = "Look around."
    max_steps: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in _SCHEMES:
            raise ConfigError(
                f"{self.url!r} is no address of a page; write it whole, for example http://127.0.0.1:8000/"
            )

    @property
    def task_id(self) -> str:
        """The address and the goal: the same ones mean the same task."""
        return f"site/{self.url}#{self.goal}"

    @property
    def template(self) -> str:
        """The host, or `file`."""
        return urlsplit(self.url).netloc or "file"

    @property
    def allows_back(self) -> bool:
        """A site has a history."""
        return True

    async def start(self, page: BrowserPage) -> None:
        """Open the address in a new profile."""
        await page.renew()
        await page.goto(self.url)

    async def has_ended(self, page: BrowserPage) -> bool:
        """A site goes on for ever."""
        return False

    async def check(self, page: BrowserPage) -> Outcome:
        """Nobody can tell."""
        return Outcome(verdict=Verdict.UNSCORED, detail=f"at {page.url}")

    async def elements(self, page: BrowserPage) -> Sequence[UiElement]:
        """The widgets that can be seen."""
        from devices.browser.elements import visible_elements

        return await visible_elements(page)

    async def next_expert_action(self, page: BrowserPage) -> ExpertAction | None:
        """There is no expert for a site."""
        return None
