"""Asking the person at the terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from gui_agent.actions import action_to_dict
from gui_agent.cli.run_view import printable
from gui_agent.safety.verdict import Consent, Question

if sys.platform == "win32":
    import msvcrt
else:
    import termios

_ANSWERS: Final = {
    "y": Consent.YES,
    "yes": Consent.YES,
    "n": Consent.NO,
    "no": Consent.NO,
    "s": Consent.STOP,
    "stop": Consent.STOP,
}
_LONGEST_LINE: Final = 4096


def has_terminal() -> bool:
    """Whether somebody can read a question and answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class TerminalConfirm:
    """Asks on standard error and reads the answer from standard input (implements `Confirm`).

    Args:
        paused: holds whatever else is drawing on the terminal.
    """

    def __init__(self, paused: Callable[[], AbstractContextManager[object]]) -> None:
        """Nothing is asked yet."""
        self._paused = paused
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Take the question that is being asked, and every later one, for answered with stop."""
        self._stopped.set()

    async def __call__(self, question: Question) -> Consent:
        """The person's answer; the end of the input is a stop."""
        with self._paused():
            _say(question_text(question))
            _forget_what_was_typed()
            while not self._stopped.is_set():
                _say("  [y]es, [n]o, [s]top? ", end="")
                line = await self._line()
                if line is None:
                    break
                if (answer := _ANSWERS.get(line.strip().lower())) is not None:
                    return answer
        return Consent.STOP

    async def _line(self) -> str | None:
        """The next line, None at the end of the input or when somebody stops; a thread could not be left."""
        if sys.platform == "win32":  # whose event loop cannot wait for a console; stopping takes Enter there
            return await asyncio.to_thread(sys.stdin.readline) or None
        loop = asyncio.get_running_loop()
        ready, stopped = asyncio.Event(), asyncio.ensure_future(self._stopped.wait())
        waiting = asyncio.ensure_future(ready.wait())
        descriptor = sys.stdin.fileno()
        loop.add_reader(descriptor, ready.set)
        try:
            await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(descriptor)
            waiting.cancel()
            stopped.cancel()
        if not ready.is_set():
            return None
        # A terminal hands over one line at a time, in whatever letters.
        return os.read(descriptor, _LONGEST_LINE).decode(errors="replace") or None


def question_text(question: Question) -> str:
    """What is asked, as lines that a terminal may show."""
    verdict = question.verdict
    does = "did" if question.done else "wants to do"
    deed = printable(" ".join(map(str, action_to_dict(question.action).values())))[:300]
    asks = "It led outside. Go on from there?" if question.done else "Do it?"
    hit = f"\n  on:  {printable(verdict.hit)}" if verdict.hit else ""
    return (
        f"The agent {does}: {deed}{hit}\n  why: {printable(verdict.rule)}: {printable(verdict.why)}\n{asks}"
    )


def _forget_what_was_typed() -> None:
    """What was typed before the question could be read is no answer to it."""
    if sys.platform == "win32":
        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _say(text: str, *, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)
