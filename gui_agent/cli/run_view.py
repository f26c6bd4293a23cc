"""What a person sees while one episode runs: a table that is redrawn, or plain lines in a log."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from gui_agent.actions import ParseError
from trajectories.records import Step
from trajectories.viewer.shown import action_label

_SHOWN_STEPS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What is said once.

    Attributes:
        goal: what is to be done.
        device: where.
        agent: who does it.
        max_steps: at most so many steps.
    """

    goal: str
    device: str
    agent: str
    max_steps: int


class RunView(Protocol):
    """Shows an episode while it runs; a context manager."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and leave what was shown."""
        ...

    def begin(self, heading: Heading) -> None:
        """Say what is to be done."""
        ...

    def add(self, step: Step) -> None:
        """Show a step that was taken."""
        ...

    def note(self, text: str) -> None:
        """Say something on the way."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Leave the terminal to somebody else for a while."""
        ...


def view_for(*, quiet: bool) -> RunView:
    """A table where standard output is a terminal, lines where it is a file or a pipe, nothing if quiet."""
    if quiet:
        return _Lines(silent=True)
    return _Table() if sys.stdout.isatty() else _Lines()


def printable(text: str) -> str:
    """A text on one line, without what a terminal would obey: screens and models may write anything."""
    shown = ("�" if unicodedata.category(letter).startswith("C") else letter for letter in _one_line(text))
    return "".join(shown)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def deed(step: Step) -> str:
    """What was done, or asked for in vain."""
    asked = step.executed or step.requested
    if asked is None:
        return "nothing"
    if isinstance(asked, ParseError):
        return f"no action: {printable(asked.reason)}"
    return printable(action_label(asked))


def time_split(step: Step) -> str:
    """Where the time of a step went."""
    timings = step.timings
    parts = (("look", timings.observe_s), ("decide", timings.decide_s), ("act", timings.execute_s))
    return " · ".join(f"{name} {_duration(seconds)}" for name, seconds in parts)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _error(step: Step) -> str | None:
    """Why the request was in vain, where that has not been said."""
    return None if isinstance(step.requested, ParseError) else step.error


class _Lines:
    """One paragraph per step, for logs and pipes."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to put away."""

    def begin(self, heading: Heading) -> None:
        self.note(f"goal: {printable(heading.goal)}")
        self.note(f"{heading.agent} on {heading.device}, at most {heading.max_steps} steps")

    def add(self, step: Step) -> None:
        self.note(f"step {step.index + 1}: {deed(step)}  [{time_split(step)}]")
        for name, text in (("subgoal", step.subgoal), ("thought", step.thought), ("error", _error(step))):
            if text:
                self.note(f"  {name}: {printable(text)}")

    def note(self, text: str) -> None:
        if not self._silent:
            print(text, flush=True)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


class _Table:
    """The last steps, redrawn in place."""

    def __init__(self) -> None:
        self._console = Console(markup=False, highlight=False)
        self._heading: Heading | None = None
        self._steps: deque[Step] = deque(maxlen=_SHOWN_STEPS)
        self._notes: list[str] = []
        self._since_s = time.monotonic()
        self._ended = False
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._frame, console=self._console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        self._live.stop()

    def begin(self, heading: Heading) -> None:
        self._heading, self._since_s = heading, time.monotonic()

    def add(self, step: Step) -> None:
        self._steps.append(step)
        self._since_s = time.monotonic()

    def note(self, text: str) -> None:
        self._notes.append(text)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def _frame(self) -> RenderableType:
        heading = self._heading
        if heading is None:
            self._spinner.update(text="loading")
            return self._spinner
        taken = self._steps[-1].index + 1 if self._steps else 0
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(justify="right", no_wrap=True, style="dim")
        table.add_column(ratio=1, overflow="fold")
        table.add_column(no_wrap=True, justify="right", style="dim")
        for step in self._steps:
            table.add_row(str(step.index + 1), _words(step), time_split(step))
        parts: list[RenderableType] = [table]
        if not self._ended:
            waited_s = time.monotonic() - self._since_s
            self._spinner.update(text=f"step {taken + 1} of {heading.max_steps} · {waited_s:.1f} s")
            parts.append(self._spinner)
        parts.append(ProgressBar(total=heading.max_steps, completed=taken))
        parts += [Text(note, style="yellow") for note in self._notes]
        title = Text(printable(heading.goal), style="bold")
        return Panel(
            Group(*parts), title=title, subtitle=Text(f"{heading.agent} on {heading.device}"), padding=(0, 1)
        )


def _words(step: Step) -> Text:
    text = Text()
    if step.subgoal:
        text.append(f"{printable(step.subgoal)}\n", style="italic")
    if step.thought:
        text.append(f"{printable(step.thought)}\n", style="dim")
    text.append(deed(step), style="bold" if step.executed else "bold red")
    if error := _error(step):
        text.append(f"\n{printable(error)}", style="red")
    return text
