"""How fast MiniWoB++ pages are played, beside two plainer ways to do the same.

    python benchmarks/browser.py [--episodes 120] [--pages 1 2 4]

One episode is: reset to a seed, look, one click, look, ask for the reward, on `click-test-2` at 160x210
pixels; `enter-text` adds one more click and a typed word. The arms:

    device, N pages     `BrowserFactory`: N pages of one browser, restarted in the same document
    reload + screenshot a page of Playwright that is loaded anew and captured with `page.screenshot`
    gymnasium           the environments of the package `miniwob` (selenium), if chromedriver is there

Processor time is that of Python, the driver and all browser processes; it is the figure to compare,
wall time depends on what else the computer does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psutil
from playwright.async_api import async_playwright

from devices.browser import BrowserFactory, find_chromium
from devices.browser.chromium import launch_arguments
from devices.browser.miniwob import MiniwobTask, miniwob_suite
from gui_agent.actions import Click, TypeText

PAGES = ("click-test-2", "enter-text")
START = "seed => { Math.seedrandom(seed); core.EPISODE_MAX_TIME = 1e7; core.startEpisodeReal(); }"
WARM_UP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    episodes_per_s: float
    cpu_ms_per_episode: float
    memory_mb: float


def cpu_s(seen: dict[int, float]) -> float:
    """Processor time of this process and all below it, those that ended in between included."""
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        seen[process.pid] = times.user + times.system
    return sum(seen.values())


def memory_mb() -> float:
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


async def measure(episode: Callable[[int], Awaitable[None]], *, episodes: int, workers: int) -> Figures:
    """Play `episodes` episodes, `workers` at a time."""
    turns = iter(range(WARM_UP * workers))

    async def work() -> None:
        for index in turns:
            await episode(index)

    await asyncio.gather(*(work() for _ in range(workers)))
    seen: dict[int, float] = {}
    turns = iter(range(100, 100 + episodes))
    wall, cpu = time.perf_counter(), cpu_s(seen)
    await asyncio.gather(*(work() for _ in range(workers)))
    wall, cpu = time.perf_counter() - wall, cpu_s(seen) - cpu
    return Figures(
        episodes_per_s=episodes / wall, cpu_ms_per_episode=1000 * cpu / episodes, memory_mb=memory_mb()
    )


async def device_arm(page: str, episodes: int, num_pages: int) -> Figures:
    suite = miniwob_suite(f"miniwob/{page}")
    async with BrowserFactory(num_pages) as factory:

        async def episode(index: int) -> None:
            async with factory.lease() as device:
                await device.reset(suite.task(page, index))
                await device.observe()
                if page == "enter-text":
                    await device.execute(Click(x=60, y=70))
                    await device.execute(TypeText(text="Kenda"))
                await device.execute(Click(x=20 + index % 120, y=60 + index % 140))
                await device.observe()
                await device.check()

        return await measure(episode, episodes=episodes, workers=num_pages)


async def reload_arm(page: str, episodes: int) -> Figures:
    task: MiniwobTask = miniwob_suite(f"miniwob/{page}").task(page, 0)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=launch_arguments(allow_network=False)
        )
        tab = await browser.new_page(viewport={"width": 160, "height": 210})

        async def episode(index: int) -> None:
            await tab.goto(task.url)
            await tab.evaluate(START, str(index))
            await tab.screenshot()
            if page == "enter-text":
                await tab.mouse.click(60, 70)
                await tab.keyboard.type("Kenda")
            await tab.mouse.click(20 + index % 120, 60 + index % 140)
            await tab.screenshot()
            await tab.evaluate("() => [WOB_DONE_GLOBAL, WOB_RAW_REWARD_GLOBAL]")

        figures = await measure(episode, episodes=episodes, workers=1)
        await browser.close()
    return figures


async def gymnasium_arm(page: str, episodes: int, chromedriver: str) -> Figures:
    import gymnasium
    import miniwob
    import numpy
    from miniwob.action import ActionTypes

    os.environ["MINIWOB_CHROME_BINARY"] = str(find_chromium())
    os.environ["MINIWOB_CHROMEDRIVER"] = chromedriver
    gymnasium.register_envs(miniwob)
    env = gymnasium.make(f"miniwob/{page}-v1")
    world: Any = env.unwrapped

    async def episode(index: int) -> None:
        world.reset(seed=index)
        if page == "enter-text":
            click = world.create_action(ActionTypes.CLICK_COORDS, coords=numpy.array([60, 70]))
            world.step(click)
            world.step(world.create_action(ActionTypes.TYPE_TEXT, text="Kenda"))
        target = numpy.array([20 + index % 120, 60 + index % 140])
        world.step(world.create_action(ActionTypes.CLICK_COORDS, coords=target))

    try:
        return await measure(episode, episodes=episodes, workers=1)
    finally:
        env.close()


def show(page: str, arm: str, figures: Figures) -> None:
    print(
        f"{page:<14}{arm:<22}{figures.episodes_per_s:>12.1f}{figures.cpu_ms_per_episode:>16.1f}"
        f"{figures.memory_mb:>12.0f}",
        flush=True,
    )


async def run(episodes: int, pages: list[int]) -> None:
    print(f"{'page':<14}{'arm':<22}{'episodes/s':>12}{'CPU ms/episode':>16}{'memory MB':>12}")
    for page in PAGES:
        for num_pages in pages:
            arm = f"device, {num_pages} page{'s' if num_pages > 1 else ''}"
            show(page, arm, await device_arm(page, episodes, num_pages))
        show(page, "reload + screenshot", await reload_arm(page, episodes))
        if (chromedriver := shutil.which("chromedriver")) is not None:
            show(page, "gymnasium", await gymnasium_arm(page, episodes, chromedriver))
        else:
            print(f"{page:<14}{'gymnasium':<22}{'no chromedriver on the PATH':>40}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--episodes", type=int, default=120, help="episodes for each figure")
    parser.add_argument("--pages", type=int, nargs="+", default=[1, 2, 4], help="pages of the device arm")
    arguments = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}, {find_chromium().name}"
    )
    asyncio.run(run(arguments.episodes, arguments.pages))


if __name__ == "__main__":
    main()
