"""One page of a browser, with a deadline on every call and faults told from the agent's mistakes.

A page that crashed, closed or missed a deadline is *broken*: every further call raises `DeviceError`
until `renew` opens a fresh one in a fresh profile.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from playwright.async_api import BrowserContext, CDPSession, Page
from playwright.async_api import Error as PlaywrightError

from devices.browser.process import BrowserProcess, BrowserSettings
from gui_agent.errors import CaptureError, DeviceError, DeviceTimeoutError, ImageDecodeError
from gui_agent.observation import Screenshot

_T = TypeVar("_T")

# A blinking caret would make two looks at the same page differ, and what opens another window would
# open it where no agent looks.
_ONE_STILL_WINDOW: Final = """
addEventListener('DOMContentLoaded', () => {
  const style = document.createElement('style');
  style.textContent = '* { caret-color: transparent !important }';
  document.documentElement.appendChild(style);
});
addEventListener('click', event => {
  const link = event.target instanceof Element && event.target.closest('[target]');
  if (link) link.removeAttribute('target');
}, true);
window.open = url => { if (url) location.href = url; return null; };
"""
# The timer set in an animation frame runs after that frame was drawn: what the last input changed is seen.
_SETTLED: Final = """async argument => {
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return (EXPRESSION)(argument);
}"""
_CLOSE_TIMEOUT_S: Final = 10.0
_LEAST_CAPTURE_S: Final = 3.0
_NAVIGATING: Final = (
    *("Execution context was destroyed", "Cannot find context", "navigat"),
    *("Not attached to an active page", "uniqueContextId not found", "No frame with given id"),
    "Unable to capture screenshot",  # the next document has drawn nothing yet
)


class BrowserPage:
    """A page that is opened on first use and can be replaced after a fault."""

    def __init__(self, process: BrowserProcess) -> None:
        """Nothing is opened before `renew` or `ensure_open`."""
        self._process = process
        self._context: BrowserContext | None = None
        self._page: Page | None = None
        self._cdp: CDPSession | None = None
        self._broken: asyncio.Future[str] | None = None
        self._script_errors: list[str] = []

    @property
    def settings(self) -> BrowserSettings:
        """Size, deadlines and the other settings of the browser."""
        return self._process.settings

    @property
    def fault(self) -> str | None:
        """Why this page cannot be used, or None."""
        if self._page is None or self._broken is None:
            return "the page is not open"
        return self._broken.result() if self._broken.done() else None

    @property
    def url(self) -> str:
        """Address of the document shown; empty before one is open."""
        return self._page.url if self._page is not None else ""

    @property
    def script_errors(self) -> Sequence[str]:
        """Uncaught errors of the page's own scripts since `clear_script_errors`."""
        return tuple(self._script_errors)

    def clear_script_errors(self) -> None:
        """Forget the script errors seen so far."""
        self._script_errors.clear()

    async def ensure_open(self) -> None:
        """Open the page if it is not, and replace it if it is broken."""
        if self.fault is not None:
            await self.renew()

    async def renew(self) -> None:
        """Replace the page by an empty one in a new profile; starts the browser again if it died."""
        await self.close()
        context = await self._bounded("open a page", self._process.new_context(), None)
        self._context = context
        page = await self._bounded("open a page", context.new_page(), None)
        broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        page.on("crash", lambda _: _break(broken, "the page crashed"))
        page.on("close", lambda _: _break(broken, "the page was closed"))
        page.on("pageerror", lambda error: self._script_errors.append(str(error)))
        await self._bounded("prepare a page", page.add_init_script(_ONE_STILL_WINDOW), broken)
        self._cdp = await self._bounded("connect to a page", context.new_cdp_session(page), broken)
        self._page, self._broken = page, broken
        self.clear_script_errors()

    async def close(self) -> None:
        """Close the page and forget its profile; calling it twice is fine."""
        context, self._context = self._context, None
        self._page, self._cdp, self._broken = None, None, None
        if context is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await context.close()
        except PlaywrightError:
            pass  # The browser died, and this profile with it.
        except TimeoutError:
            await self._process.abandon(context.browser)

    async def goto(self, url: str) -> None:
        """Show a document and wait until it is loaded."""
        page = self._open_page()
        await self._guard(f"open {url}", page.goto(url, wait_until="load", timeout=0))

    async def evaluate(self, expression: str, argument: Any = None) -> Any:
        """Run JavaScript in the page and return its JSON value; a channel that no agent has."""
        return await self._guard("ask the page", self._open_page().evaluate(expression, argument))

    async def evaluate_apart(self, expression: str, argument: Any = None) -> Any:
        """Run a JavaScript function beside the page's own scripts, which cannot change what it sees.

        The document is the same; the functions of the browser are its own, whatever the page made of them.
        """

        async def evaluate() -> Any:
            return await self._evaluated_apart(expression, argument)

        return await self._guard("ask the page", self._over_navigation(evaluate))

    async def settle(self, expression: str | None = None, argument: Any = None) -> Any:
        """Wait until the page has drawn what the last input changed, also over a navigation.

        Args:
            expression: a JavaScript function to call then; saves a round trip.
            argument: its argument.

        Returns:
            What the function returned, or None.
        """
        return await self._guard("settle the page", self._settled(expression, argument))

    async def screenshot(self) -> Screenshot:
        """The page as PNG.

        Raises:
            CaptureError: the browser gave no picture, or one of another size.
            DeviceError: the page is broken or missed the deadline.
        """
        self._open_page()
        cdp = self._cdp
        assert cdp is not None

        async def capture() -> dict[str, Any]:
            # No answer comes when the page moves to another site, and so to another process, meanwhile.
            async with asyncio.timeout(max(_LEAST_CAPTURE_S, self.settings.timeout_s / 3)):
                return await cdp.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})

        try:
            reply = await self._guard("take a screenshot", self._over_navigation(capture))
            screenshot = Screenshot.from_bytes(
                base64.b64decode(reply["data"], validate=True), origin=f"screenshot of {self.url}"
            )
        except (ImageDecodeError, KeyError, binascii.Error) as error:
            raise CaptureError(f"the browser sent no picture of {self.url}: {error}") from error
        expected = (self.settings.width_px, self.settings.height_px)
        if (screenshot.width_px, screenshot.height_px) != expected:
            raise CaptureError(
                f"a screenshot of {self.url} is {screenshot.width_px}x{screenshot.height_px} pixels "
                f"instead of {expected[0]}x{expected[1]}; reset the device"
            )
        return screenshot

    async def mouse(self, *events: dict[str, Any]) -> None:
        """Send mouse events in order, each as `Input.dispatchMouseEvent` of the DevTools protocol."""
        self._open_page()
        cdp = self._cdp
        assert cdp is not None
        # Sent together and handled in order: one round trip instead of one per event.
        sends = [cdp.send("Input.dispatchMouseEvent", event) for event in events]
        await self._guard("move the mouse", _all(sends))

    async def type_text(self, text: str) -> None:
        """Type characters where the focus is; a line feed presses Enter."""
        await self._guard("type text", self._open_page().keyboard.type(text))

    async def press(self, key: str) -> None:
        """Press a key, or a chord such as `Control+A`, by its name in the DOM."""
        await self._guard(f"press {key}", self._open_page().keyboard.press(key))

    async def back(self) -> bool:
        """Go back in the history; False if there is nothing to go back to."""
        page = self._open_page()
        assert self._cdp is not None
        history = await self._guard("ask the page", self._cdp.send("Page.getNavigationHistory"))
        # The entry at 0 is the empty page that every profile begins with.
        if history["currentIndex"] < 2:
            return False
        await self._guard("go back", page.go_back(wait_until="load", timeout=0))
        return True

    async def _evaluated_apart(self, expression: str, argument: Any) -> Any:
        self._open_page()
        cdp = self._cdp
        assert cdp is not None
        tree = await cdp.send("Page.getFrameTree")
        world = await cdp.send(
            "Page.createIsolatedWorld",
            {"frameId": tree["frameTree"]["frame"]["id"], "worldName": "gui-agent"},
        )
        answer = await cdp.send(
            "Runtime.evaluate",
            {
                "expression": f"({expression})({json.dumps(argument)})",
                "contextId": world["executionContextId"],
                "returnByValue": True,
            },
        )
        if "exceptionDetails" in answer:
            raise DeviceError(f"cannot ask the page at {self.url}: {answer['exceptionDetails'].get('text')}")
        return answer["result"].get("value")

    async def _settled(self, expression: str | None, argument: Any) -> Any:
        page = self._open_page()
        script = _SETTLED.replace("EXPRESSION", expression or "() => null")
        return await self._over_navigation(lambda: page.evaluate(script, argument))

    async def _over_navigation(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call again when the document is replaced by another one meanwhile."""
        page = self._open_page()
        while True:
            try:
                return await call()
            except TimeoutError:
                self._open_page()
            except PlaywrightError as error:
                if not any(sign in str(error) for sign in _NAVIGATING) or self.fault is not None:
                    raise
                await page.wait_for_load_state("load", timeout=0)

    def _open_page(self) -> Page:
        if (fault := self.fault) is not None:
            raise DeviceError(f"{fault} (last address {self.url or 'none'}); reset the device")
        assert self._page is not None
        return self._page

    async def _guard(self, deed: str, call: Awaitable[_T]) -> _T:
        return await self._bounded(deed, call, self._broken)

    async def _bounded(self, deed: str, call: Awaitable[_T], broken: asyncio.Future[str] | None) -> _T:
        """Await `call`, but no longer than the deadline and no longer than the page lives."""
        timeout_s = self.settings.timeout_s if broken is not None else self.settings.start_timeout_s
        task = asyncio.ensure_future(call)
        waited: set[asyncio.Future[Any]] = {task} if broken is None else {task, broken}
        try:
            done, _ = await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if task in done:
                return task.result()
        except PlaywrightError as error:
            if broken is not None and "has been closed" in str(error):
                _break(broken, "the page or its browser was closed")
            if broken is not None and broken.done():
                raise DeviceError(f"cannot {deed}: {broken.result()}; reset the device") from error
            raise DeviceError(f"cannot {deed} at {self.url or 'a new page'}: {error}") from error
        finally:
            if not task.done():
                task.cancel()
        if broken is not None and broken in done:
            raise DeviceError(f"cannot {deed}: {broken.result()}; reset the device")
        reason = f"no answer within {timeout_s:g} s to: {deed}"
        if broken is not None:
            _break(broken, reason)
        raise DeviceTimeoutError(f"{reason} (at {self.url or 'a new page'}); reset the device")


def _break(broken: asyncio.Future[str], reason: str) -> None:
    if not broken.done():
        broken.set_result(reason)


async def _all(calls: Sequence[Awaitable[Any]]) -> None:
    await asyncio.gather(*calls)
