"""A page of a browser as a `Device`."""

from __future__ import annotations

import asyncio
from typing import Final, TypeGuard, assert_never

from devices.browser import gestures
from devices.browser.inspection import page_scene
from devices.browser.keys import dom_key
from devices.browser.page import BrowserPage
from devices.browser.task import BrowserTask
from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    DoubleClick,
    Drag,
    Finish,
    LongPress,
    OpenApp,
    ParseError,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    action_name,
    action_points,
)
from gui_agent.device import ActionResult, ExpertAction, Outcome, StopReason, Task
from gui_agent.errors import ConfigError, DeviceError
from gui_agent.observation import Observation, UiElement
from gui_agent.safety.scene import Scene

_ACTION_SPACE: Final[frozenset[type]] = frozenset(
    {
        Click,
        DoubleClick,
        LongPress,
        Drag,
        Swipe,
        Scroll,
        TypeText,
        PressKey,
        SystemButton,
        Wait,
        Answer,
        Finish,
    }
)
_LONGEST_HOLD_S: Final = 10.0
"""A model that asks for an hour gets this; the result says how long it really was."""


class BrowserDevice:
    """One agent's page: it sees screenshots and acts by coordinates and keys.

    A `Swipe` moves the content under the finger by the length of the path, with the wheel: pages that
    listen to touch events see none. `SystemButton(BACK)` goes back in the history where the task
    allows it, `SystemButton(ENTER)` is the Enter key. A page that broke is replaced by the next
    `reset`. Leased from a `BrowserFactory`, which owns the page.
    """

    def __init__(self, page: BrowserPage) -> None:
        """Wrap a page; `reset` opens it."""
        self._page = page
        self._task: BrowserTask | None = None
        self._ended = False
        self._closed = False

    @property
    def action_space(self) -> frozenset[type]:
        """Everything but `OpenApp`: a browser has no apps."""
        return _ACTION_SPACE

    @property
    def page(self) -> BrowserPage:
        """The page behind this device, for tools; agents never see it."""
        return self._page

    async def reset(self, task: Task) -> None:
        """Bring the page to the start of the task.

        Raises:
            ConfigError: the task is made for another world.
            DeviceError: the page cannot be brought there, or the device was closed.
        """
        if self._closed:
            raise DeviceError("this device was closed; lease another one")
        if not _is_browser_task(task):
            raise ConfigError(f"task {task.task_id!r} ({type(task).__name__}) is no task for a browser")
        self._task, self._ended = None, False
        await self._page.ensure_open()
        self._page.clear_script_errors()
        await task.start(self._page)
        self._task = task

    async def observe(self) -> Observation:
        """Look at the page; its state key is the hash of the picture."""
        self._current_task()
        screenshot = await self._page.screenshot()
        elements = await self.elements() if self._page.settings.observe_elements else None
        return Observation(
            screenshot=screenshot,
            elements=elements,
            foreground_app=self._page.url,
            state_key=screenshot.sha256,  # One encoder: equal pixels have equal bytes.
        )

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform the action and wait until the page has drawn its effect."""
        task = self._current_task()
        if isinstance(action, ParseError):
            return ActionResult(executed=None, error=f"the response is no action: {action.reason}")
        if self._ended:
            return ActionResult(
                executed=None, error="the page has ended the task", stop=StopReason.TASK_ENDED
            )
        if isinstance(action, Finish):
            return ActionResult(executed=action, stop=StopReason.FINISHED)
        if (error := self._refusal(action, task)) is not None:
            return ActionResult(executed=None, error=error)
        result = await self._perform(action)
        self._ended = await task.settle(self._page)
        if not self._ended:
            return result
        return ActionResult(executed=result.executed, error=result.error, stop=StopReason.TASK_ENDED)

    async def check(self) -> Outcome:
        """Judge the task by JavaScript, a channel that the agent does not have."""
        return await self._current_task().check(self._page)

    async def next_expert_action(self) -> ExpertAction | None:
        """What an expert would do now; None if there is nothing to do, or no expert for this task."""
        task = self._current_task()
        return None if self._ended else await task.next_expert_action(self._page)

    async def elements(self) -> tuple[UiElement, ...]:
        """The named widgets that a click reaches now: labels, never shown to an agent."""
        return tuple(await self._current_task().elements(self._page))

    async def scene(self, action: Action) -> Scene:
        """What an action would hit now, for safety rules."""
        self._current_task()
        return await page_scene(self._page, action)

    async def close(self) -> None:
        """Let go of the page, which stays with its factory; calling it twice is fine."""
        self._closed = True
        self._task = None

    def _current_task(self) -> BrowserTask:
        if self._closed:
            raise DeviceError("this device was closed; lease another one")
        if self._task is None:
            raise DeviceError("no task was started on this device; call reset first")
        return self._task

    def _refusal(self, action: Action, task: BrowserTask) -> str | None:
        """Why the action cannot be performed here, or None."""
        if type(action) not in _ACTION_SPACE:
            return f"a browser cannot perform {action_name(action)!r}"
        width_px, height_px = self._page.settings.width_px, self._page.settings.height_px
        for x, y in action_points(action):
            if not (0 <= x < width_px and 0 <= y < height_px):
                return f"({x}, {y}) lies outside the screen of {width_px}x{height_px} pixels"
        match action:
            case PressKey(key=key) if dom_key(key) is None:
                return f"there is no key {key!r}"
            case SystemButton(button=Button.BACK) if not task.allows_back:
                return "this task has no history to go back to"
            case SystemButton(button=Button.HOME | Button.MENU as button):
                return f"a browser has no {button.value} button"
            case Wait(duration_s=duration_s) | LongPress(duration_s=duration_s) if not duration_s >= 0:
                return f"a duration of {duration_s} s is impossible"
            case _:
                return None

    async def _perform(self, action: Action) -> ActionResult:
        page = self._page
        match action:
            case Click(x=x, y=y):
                await gestures.click(page, x, y)
            case DoubleClick(x=x, y=y):
                await gestures.click(page, x, y, times=2)
            case LongPress(x=x, y=y, duration_s=duration_s):
                held_s = min(duration_s, _LONGEST_HOLD_S)
                await gestures.long_press(page, x, y, duration_s=held_s)
                return ActionResult(executed=LongPress(x=x, y=y, duration_s=held_s))
            case Drag(x=x, y=y, to_x=to_x, to_y=to_y):
                await gestures.drag(page, x, y, to_x, to_y)
            case Swipe(x=x, y=y, to_x=to_x, to_y=to_y):
                await gestures.wheel(page, x, y, delta_x=x - to_x, delta_y=y - to_y)
            case Scroll(direction=direction, x=at_x, y=at_y):
                x = page.settings.width_px // 2 if at_x is None else at_x
                y = page.settings.height_px // 2 if at_y is None else at_y
                await gestures.scroll(page, direction, x, y)
            case TypeText(text=text):
                await page.type_text(text)
            case PressKey(key=key):
                await page.press(dom_key(key) or key)
            case SystemButton(button=Button.BACK):
                if not await page.back():
                    return ActionResult(executed=None, error="there is no earlier page")
            case SystemButton():
                await page.press("Enter")
            case Wait(duration_s=duration_s):
                waited_s = min(duration_s, _LONGEST_HOLD_S)
                await asyncio.sleep(waited_s)  # The duration is the action itself.
                return ActionResult(executed=Wait(duration_s=waited_s))
            case Answer():
                pass  # Told to the user; the page does not change.
            case Finish() | OpenApp():
                raise AssertionError("handled before")
            case _:
                assert_never(action)
        return ActionResult(executed=action)


def _is_browser_task(task: Task) -> TypeGuard[BrowserTask]:
    return all(
        callable(getattr(task, name, None))
        for name in ("start", "settle", "check", "elements", "next_expert_action")
    )
