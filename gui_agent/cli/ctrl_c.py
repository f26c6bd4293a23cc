"""Ctrl-C while one episode runs: the first ends it, and it is kept; a second one ends the program."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from gui_agent.cli.consent import TerminalConfirm
from gui_agent.cli.run_view import RunView
from gui_agent.cli.signals import calls_at_ctrl_c
from gui_agent.device import StopReason
from gui_agent.interruption import INTERRUPTED, InterruptibleAgent
from gui_agent.safety.device import HALTED
from trajectories.records import EpisodeRecord


class CtrlC:
    """While it lasts, the first Ctrl-C (or SIGTERM) interrupts the agent, a second one this program."""

    def __init__(self, agent: InterruptibleAgent, asking: TerminalConfirm, view: RunView) -> None:
        """Nothing is caught yet."""
        self._agent = agent
        self._asking = asking
        self._view = view
        self._caught = ExitStack()

    def __enter__(self) -> None:
        """Catch the signals."""
        self._caught.enter_context(calls_at_ctrl_c(self._stop))

    def __exit__(self, *error: object) -> None:
        """Leave the signals as they were."""
        self._caught.close()

    def _stop(self) -> None:
        self._agent.interrupt()
        self._asking.stop()
        self._view.note("stopping; Ctrl-C again to end at once")
        self._caught.close()


def as_interrupted(record: EpisodeRecord) -> EpisodeRecord:
    """What Ctrl-C leaves of an episode.

    A step that was cut short is left out: it is no deed of the agent, and nothing was executed. Ctrl-C in
    place of an answer holds an action back, but it is the person who ended the episode.
    """
    trajectory = record.trajectory
    last = trajectory.steps[-1] if trajectory.steps else None
    if last is not None and (last.requested is INTERRUPTED or last.error == HALTED):
        trajectory = replace(trajectory, steps=trajectory.steps[:-1])
    if trajectory.stop is StopReason.SAFETY:
        trajectory = replace(trajectory, stop=StopReason.USER)
    return replace(record, trajectory=trajectory)
