"""Templates about notes, alarms and music."""

from __future__ import annotations

import random

from devices.phone.apps.clock import CLOCK, HOURS, TIMERS, alarm_is_on, with_alarm
from devices.phone.apps.music import MUSIC
from devices.phone.apps.notes import NOTES
from devices.phone.state import PhoneState
from devices.phone.tasks.plan import (
    Move,
    Plan,
    Press,
    Stop,
    Tap,
    at,
    filling,
    step,
    towards,
    way,
)
from devices.phone.tasks.settings_tasks import on_off
from devices.phone.tasks.worlds import NOTE_TEXTS, TITLES, phone
from gui_agent.actions import Button


def to_note(title: str) -> tuple[Stop, ...]:
    """The way to a note."""
    return way("notes", step("notes", "note", title))


def noting(state: PhoneState, title: str, text: str) -> Move | None:
    """The next move to save a new note."""
    stops = way("notes", step("notes", "new", via="new note"))
    return towards(state, stops) or filling(state, title=title, text=text) or Tap(name="save")


def create_note(rng: random.Random) -> Plan:
    """Write a note."""
    start = phone(rng)
    title = rng.choice([one for one in TITLES if one not in NOTES.get(start).titles])
    text = rng.choice(NOTE_TEXTS)
    return Plan(
        goal=f'write a note "{title}" that says "{text}"',
        start=start,
        done=lambda state: title in NOTES.get(state).titles and NOTES.get(state).note(title).text == text,
        route=lambda state: noting(state, title, text),
    )


def delete_note(rng: random.Random) -> Plan:
    """Delete a note and confirm."""
    start = phone(rng)
    title = rng.choice(NOTES.get(start).titles)
    rest = {one for one in NOTES.get(start).titles if one != title}
    stops = (*to_note(title), step("notes", "delete", title, via="delete"))

    def route(state: PhoneState) -> Move | None:
        if not rest <= set(NOTES.get(state).titles):
            return None
        return towards(state, stops) or Tap(name="ok")

    return Plan(
        goal=f"delete the note {title}",
        start=start,
        done=lambda state: set(NOTES.get(state).titles) == rest,
        route=route,
    )


def pin_note(rng: random.Random) -> Plan:
    """Pin a note, or take the pin out."""
    start = phone(rng)
    note = rng.choice(NOTES.get(start).notes)
    word = "unpin" if note.pinned else "pin"
    return Plan(
        goal=f"{word} the note {note.title}",
        start=start,
        done=lambda state: NOTES.get(state).note(note.title).pinned is not note.pinned,
        route=lambda state: towards(state, to_note(note.title)) or Tap(name=word),
    )


def adding_alarm(state: PhoneState, hour: str) -> Move | None:
    """The next move to add an alarm."""
    return towards(state, way("clock", step("clock", "new", via="new alarm"))) or Tap(name=hour)


def set_alarm(rng: random.Random) -> Plan:
    """Turn an alarm on or off."""
    start = phone(rng)
    alarm, on = rng.choice(CLOCK.get(start).alarms), rng.random() < 0.5
    return Plan(
        goal=f"turn {on_off(on)} the alarm at {alarm}",
        start=with_alarm(start, alarm, not on),
        done=lambda state: alarm in CLOCK.get(state).alarms and alarm_is_on(state, alarm) is on,
        route=lambda state: towards(state, way("clock")) or Tap(name=alarm),
    )


def add_alarm(rng: random.Random) -> Plan:
    """Add an alarm from a list longer than the screen."""
    start = phone(rng)
    hour = rng.choice([one for one in HOURS if one not in CLOCK.get(start).alarms])
    return Plan(
        goal=f"add an alarm at {hour}",
        start=start,
        done=lambda state: alarm_is_on(state, hour),
        route=lambda state: adding_alarm(state, hour),
    )


def delete_alarm(rng: random.Random) -> Plan:
    """Delete an alarm by a long press."""
    start = phone(rng)
    alarm = rng.choice(CLOCK.get(start).alarms)
    rest = {one for one in CLOCK.get(start).alarms if one != alarm}
    stops = way("clock", step("clock", "delete", alarm, hold=True))

    def route(state: PhoneState) -> Move | None:
        if not rest <= set(CLOCK.get(state).alarms):
            return None
        return towards(state, stops) or Tap(name="ok")

    return Plan(
        goal=f"delete the alarm at {alarm}",
        start=start,
        done=lambda state: alarm not in CLOCK.get(state).alarms and rest <= set(CLOCK.get(state).alarms),
        route=route,
    )


def set_timer(rng: random.Random) -> Plan:
    """Start a timer, stopping another one if it runs."""
    length, other = rng.sample(TIMERS, 2)
    start = CLOCK.change(phone(rng), timer=other if rng.random() < 0.3 else "")
    stops = way("clock", step("clock", "timer"))

    def route(state: PhoneState) -> Move | None:
        return towards(state, stops) or Tap(name="stop timer" if CLOCK.get(state).timer else length)

    return Plan(
        goal=f"set a timer of {length}",
        start=start,
        done=lambda state: CLOCK.get(state).timer == length,
        route=route,
    )


def playing(state: PhoneState, title: str) -> Move | None:
    """The next move to play a song; None when it plays."""
    data = MUSIC.get(state)
    if data.playing and data.title == title:
        return None
    return towards(state, way("music")) or Tap(name=title)


def play_song(rng: random.Random) -> Plan:
    """Play a song."""
    start = phone(rng)
    title = rng.choice(MUSIC.get(start).songs)
    return Plan(
        goal=f"play {title}",
        start=start,
        done=lambda state: playing(state, title) is None,
        route=lambda state: playing(state, title),
    )


def like_song(rng: random.Random) -> Plan:
    """Like a song."""
    start = phone(rng)
    title = rng.choice(MUSIC.get(start).songs)

    def route(state: PhoneState) -> Move | None:
        if at(state, "music", "player") and MUSIC.get(state).title != title:
            return Press(button=Button.BACK)
        return towards(state, way("music", step("music", "player", via=title))) or Tap(name="like")

    return Plan(
        goal=f"like the song {title}",
        start=start,
        done=lambda state: title in MUSIC.get(state).liked,
        route=route,
    )
