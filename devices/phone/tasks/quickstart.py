"""The templates of the quickstart suite: one to four gestures, few words, nothing hidden."""

from __future__ import annotations

import random
from typing import Final

from devices.phone.apps.chats import CHATS, last_reply
from devices.phone.apps.clock import CLOCK, alarm_is_on, with_alarm
from devices.phone.apps.contacts import CONTACTS
from devices.phone.apps.launcher import HOME_SCREEN
from devices.phone.apps.music import MUSIC
from devices.phone.apps.notes import NOTES
from devices.phone.apps.settings import SWITCHES, is_on, with_switch
from devices.phone.state import Page, PhoneState, open_app, push
from devices.phone.tasks.plan import Condition, Move, Plan, Press, Stop, Tap, at, at_home, towards, way
from devices.phone.tasks.task import Build
from devices.phone.tasks.worlds import quickstart_phone
from gui_agent.actions import Button


def _plan(goal: str, start: PhoneState, stops: tuple[Stop, ...], done: Condition, tap: str = "") -> Plan:
    """Go to the last stop; there tap the named widget, if one is named."""

    def route(state: PhoneState) -> Move | None:
        return towards(state, stops) or (Tap(name=tap) if tap else None)

    return Plan(goal=goal, start=start, done=done, route=route)


def open_an_app(rng: random.Random) -> Plan:
    """Open an app from the launcher."""
    start = quickstart_phone(rng)
    app = rng.choice(HOME_SCREEN.get(start).order)
    return _plan(f"open {app}", start, way(app), lambda state: at(state, app))


def set_switch(rng: random.Random) -> Plan:
    """Turn a setting on or off."""
    switch = rng.choice(SWITCHES)
    on = rng.random() < 0.5
    start = with_switch(quickstart_phone(rng), switch, not on)
    goal = f"turn {'on' if on else 'off'} {switch}"
    return _plan(goal, start, way("settings"), lambda state: is_on(state, switch) is on, switch)


def set_alarm(rng: random.Random) -> Plan:
    """Turn an alarm on or off."""
    start = quickstart_phone(rng)
    alarm = rng.choice(CLOCK.get(start).alarms)
    on = rng.random() < 0.5
    start = with_alarm(start, alarm, not on)
    goal = f"turn {'on' if on else 'off'} alarm {alarm}"
    return _plan(goal, start, way("clock"), lambda state: alarm_is_on(state, alarm) is on, alarm)


def call_contact(rng: random.Random) -> Plan:
    """Call a person; now and then somebody else's page is open, which "back" leaves."""
    start = quickstart_phone(rng)
    name, other = rng.sample(CONTACTS.get(start).names, 2)
    if rng.random() < 0.25:
        start = push(open_app(start, "contacts"), Page(app="contacts", name="contact", item=other))
    stops = way(
        "contacts",
        Stop(page=Page(app="contacts", name="contact", item=name), via=name),
        Stop(page=Page(app="contacts", name="call", item=name), via="call"),
    )
    return _plan(f"call {name}", start, stops, lambda state: CONTACTS.get(state).calling == name, "call")


def reply(rng: random.Random) -> Plan:
    """Answer a person with one of the ready replies."""
    start = quickstart_phone(rng)
    name = rng.choice(CHATS.get(start).chats).name
    word = rng.choice(("yes", "no"))
    stops = way("chats", Stop(page=Page(app="chats", name="chat", item=name), via=name))
    return _plan(f"say {word} to {name}", start, stops, lambda state: last_reply(state, name) == word, word)


def open_note(rng: random.Random) -> Plan:
    """Open a note."""
    start = quickstart_phone(rng)
    title = rng.choice(NOTES.get(start).titles)
    stops = way("notes", Stop(page=Page(app="notes", name="note", item=title), via=title))
    return _plan(f"read note {title}", start, stops, lambda state: at(state, "notes", "note", title))


def delete_note(rng: random.Random) -> Plan:
    """Delete a note and confirm."""
    start = quickstart_phone(rng)
    title = rng.choice(NOTES.get(start).titles)
    left = tuple(one for one in NOTES.get(start).titles if one != title)
    stops = way(
        "notes",
        Stop(page=Page(app="notes", name="note", item=title), via=title),
        Stop(page=Page(app="notes", name="delete", item=title), via="delete"),
    )

    def route(state: PhoneState) -> Move | None:
        if not set(left) <= set(NOTES.get(state).titles):
            return None  # another note is gone for good
        return towards(state, stops) or Tap(name="ok")

    return Plan(
        goal=f"delete note {title}", start=start, done=lambda s: NOTES.get(s).titles == left, route=route
    )


def set_music(rng: random.Random) -> Plan:
    """Start or stop the music."""
    start = quickstart_phone(rng)
    playing = rng.random() < 0.5
    start = MUSIC.change(start, playing=not playing)
    word = "play" if playing else "stop"
    done: Condition = lambda state: MUSIC.get(state).playing is playing  # noqa: E731
    return _plan(f"{word} music", start, way("music"), done, word)


def go_home(rng: random.Random) -> Plan:
    """Leave whatever is open."""
    start = _somewhere(quickstart_phone(rng), rng, "")
    return Plan(goal="go home", start=start, done=at_home, route=lambda state: Press(button=Button.HOME))


def switch_app(rng: random.Random) -> Plan:
    """Open an app while another one is open."""
    start = quickstart_phone(rng)
    app = rng.choice(HOME_SCREEN.get(start).order)
    start = _somewhere(start, rng, app)
    return _plan(f"open {app}", start, way(app), lambda state: at(state, app))


def _somewhere(state: PhoneState, rng: random.Random, avoid: str) -> PhoneState:
    """The phone inside some app, one or two pages deep."""
    app = rng.choice([name for name in HOME_SCREEN.get(state).order if name != avoid])
    state = open_app(state, app)
    deeper = {
        "contacts": [Page(app=app, name="contact", item=name) for name in CONTACTS.get(state).names],
        "chats": [Page(app=app, name="chat", item=chat.name) for chat in CHATS.get(state).chats],
        "notes": [Page(app=app, name="note", item=title) for title in NOTES.get(state).titles],
    }.get(app, [])
    return push(state, rng.choice(deeper)) if deeper and rng.random() < 0.5 else state


QUICKSTART_TEMPLATES: Final[dict[str, Build]] = {
    "open_app": open_an_app,
    "set_switch": set_switch,
    "set_alarm": set_alarm,
    "call_contact": call_contact,
    "reply": reply,
    "open_note": open_note,
    "delete_note": delete_note,
    "set_music": set_music,
    "go_home": go_home,
    "switch_app": switch_app,
}
