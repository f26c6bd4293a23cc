"""Which tasks an AndroidWorld has, and the instances of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from devices.androidworld.installation import Installation
from devices.androidworld.process import START_TIMEOUT_S, WorkerProcess
from gui_agent.errors import ConfigError, DependencyError

_DRAW_TIMEOUT_S: Final = 60.0
_RECEIVE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app that a task is about.

    Attributes:
        name: what AndroidWorld calls it.
        package: what must be installed; "" where AndroidWorld knows no package.
        apks: files that AndroidWorld's set-up installs it from; none for apps that come with Android.
    """

    name: str
    package: str
    apks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What is known of an instance before a phone is set up for it.

    Attributes:
        goal: the instruction; "" where it is known only once the task is set up.
        max_steps: ten for each unit of its complexity, as AndroidWorld's runner allows.
        apps: what must be installed.
        home: it begins at the home screen.
    """

    goal: str
    max_steps: int
    apps: tuple[App, ...]
    home: bool

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Self:
        """From what the worker says."""
        apps = tuple(
            App(name=app["name"], package=app["package"], apks=tuple(app["apks"])) for app in message["apps"]
        )
        return cls(goal=message["goal"], max_steps=message["steps"], apps=apps, home=message["home"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A task of the list.

    Attributes:
        name: of its class: "SystemWifiTurnOn".
        families: AndroidWorld's lists that it is on.
        first: its first training instance; others may have other goals and need other apps.
    """

    name: str
    families: tuple[str, ...]
    first: Description


class Catalogue:
    """Asks a process of its own, which is started at the first question.

    Args:
        installation: which AndroidWorld.
    """

    def __init__(self, installation: Installation) -> None:
        """Nothing is started yet."""
        self.installation = installation
        self._process: WorkerProcess | None = None
        self._entries: dict[str, Entry] | None = None
        self._lock = threading.Lock()

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All tasks by name, in AndroidWorld's order.

        Raises:
            DependencyError: AndroidWorld cannot be imported.
        """
        if self._entries is None:
            self._entries = {
                task["name"]: Entry(
                    name=task["name"], families=tuple(task["families"]), first=Description.read(task)
                )
                for task in self._ask({"do": "tasks"})
            }
        return self._entries

    def describe(self, template: str, seed: int) -> Description:
        """An instance.

        Raises:
            ConfigError: AndroidWorld cannot draw it.
        """
        return Description.read(self._ask({"do": "draw", "template": template, "seed": seed}))

    def close(self) -> None:
        """End the process; a further question starts another one."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        with self._lock:
            process = self._process
            if process is None or not process.alive:
                process = self._process = WorkerProcess(self.installation)
                process.check_hello(_next_message(process, START_TIMEOUT_S))
            process.socket.sendall(process.packed(request))
            answer = _next_message(process, _DRAW_TIMEOUT_S)
        if "failed" in answer:
            failed = answer["failed"]
            raise ConfigError(
                f"AndroidWorld cannot draw {request.get('template', 'its tasks')} with seed "
                f"{request.get('seed')}: {failed['error']} ({failed['at']})"
            )
        return answer["done"]


def _next_message(process: WorkerProcess, timeout_s: float) -> dict[str, Any]:
    end_s = time.monotonic() + timeout_s
    while (message := process.next_message()) is None:
        process.socket.settimeout(max(0.001, end_s - time.monotonic()))
        try:
            process.feed(process.socket.recv(_RECEIVE_BYTES))
        except (TimeoutError, EOFError, ConnectionError) as error:
            why = f"did not answer within {timeout_s:g} s" if isinstance(error, TimeoutError) else "ended"
            words = process.last_words()
            process.close()
            raise DependencyError(
                f"the Python of {process.installation.shown} {why}; its last words: {words}"
            ) from error
    return message
