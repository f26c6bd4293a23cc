"""What tests of the demo share: a browser, a demo that is served, and a model that says what a test wants."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from gui_agent.cli.agents import AgentOptions
from gui_agent.cli.demo import Demo
from gui_agent.demo.clients import Clients
from gui_agent.demo.server import create_demo
from gui_agent.demo.session import DemoSession
from gui_agent.web.access import Access, Guard
from gui_agent.web.serving import address_of


class ScriptedModel:
    """Answers chat completions with what lies in `answers`, in order, and with `otherwise` after that.

    Attributes:
        answers: responses to come; a test may add to them at any time.
        otherwise: the response when none is left.
        prompts: the words of every prompt, pictures left out.
        held: while cleared, no answer is given.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: deque[str] = deque()
        self.otherwise = self.call(action="terminate", status="success")
        self.prompts: list[str] = []
        self.held = threading.Event()
        self.held.set()

    @staticmethod
    def call(thought: str = "", **arguments: Any) -> str:
        """A response in the form of mobile_use; points are thousandths of the screen."""
        words = json.dumps({"name": "mobile_use", "arguments": arguments})
        think = f"<thinking>\n{thought}\n</thinking>\n" if thought else ""
        return f"{think}<tool_call>\n{words}\n</tool_call>"

    @classmethod
    def tap(cls, x: int, y: int, thought: str = "") -> str:
        """A tap, in thousandths of the screen."""
        return cls.call(thought, action="click", coordinate=[x, y])

    def answer(self, request: dict[str, Any]) -> str:
        parts = [message["content"] for message in request["messages"]]
        said = [part["text"] for content in parts for part in content if part["type"] == "text"]
        self.prompts.append("\n".join(said))
        self.held.wait(60)
        return self.answers.popleft() if self.answers else self.otherwise


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ScriptedModel

    def do_GET(self) -> None:
        self._send({"data": [{"id": "scripted"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        words = self.model.answer(request)
        message = {"role": "assistant", "content": words}
        self._send({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def _send(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def scripted_model() -> Iterator[ScriptedModel]:
    """A model server that runs for the tests of a file."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    model = ScriptedModel(f"http://127.0.0.1:{server.server_port}/v1")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"model": model})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield model
    model.held.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A real browser, driven by Playwright's synchronous interface."""
    playwright = pytest.importorskip("playwright.sync_api")
    from devices.browser.chromium import find_chromium

    playwright.expect.set_options(timeout=60_000)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(find_chromium()), args=["--no-sandbox"])
        yield opened
        opened.close()


class ServedDemo:
    """A demo that is served by a thread of its own.

    Attributes:
        address: opens the page, token included.
        base: the same without path and token.
        session: what is served; only its thread may touch it.
    """

    address: str
    base: str
    session: DemoSession

    def __init__(self, demo: Demo) -> None:
        """Serve it; returns when it can be opened."""
        self._demo = demo
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(120)
        if self._error is not None:
            self._thread.join()
            raise self._error

    def close(self) -> None:
        """End it as Ctrl-C does; calling it twice is fine."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(60)
        assert not self._thread.is_alive()

    def interrupt(self) -> None:
        """Stop the episode that runs, if one does, and wait until it has ended."""
        self._loop.call_soon_threadsafe(self.session.interrupt)
        asyncio.run_coroutine_threadsafe(self.session.ended(), self._loop).result(60)

    def hang_up(self) -> None:
        """Cut every connection, as a network that breaks."""
        self._loop.call_soon_threadsafe(self._abort)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            access = Access(port=listener.getsockname()[1])
            self.address = address_of(listener, access)
            self.base = f"http://127.0.0.1:{access.port}"
            async with self._demo.opened() as self.session:
                clients = Clients(self.session)
                app = Guard(create_demo(clients), access=access)
                config = uvicorn.Config(app, log_level="error", lifespan="off")
                self._server = uvicorn.Server(config)
                self._loop.call_soon(self._ready.set)
                await self._server.serve(sockets=[listener])
                await clients.close()

    def _end(self) -> None:
        self.session.interrupt()
        self._server.should_exit = True

    def _abort(self) -> None:
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()


ServeDemo = Callable[..., ServedDemo]


@pytest.fixture(scope="module")
def serve_demo(
    scripted_model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeDemo]:
    """Serves a demo of the scripted model; settings as of `gui-agent demo`."""
    served: list[ServedDemo] = []

    def serve(**settings: Any) -> ServedDemo:
        agent = AgentOptions(
            model="scripted", endpoint=scripted_model.url, format="mobile_use:space=thousand"
        )
        store: Path = tmp_path_factory.mktemp("demo") / "store"
        settings = {"agent": agent, "store": store, "preview_s": 0.1, "poll_interval_s": 0.1, **settings}
        served.append(ServedDemo(Demo(**settings)))
        return served[-1]

    yield serve
    for demo in served:
        demo.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages, each in a browser context of its own; at the end none may have complained."""
    problems: list[str] = []
    contexts: list[Any] = []

    def open_(
        address: str,
        *,
        width: int = 1280,
        height: int = 800,
        ready: str = "#demo[data-link=open]",
        **options: Any,
    ) -> Any:
        settings = {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce", **options}
        context = chromium.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.goto(address)
        page.wait_for_selector(ready)
        return page

    yield open_
    for context in contexts:
        for page in context.pages:
            assert page.title() != "owned"
        context.close()
    assert [problem for problem in problems if "ERR_CONNECTION" not in problem] == []
