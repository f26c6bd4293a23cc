"""How old a screen is when the demo's page has drawn it, beside a page that asks for screenshots.

    python -m benchmarks.demo [--changes 40] [--poll-ms 500] [--json]

A virtual phone of 412x915 pixels, a real browser without a window, and both pages over the loopback address.
The clock starts when the phone's state has changed, and stops in the page, one task behind the frame that was
painted with the new screen; phone and browser share the computer's clock. Changes come 0.3 to 0.9 seconds
apart, so that a page that polls is hit at any moment of its interval. Three ways, in turns:

    live      the demo's page; a person or an agent acted
    by itself the demo's page; the phone changed unasked, and is looked at every 100 ms while nothing is done
    polling   the baseline: a page that fetches a screenshot every --poll-ms and draws it
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn
from playwright.async_api import Page, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from devices.browser.chromium import find_chromium
from devices.goals import goal_on
from devices.phone.device import PhoneDevice
from devices.phone.display import PHONE_DISPLAY
from gui_agent.actions import Action, Button, OpenApp, ParseError, SystemButton
from gui_agent.agent import DemonstratorAgent
from gui_agent.demo.clients import Clients
from gui_agent.demo.commands import Act
from gui_agent.demo.server import create_demo
from gui_agent.demo.session import DemoSession
from gui_agent.demo.world import Errand, SessionSettings, World
from gui_agent.device import ActionResult, Device
from gui_agent.web.access import Access, Guard
from gui_agent.web.serving import address_of
from trajectories.store import TrajectoryStore

_ROUNDS: Final = 4
_LONGEST_WAIT_MS: Final = 60_000
_COLLECT: Final = """
window.drawn = [];
document.addEventListener("framedrawn", (event) => window.drawn.push(event.detail));
"""
_NEWER: Final = """async (after_s) => {
  for (;;) {
    const found = window.drawn.find((frame) => frame.captured_s >= after_s);
    if (found) return found.drawn_s;
    await new Promise((done) => setTimeout(done, 20));
  }
}"""
_POLLING: Final = """<!doctype html><title>polling</title><canvas id="screen"></canvas><script>
const canvas = document.getElementById("screen");
async function look() {
  const answer = await fetch("/polling/screen");
  const bitmap = await createImageBitmap(await answer.blob());
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  requestAnimationFrame(() => setTimeout(() => window.drawn.push({
    captured_s: Number(answer.headers.get("x-captured-s")),
    drawn_s: (performance.timeOrigin + performance.now()) / 1000,
  })));
}
look();
setInterval(look, POLL_MS);
</script>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from a new screen of the device to the page having drawn it."""

    changes: int
    median_ms: float
    p90_ms: float
    worst_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Summarise some measurements, at least two."""
        times = sorted(1000 * value for value in seconds)
        p90 = statistics.quantiles(times, n=10, method="inclusive")[-1]
        rounded = (round(value, 1) for value in (statistics.median(times), p90, times[-1]))
        median_ms, p90_ms, worst_ms = rounded
        return cls(changes=len(times), median_ms=median_ms, p90_ms=p90_ms, worst_ms=worst_ms)


class TimedPhone(PhoneDevice):
    """A virtual phone that knows when its screen became another one: seconds since 1970."""

    changed_s = 0.0

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform the action, and look at the clock."""
        result = await super().execute(action)
        self.changed_s = time.time()
        return result


Change = Callable[[int], Awaitable[None]]


async def measure(changes: int, poll_ms: int, *, rounds: int = _ROUNDS) -> dict[str, Latency]:
    """All three ways, `changes` of each, in turns of some each."""
    phone = TimedPhone(PHONE_DISPLAY)
    found: dict[str, list[float]] = {"live": [], "by itself": [], "polling": []}
    with tempfile.TemporaryDirectory() as folder:
        async with _served(phone, Path(folder), poll_ms) as served, _browser() as new_page:
            session, address, base = served

            async def act(number: int) -> None:
                await session.handle(Act(action=_action(number)))

            async def change(number: int) -> None:
                await phone.execute(_action(number))

            async def page_of(way: str) -> Page:
                page = await new_page()
                await page.goto(address)
                if way == "polling":
                    await page.goto(f"{base}/polling")
                return page

            for _ in range(rounds):
                for way, make in (("live", act), ("by itself", change), ("polling", change)):
                    page = await page_of(way)
                    found[way] += await _changes(page, phone, make, -(-changes // rounds))
                    await page.close()
    return {way: Latency.of(seconds) for way, seconds in found.items()}


async def _changes(page: Page, phone: TimedPhone, make: Change, number: int) -> list[float]:
    await page.wait_for_function("() => window.drawn.length > 0", timeout=_LONGEST_WAIT_MS)
    draw = random.Random(0)
    ages = []
    for turn in range(number):
        await asyncio.sleep(draw.uniform(0.3, 0.9))  # the interval between changes, not a wait for one
        await make(turn)
        changed_s = phone.changed_s
        drawn_s = float(await page.evaluate(_NEWER, changed_s))
        ages.append(drawn_s - changed_s)
    return ages


def _action(number: int) -> Action:
    return SystemButton(button=Button.HOME) if number % 2 else OpenApp(name="settings")


@asynccontextmanager
async def _browser() -> AsyncIterator[Callable[[], Awaitable[Page]]]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(find_chromium()), args=["--no-sandbox"])
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        await context.add_init_script(_COLLECT)
        yield context.new_page
        await browser.close()


@asynccontextmanager
async def _served(
    phone: TimedPhone, folder: Path, poll_ms: int
) -> AsyncIterator[tuple[DemoSession, str, str]]:
    suite = goal_on("phone:phone", "look around").suite
    task = suite.task("goal", 0)

    @asynccontextmanager
    async def lend() -> AsyncIterator[Device]:
        yield phone

    world = World(
        device="phone:phone",
        agent="nobody",
        open_device=lend,
        home=task,
        errand=lambda goal, task_name: Errand(task=task, suite=suite.suite),
        agent_for=lambda device: DemonstratorAgent(phone),
    )
    store = TrajectoryStore.create(folder / "store")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        access = Access(port=listener.getsockname()[1])
        async with DemoSession(world, store, SessionSettings(poll_interval_s=0.1)) as session:
            clients = Clients(session)
            guarded = Guard(create_demo(clients), access=access)
            app = Starlette(routes=[*_polling(phone, poll_ms), Mount("/", guarded)])
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
            serving = asyncio.ensure_future(server.serve(sockets=[listener]))
            yield session, address_of(listener, access), f"http://127.0.0.1:{access.port}"
            server.should_exit = True
            await serving
            await clients.close()


def _polling(phone: PhoneDevice, poll_ms: int) -> list[Route]:
    """The baseline: a page without a guard, and the screenshots that it asks for."""

    async def page(request: Request) -> Response:
        return HTMLResponse(_POLLING.replace("POLL_MS", str(poll_ms)))

    async def screen(request: Request) -> Response:
        captured_s = time.time()
        shown = (await phone.observe()).screenshot
        headers = {"x-captured-s": str(captured_s), "cache-control": "no-store"}
        return Response(shown.data, media_type=shown.media_type, headers=headers)

    return [Route("/polling", page), Route("/polling/screen", screen)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--poll-ms", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(measure(max(2, given.changes), given.poll_ms))
    if given.json:
        said: dict[str, Any] = {way: asdict(latency) for way, latency in found.items()}
        print(json.dumps({"screen": "412x915", "poll_ms": given.poll_ms, **said}))
        return
    for way, latency in found.items():
        print(f"{way:10} {latency.changes:4} changes, ms: median {latency.median_ms:7.1f}, ", end="")
        print(f"p90 {latency.p90_ms:7.1f}, worst {latency.worst_ms:7.1f}")


if __name__ == "__main__":
    main()
