"""Makes the pictures of the demo and the viewer that the documentation shows.

    python docs/images/make.py [NAME …] [--output docs/images]

Names are those of the files: demo, demo-dark, demo-phone, viewer. A demo is begun on a virtual phone, whose
expert works on a task; a person approves its steps and corrects one. The viewer then shows that episode.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import uvicorn
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright
from starlette.types import ASGIApp

from devices.browser.chromium import find_chromium
from gui_agent.agent import Decision, DemonstratorAgent
from gui_agent.cli.demo import Demo
from gui_agent.cli.view import run_source
from gui_agent.demo.clients import Clients
from gui_agent.demo.server import create_demo
from gui_agent.device import Demonstrator, Device
from gui_agent.instructions import instruction_for
from gui_agent.observation import Observation
from gui_agent.viewer.app import create_viewer
from gui_agent.web.access import Access, Guard
from gui_agent.web.serving import address_of

_TASK: Final = "phone/phone:fill_cart:7"
_APPROVED: Final = 4
_PATIENCE_MS: Final = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """How a page is looked at."""

    width_px: int
    height_px: int
    scheme: str
    scale: float = 1.0


SHOTS: Final = {
    "demo": Shot(width_px=1280, height_px=940, scheme="light"),
    "demo-dark": Shot(width_px=1280, height_px=940, scheme="dark"),
    "demo-phone": Shot(width_px=390, height_px=844, scheme="dark", scale=1.5),
    "viewer": Shot(width_px=1280, height_px=1040, scheme="light"),
}


class Narrated(DemonstratorAgent):
    """An expert that also says what it does, as a planner would."""

    async def decide(self, observation: Observation) -> Decision:
        """The expert's action, with an instruction for it."""
        decision = await super().decide(observation)
        assert decision.expert is not None
        return replace(decision, subgoal=instruction_for(decision.expert.action, decision.expert.thought))


def _narrated(device: Device) -> Narrated:
    assert isinstance(device, Demonstrator), "only a device that knows its task has an expert"
    return Narrated(device)


async def make(names: Sequence[str], output: Path) -> list[Path]:
    """Make these pictures in a folder, which is given absolutely; returns their files."""
    made = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        store = Path("runs/demo")  # the viewer shows this name
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(
                executable_path=str(find_chromium()), args=["--no-sandbox"]
            )
            demo = [name for name in names if name != "viewer"]
            made += await _of_demo(browser, store, demo or ["demo"], output, keep=bool(demo))
            if "viewer" in names:
                made += await _of_viewer(browser, store, output)
            await browser.close()
    return made


async def _of_demo(
    browser: Browser, store: Path, names: Sequence[str], output: Path, *, keep: bool
) -> list[Path]:
    made = []
    async with Demo(task=_TASK, device="phone:phone", expert=True, store=store).opened() as session:
        session.world = replace(session.world, agent_for=_narrated)
        clients = Clients(session)
        async with _served(create_demo(clients)) as address:
            page = await _open(browser, address, SHOTS[names[0]])
            await _work(page)
            for name in names if keep else ():
                shown = page if name == names[0] else await _open(browser, address, SHOTS[name])
                if shown is not page:
                    await shown.click("#take-control")
                await shown.wait_for_selector("#approve:visible")
                made.append(await _save(shown, output / f"{name}.png"))
                last = shown
            await (last if keep else page).keyboard.press("Escape")
            await session.ended()
        await clients.close()
    return made


async def _work(page: Page) -> None:
    """Some steps as proposed, one elsewhere, and a proposal that waits."""
    await page.check("#approve-each")
    await page.click("#run")
    for number in range(_APPROVED):
        await page.wait_for_selector("#approve:visible")
        if number == 1:
            await _correct(page)
        else:
            await page.click("#approve")
        await page.locator("#steps li").nth(number).wait_for()
    await page.wait_for_selector("#approve:visible")


async def _correct(page: Page) -> None:
    box = await page.locator("#screen").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.15)
    await page.click("#edit-send")


async def _of_viewer(browser: Browser, store: Path, output: Path) -> list[Path]:
    async with _served(create_viewer([run_source(store)])) as address:
        page = await _open(browser, address, SHOTS["viewer"], ready=".episodes")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".stephead")
        await page.keyboard.press("ArrowRight")
        return [await _save(page, output / "viewer.png")]


async def _open(browser: Browser, address: str, shot: Shot, *, ready: str = "#demo[data-link=open]") -> Page:
    context = await browser.new_context(
        viewport={"width": shot.width_px, "height": shot.height_px},
        color_scheme="dark" if shot.scheme == "dark" else "light",
        device_scale_factor=shot.scale,
        reduced_motion="reduce",
        has_touch=shot.width_px < 600,
        is_mobile=shot.width_px < 600,
    )
    page = await context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    await page.goto(address)
    await page.wait_for_selector(ready)
    return page


async def _save(page: Page, file: Path) -> Path:
    """A picture with a palette: pages have few colours, and a third of the bytes is enough."""
    await page.wait_for_load_state("networkidle")
    await page.evaluate("Promise.all([...document.images].map((image) => image.decode().catch(() => 0)))")
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await page.screenshot(path=file)
    with Image.open(file) as image:
        image.convert("RGB").quantize(255, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
            file, optimize=True
        )
    return file


@asynccontextmanager
async def _served(app: ASGIApp) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        access = Access(port=listener.getsockname()[1])
        config = uvicorn.Config(Guard(app, access=access), log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        yield address_of(listener, access)
        server.should_exit = True
        await serving


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SHOTS)}; all by default")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent)
    given = parser.parse_args()
    if unknown := set(given.names) - set(SHOTS):
        parser.error(f"there is no picture {min(unknown)!r}; there are {', '.join(SHOTS)}")
    for file in asyncio.run(make(given.names or list(SHOTS), given.output.resolve())):
        print(f"{file}: {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
