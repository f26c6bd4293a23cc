"""What a person says to the episode that runs: pause, step, hint, undo, act, and answers to proposals."""

from __future__ import annotations

from typing import assert_never

from gui_agent.actions import Action
from gui_agent.agent import Steerable
from gui_agent.demo.commands import (
    Act,
    Approve,
    Direction,
    Edit,
    Hint,
    Pause,
    Reject,
    Resume,
    StepOnce,
    Stop,
    Takeover,
    Undo,
)
from gui_agent.demo.desk import Answer, Approved, Desk, Edited, HumanAct, Rejected
from gui_agent.demo.episode import DirectedEpisode
from gui_agent.demo.events import Phase
from gui_agent.demo.hands import Hands
from gui_agent.demo.protocol import ProtocolError


async def direct(episode: DirectedEpisode, command: Direction, hands: Hands) -> None:
    """Lay on the desk of an episode what the person wants.

    Raises:
        ProtocolError: it cannot be done now, or a value is impossible.
        ConfigError: a secret is too short.
    """
    desk = episode.scene.desk
    match command:
        case Stop():
            episode.stop()
            episode.scene.phase(Phase.STOPPING)
        case Pause():
            desk.paused, desk.single = True, False
        case Resume():
            episode.calm()
            desk.paused = desk.single = desk.takeover = False
        case StepOnce():
            desk.single, desk.takeover = True, False
        case Takeover(on=on):
            episode.calm()
            desk.takeover = on
        case Hint(text=text):
            _hint(episode, text)
        case Undo(steps=steps):
            _undo(episode, steps)
        case Approve(proposal=number):
            _answer(desk, number, Approved(waited=True))
            episode.calm()
        case Reject(proposal=number, hint=hint):
            _check_answerable(desk, number)
            if hint:
                _hint(episode, hint)
            _answer(desk, number, Rejected())
        case Edit(proposal=number, action=action, thought=thought, secret=secret):
            _check_answerable(desk, number)
            action = await hands.permitted(episode.scene.device, action, secret=secret)
            _answer(desk, number, Edited(act=_human_act(episode, action, thought=thought)))
        case Act(action=action, frame=frame, thought=thought, secret=secret):
            action = await hands.permitted(episode.scene.device, action, secret=secret)
            if episode.ended or desk.stopping:
                raise ProtocolError("the episode is being ended", code="not_now")
            desk.takeover = True
            desk.acts.append(_human_act(episode, action, thought=thought, frame=frame))
        case _:
            assert_never(command)


def _human_act(episode: DirectedEpisode, action: Action, *, thought: str, frame: int = 0) -> HumanAct:
    thought = episode.scene.device.secrets.mask(thought)  # the agent is told it, too
    return HumanAct(action=action, frame=frame, thought=thought)


def _check_answerable(desk: Desk, number: int) -> None:
    if not number or number != desk.proposal or desk.answer is not None:
        raise ProtocolError(f"proposal {number} waits for no answer any more", code="not_now")


def _answer(desk: Desk, number: int, answer: Answer) -> None:
    _check_answerable(desk, number)
    desk.answer = answer


def _hint(episode: DirectedEpisode, text: str) -> None:
    secrets = episode.scene.device.secrets
    if not isinstance(episode.agent.inner, Steerable):
        raise ProtocolError("this agent takes no hints", code="not_now")
    if secrets.shows(text):
        names = ", ".join(f"{{{name}}}" for name in secrets.names)
        raise ProtocolError(
            f"the hint holds the value of a secret; write its name in braces instead: {names}",
            code="bad_value",
        )
    episode.scene.desk.hint = text.strip()
    episode.note_hint(text.strip())


def _undo(episode: DirectedEpisode, steps: int) -> None:
    desk, available = episode.scene.desk, episode.scene.undoable
    if not 1 <= steps <= available:
        raise ProtocolError(f"{steps} steps cannot be undone; {available} can", code="not_now")
    desk.undo, desk.paused, desk.single = desk.undo + steps, True, False
