"""One Chromium process: started when first needed, started again after it died, closed cleanly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, BrowserContext, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from devices.browser.chromium import find_chromium, launch_arguments
from gui_agent.errors import ConfigError, DeviceError, DeviceTimeoutError

_CLOSE_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSettings:
    """How pages are shown and driven.

    Attributes:
        width_px: width of the page, which is the width of its screenshots; device pixels equal CSS
            pixels.
        height_px: height of the page.
        timeout_s: deadline of every call to a page.
        start_timeout_s: deadline for starting the browser.
        executable: the browser's program; None searches for one.
        allow_network: let pages reach other computers; without it only `localhost` and files answer.
        scroll_fraction: how much of the screen's side one Scroll moves, in (0, 1].
        observe_elements: put the page's widgets into every observation (one more call per look).
    """

    width_px: int = 160
    height_px: int = 210
    timeout_s: float = 10.0
    start_timeout_s: float = 60.0
    executable: Path | None = None
    allow_network: bool = False
    scroll_fraction: float = 0.4
    observe_elements: bool = False

    def __post_init__(self) -> None:
        if self.width_px < 16 or self.height_px < 16:
            raise ConfigError(
                f"a page of {self.width_px}x{self.height_px} pixels is too small; 16x16 is least"
            )
        if self.timeout_s <= 0 or self.start_timeout_s <= 0:
            raise ConfigError("timeout_s and start_timeout_s must be positive")
        if not 0 < self.scroll_fraction <= 1:
            raise ConfigError(f"scroll_fraction must lie in (0, 1], not {self.scroll_fraction}")


class BrowserProcess:
    """A Chromium shared by several pages, each in a context (profile) of its own."""

    def __init__(self, settings: BrowserSettings) -> None:
        """Nothing starts before `new_context`."""
        self.settings = settings
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = asyncio.Lock()
        self.num_starts = 0

    async def new_context(self) -> BrowserContext:
        """An empty profile: no cookies, no storage, no cache shared with any other.

        Raises:
            DeviceError: the browser cannot be started.
            DependencyError: there is no browser on this computer.
        """
        browser = await self._running()
        try:
            return await self._new_context(browser)
        except PlaywrightError:  # It died between two calls, or its driver did: one fresh start.
            await self.abandon(browser)
        try:
            return await self._new_context(await self._running())
        except PlaywrightError as error:
            raise DeviceError(f"the browser opens no page even after a fresh start: {error}") from error

    async def _new_context(self, browser: Browser) -> BrowserContext:
        settings = self.settings
        return await browser.new_context(
            viewport={"width": settings.width_px, "height": settings.height_px},
            device_scale_factor=1,
            # The same page everywhere: texts, dates and animations do not depend on the computer.
            locale="en-US",
            timezone_id="UTC",
            color_scheme="light",
            reduced_motion="reduce",
            accept_downloads=False,
        )

    async def close(self) -> None:
        """End the browser and its driver; calling it twice is fine."""
        async with self._starting:
            browser, self._browser = self._browser, None
            driver, self._playwright = self._playwright, None
            self._loop = None
            if browser is not None:
                await _within_deadline(browser.close())
            if driver is not None:
                # Ends a browser that did not close by itself, too.
                await _within_deadline(driver.stop())

    async def abandon(self, browser: Browser | None) -> None:
        """End a browser that does not answer, unless another one has taken its place."""
        if browser is not None and browser is self._browser:
            await self.close()

    async def _running(self) -> Browser:
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise ConfigError(
                "this browser was started on another event loop; close it there, or make one per loop"
            )
        async with self._starting:
            if self._browser is not None and self._browser.is_connected():
                return self._browser
            self._loop = loop
            self._browser = await self._start()
            self.num_starts += 1
            return self._browser

    async def _start(self) -> Browser:
        executable = self.settings.executable or find_chromium()
        if self._playwright is None:
            self._playwright = await async_playwright().start()
        try:
            return await self._playwright.chromium.launch(
                executable_path=executable,
                args=launch_arguments(allow_network=self.settings.allow_network),
                headless=True,
                timeout=self.settings.start_timeout_s * 1000,
            )
        except PlaywrightError as error:
            kind = DeviceTimeoutError if "Timeout" in str(error) else DeviceError
            raise kind(f"{executable} does not start: {error}") from error


async def _within_deadline(farewell: Awaitable[None]) -> None:
    """Say good-bye to something that may be dead already."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await farewell
    except (TimeoutError, PlaywrightError):
        return
