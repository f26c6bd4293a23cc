"""A web site as the plainest task, and the browsers that a suite of tasks needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from devices.browser.elements import visible_elements
from devices.browser.factory import BrowserFactory
from devices.browser.page import BrowserPage
from devices.browser.process import BrowserSettings
from gui_agent.device import ExpertAction, Outcome, TaskSource, Verdict
from gui_agent.errors import ConfigError
from gui_agent.observation import UiElement

_SCHEMES: Final = ("http", "https", "file")
_LOCAL_HOSTS: Final = ("", "localhost", "127.0.0.1")


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
        await page.settle()

    async def settle(self, page: BrowserPage) -> bool:
        """A site goes on for ever."""
        await page.settle()
        return False

    async def check(self, page: BrowserPage) -> Outcome:
        """Nobody can tell."""
        return Outcome(verdict=Verdict.UNSCORED, detail=f"at {page.url}")

    async def elements(self, page: BrowserPage) -> Sequence[UiElement]:
        """The widgets that can be seen."""
        return await visible_elements(page)

    async def next_expert_action(self, page: BrowserPage) -> ExpertAction | None:
        """There is no expert for a site."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSuite:
    """One web site as a list of one task.

    Attributes:
        url: where every episode begins.
        goal: what to do there.
    """

    url: str
    goal: str = "Look around."

    @property
    def suite(self) -> str:
        """`browser/<url>`."""
        return f"browser/{self.url}"

    @property
    def templates(self) -> Sequence[str]:
        """The only one: the site's host."""
        return (self.task("", 0).template,)

    def task(self, template: str, seed: int) -> SiteTask:
        """The task; the seed is only kept."""
        return SiteTask(url=self.url, goal=self.goal, seed=seed)

    @property
    def settings(self) -> BrowserSettings:
        """A page as high as a phone's; other computers are reached only if the site is on one."""
        parts = urlsplit(self.url)
        return BrowserSettings(
            width_px=412,
            height_px=732,
            timeout_s=30.0,
            allow_network=(parts.hostname or "") not in _LOCAL_HOSTS,
        )


def site_suite(url: str) -> SiteSuite:
    """The suite of a web site.

    Raises:
        ConfigError: the address is not whole.
    """
    suite = SiteSuite(url=url)
    suite.task("", 0)
    return suite


def browser_devices(num_devices: int, suite: TaskSource) -> BrowserFactory:
    """Browser pages in number and size as a suite needs them; the caller closes the factory."""
    settings = suite.settings if isinstance(suite, SiteSuite) else BrowserSettings()
    return BrowserFactory(num_devices, settings=settings)
