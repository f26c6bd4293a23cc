"""The templates of the long suite: several errands on one phone, few words, nothing to type.

An errand is a thing to do in one app. A template is a row of kinds of errands; an instance draws what
each is about. Everything that has to be known stands in the goal or on the screen, but which errands
are behind does not: after going home, only the history tells.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from devices.phone.apps.chats import CHATS, REPLIES, last_reply
from devices.phone.apps.clock import CLOCK, alarm_is_on, with_alarm
from devices.phone.apps.contacts import CONTACTS
from devices.phone.apps.music import MUSIC
from devices.phone.apps.notes import NOTES
from devices.phone.apps.settings import SWITCHES, is_on, with_switch
from devices.phone.state import PhoneState
from devices.phone.tasks.plan import Condition, Move, Plan, Route, Stop, Tap, step, towards, way
from devices.phone.tasks.task import Build
from devices.phone.tasks.worlds import quickstart_phone


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One of the things to do.

    Attributes:
        words: its part of the goal.
        name: what it is about; no other errand of the task is about the same.
        start: the phone, made such that the errand is not done yet.
        done: whether it is done.
        route: the next move towards it, wherever the phone is.
        deletes: the note that it deletes; "" for none.
    """

    words: str
    name: str
    start: PhoneState
    done: Condition
    route: Route
    deletes: str = ""


Kind = Callable[[random.Random, PhoneState, Collection[str]], Errand]
"""Draws an errand on a phone, about none of the names that are taken."""


def _going(stops: tuple[Stop, ...], tap: str) -> Route:
    """Go to the last stop, and tap there."""

    def route(state: PhoneState) -> Move:
        return towards(state, stops) or Tap(name=tap)

    return route


def _one(rng: random.Random, names: Collection[str], taken: Collection[str]) -> str:
    return rng.choice([name for name in names if name not in taken])


def switch(rng: random.Random, phone: PhoneState, taken: Collection[str]) -> Errand:
    """Turn a setting on or off."""
    name, on = _one(rng, SWITCHES, taken), rng.random() < 0.5
    return Errand(
        words=f"turn {'on' if on else 'off'} {name}",
        name=name,
        start=with_switch(phone, name, not on),
        done=lambda state: is_on(state, name) is on,
        route=_going(way("settings"), name),
    )


def alarm(rng: random.Random, phone: PhoneState, taken: Collection[str]) -> Errand:
    """Turn an alarm on or off."""
    name, on = _one(rng, CLOCK.get(phone).alarms, taken), rng.random() < 0.5
    return Errand(
        words=f"turn {'on' if on else 'off'} alarm {name}",
        name=name,
        start=with_alarm(phone, name, not on),
        done=lambda state: alarm_is_on(state, name) is on,
        route=_going(way("clock"), name),
    )


def call(rng: random.Random, phone: PhoneState, taken: Collection[str]) -> Errand:
    """Call a person."""
    name = _one(rng, CONTACTS.get(phone).names, taken)
    return Errand(
        words=f"call {name}",
        name=name,
        start=phone,
        done=lambda state: CONTACTS.get(state).calling == name,
        route=_going(way("contacts", step("contacts", "contact", name)), "call"),
    )


def reply(rng: random.Random, phone: PhoneState, taken: Collection[str]) -> Errand:
    """Answer a person with one of the ready replies."""
    name = _one(rng, [chat.name for chat in CHATS.get(phone).chats], taken)
    word = rng.choice(REPLIES)
    return Errand(
        words=f"say {word} to {name}",
        name=name,
        start=phone,
        done=lambda state: last_reply(state, name) == word,
        route=_going(way("chats", step("chats", "chat", name)), word),
    )


def read(rng: random.Random, phone: PhoneState, taken: Collection[str]) -> Errand:
    """Open a note."""
    title = _one(rng, NOTES.get(phone).titles, taken)
    note = step("notes", "note", title)
    return Errand(
        words=f"read note {title}",
        name=title,
        start=phone,
        done=lambda state: note.page.place in state.visited,
        route=lambda state: towards(state, way("notes", note)),
    )


def delete(rng: random.Random, phone: PhoneState, taken: Collection[str]) -> Errand:
    """Delete a note and confirm."""
    title = _one(rng, NOTES.get(phone).titles, taken)
    stops = way("notes", step("notes", "note", title), step("notes", "delete", title, via="delete"))
    return Errand(
        words=f"delete note {title}",
        name=title,
        start=phone,
        done=lambda state: title not in NOTES.get(state).titles,
        route=_going(stops, "ok"),
        deletes=title,
    )


def music(rng: random.Random, phone: PhoneState, taken: Collection[str]) -> Errand:
    """Start or stop the music."""
    playing = rng.random() < 0.5
    word = "play" if playing else "stop"
    return Errand(
        words=f"{word} music",
        name="music",
        start=MUSIC.change(phone, playing=not playing),
        done=lambda state: MUSIC.get(state).playing is playing,
        route=_going(way("music"), word),
    )


def _one_after_the_other(*kinds: Kind) -> Build:
    """A template of these kinds of errands, for an expert that does them in the order of the goal."""

    def build(rng: random.Random) -> Plan:
        phone = quickstart_phone(rng)
        errands: list[Errand] = []
        for kind in kinds:
            errands.append(kind(rng, phone, [errand.name for errand in errands]))
            phone = errands[-1].start
        kept = set(NOTES.get(phone).titles) - {errand.deletes for errand in errands}

        def done(state: PhoneState) -> bool:
            return kept <= set(NOTES.get(state).titles) and all(errand.done(state) for errand in errands)

        def route(state: PhoneState) -> Move | None:
            if not kept <= set(NOTES.get(state).titles):
                return None  # a note that nobody wanted to lose is gone for good
            return next(errand.route(state) for errand in errands if not errand.done(state))

        goal = " then ".join(errand.words for errand in errands)
        return Plan(goal=goal, start=phone, done=done, route=route)

    return build


LONG_TEMPLATES: Final[dict[str, Build]] = {
    "two_switches": _one_after_the_other(switch, switch),
    "read_then_music": _one_after_the_other(read, music),
    "switch_then_alarm": _one_after_the_other(switch, alarm),
    "two_replies": _one_after_the_other(reply, reply),
    "switch_then_call": _one_after_the_other(switch, call),
    "reply_then_alarm": _one_after_the_other(reply, alarm),
    "call_then_reply": _one_after_the_other(call, reply),
    "delete_then_music": _one_after_the_other(delete, music),
    "three_apps": _one_after_the_other(alarm, switch, music),
    "four_apps": _one_after_the_other(switch, alarm, reply, music),
}
