"""One browser, several isolated pages, lent one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from devices.browser.device import BrowserDevice
from devices.browser.page import BrowserPage
from devices.browser.process import BrowserProcess, BrowserSettings
from gui_agent.errors import ConfigError


class BrowserFactory:
    """Lends up to `num_devices` pages of one browser, each with a profile of its own.

    Pages stay warm between leases. A page that broke is replaced at the next `reset`; a browser that
    died is started again. About four pages saturate two cores. Close the factory, or use it as an
    async context manager, to end the browser.
    """

    def __init__(self, num_devices: int = 4, *, settings: BrowserSettings | None = None) -> None:
        """Nothing starts before the first lease is reset.

        Raises:
            ConfigError: `num_devices` is less than one.
        """
        if num_devices < 1:
            raise ConfigError(f"a browser needs at least one page, not {num_devices}")
        self._process = BrowserProcess(settings or BrowserSettings())
        self._pages = [BrowserPage(self._process) for _ in range(num_devices)]
        self._idle = list(self._pages)
        self._free = asyncio.Semaphore(num_devices)

    @property
    def capacity(self) -> int:
        """How many pages can be leased at once."""
        return len(self._pages)

    @property
    def num_browser_starts(self) -> int:
        """How often the browser was started: more than one means that it died in between."""
        return self._process.num_starts

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[BrowserDevice]:
        """A device until the context ends; waits while all are lent."""
        async with self._free:
            page = self._idle.pop()
            device = BrowserDevice(page)
            try:
                yield device
            finally:
                await device.close()
                self._idle.append(page)

    async def close(self) -> None:
        """Close all pages and end the browser; calling it twice is fine."""
        for page in self._pages:
            await page.close()
        await self._process.close()

    async def __aenter__(self) -> Self:
        """The factory itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the browser."""
        await self.close()
