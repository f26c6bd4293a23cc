"""One seeded episode of one MiniWoB++ page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from devices.browser import gestures
from devices.browser.elements import box_of, visible_elements
from devices.browser.page import BrowserPage
from devices.browser.scripts import page_script
from gui_agent.actions import action_from_dict
from gui_agent.device import ExpertAction, Outcome, Verdict
from gui_agent.errors import DeviceError
from gui_agent.observation import UiElement

_STATUS: Final = """token => window.episodeToken === token && typeof WOB_DONE_GLOBAL === 'boolean'
  ? [WOB_DONE_GLOBAL, WOB_RAW_REWARD_GLOBAL, String(WOB_REWARD_REASON || '')] : null"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeStatus:
    """What the page says about its episode.

    Attributes:
        ended: the page ended it.
        raw_reward: in [-1, 1], before the page's discount by wall-clock time.
        reason: the page's own words, often empty.
        left: the episode's document is gone: a form was sent or a link was followed.
    """

    ended: bool
    raw_reward: float
    reason: str = ""
    left: bool = False


@dataclass(kw_only=True, eq=False)
class MiniwobTask:
    """A page of MiniWoB++ with a seed: equal ids show the same page and the same goal.

    The page writes the goal, so it is empty until a device was reset with this task.

    Attributes:
        env: name of the page, for instance `click-test-2`.
        seed: seed of the page's random numbers.
        folder: where the html files of the package are.
        max_steps: budget of actions.
        in_place: a started page may be reused for the next episode; otherwise it is loaded again.
        has_expert: whether `next_expert_action` knows this page.
    """

    env: str
    seed: int
    folder: Path
    max_steps: int = 10
    in_place: bool = False
    has_expert: bool = False
    _goal: str = field(default="", init=False, repr=False)

    @property
    def task_id(self) -> str:
        """`miniwob/<env>/<seed>`."""
        return f"miniwob/{self.env}/{self.seed}"

    @property
    def template(self) -> str:
        """The name of the page."""
        return self.env

    @property
    def goal(self) -> str:
        """The instruction, as the page writes it; empty until a device was reset with this task."""
        return self._goal

    @property
    def allows_back(self) -> bool:
        """A page is the whole world."""
        return False

    @property
    def url(self) -> str:
        """Address of the html file."""
        return (self.folder / "miniwob" / f"{self.env}.html").as_uri()

    async def start(self, page: BrowserPage) -> None:
        """Load the page, or reuse it where that shows the same pixels, and start the seeded episode."""
        if not (self.in_place and page.url == self.url):
            await page.goto(self.url)
        await gestures.park(page)
        script = page_script("devices.browser.miniwob", "episode.js")
        goal = await page.evaluate(script, {"seed": self.seed, "token": self._token})
        if not isinstance(goal, str) or not goal:
            raise DeviceError(f"{self.task_id} started without a goal: {goal!r}")
        self._goal = goal

    async def status(self, page: BrowserPage) -> EpisodeStatus:
        """What the page says about this episode."""
        return _status(await page.evaluate(_STATUS, self._token))

    async def settle(self, page: BrowserPage) -> bool:
        """Whether the page gave its reward, or is gone."""
        return _status(await page.settle(_STATUS, self._token)).ended

    async def check(self, page: BrowserPage) -> Outcome:
        """Success if the raw reward is positive; an episode that was not ended is a failure.

        Raises:
            DeviceError: the page's own script failed before the end, so that its silence says nothing.
        """
        status = await self.status(page)
        if not status.ended:
            if page.script_errors:
                raise DeviceError(f"a script of {self.task_id} failed: {page.script_errors[0]}")
            return Outcome(verdict=Verdict.FAILURE, progress=0.0, detail="the page did not end the episode")
        detail = f"raw reward {status.raw_reward:g}" + (f": {status.reason}" if status.reason else "")
        if status.raw_reward > 0:
            return Outcome(verdict=Verdict.SUCCESS, progress=min(1.0, status.raw_reward), detail=detail)
        return Outcome(verdict=Verdict.FAILURE, progress=0.0, detail=detail)

    async def elements(self, page: BrowserPage) -> Sequence[UiElement]:
        """The widgets that can be seen."""
        return await visible_elements(page)

    async def next_expert_action(self, page: BrowserPage) -> ExpertAction | None:
        """The next action towards a positive reward, from the page's state; None without an expert."""
        if not self.has_expert or (await self.status(page)).ended:
            return None
        script = page_script("devices.browser.miniwob", "dom.js", "experts.js")
        step = await page.evaluate(script, {"env": self.env, "goal": self.goal})
        return _expert_action(step)

    @property
    def _token(self) -> str:
        return hashlib.sha256(self.task_id.encode()).hexdigest()[:16]


def _status(reply: list[Any] | None) -> EpisodeStatus:
    if reply is None:
        return EpisodeStatus(ended=True, raw_reward=0.0, reason="the page was left", left=True)
    ended, reward, reason = reply
    return EpisodeStatus(ended=bool(ended), raw_reward=float(reward or 0.0), reason=str(reason))


def _expert_action(step: dict[str, Any] | None) -> ExpertAction | None:
    if step is None:
        return None
    return ExpertAction(
        action=action_from_dict(step["action"]),
        boxes=tuple(box_of(edges) for edges in step.get("boxes", ())),
        thought=step.get("thought"),
    )
