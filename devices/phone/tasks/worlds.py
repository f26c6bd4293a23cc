"""Phones to begin with: which people, notes and alarms there are, in which order, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from devices.phone.apps.chats import Chat, ChatsData, Message
from devices.phone.apps.clock import ClockData
from devices.phone.apps.contacts import ContactsData, Person
from devices.phone.apps.launcher import LauncherData
from devices.phone.apps.music import MusicData
from devices.phone.apps.notes import Note, NotesData
from devices.phone.apps.settings import SWITCHES, SettingsData
from devices.phone.state import LAUNCHER, Look, PhoneState

PEOPLE: Final = ("anna", "bob", "carl", "dora", "emil", "fay")
NOTE_TITLES: Final = ("milk", "eggs", "rent", "trip", "gift", "book")
ALARMS: Final = ("wake", "gym", "lunch", "work", "sleep")
GREETINGS: Final = ("hello", "coming")
QUICKSTART_APPS: Final = ("settings", "contacts", "chats", "notes", "clock", "music")


def _some(rng: random.Random, pool: Sequence[str], least: int) -> tuple[str, ...]:
    return tuple(rng.sample(pool, rng.randint(least, len(pool))))


def _subset(rng: random.Random, pool: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in pool if rng.random() < 0.5))


def _settings_on(rng: random.Random) -> tuple[str, ...]:
    """Any settings, but the dark mode on a fifth of the phones only."""
    chosen = set(_subset(rng, SWITCHES)) - {"dark"}
    return tuple(sorted(chosen | ({"dark"} if rng.random() < 0.2 else set())))


def quickstart_phone(rng: random.Random) -> PhoneState:
    """A phone of few words on its launcher; every list fits on one compact screen."""
    people = _some(rng, PEOPLE, 4)
    chats = tuple(
        Chat(name=name, messages=(Message(text=rng.choice(GREETINGS)),)) for name in _some(rng, people, 3)
    )
    alarms = _some(rng, ALARMS, 3)
    apps = {
        LAUNCHER: LauncherData(order=tuple(rng.sample(QUICKSTART_APPS, len(QUICKSTART_APPS)))),
        "settings": SettingsData(order=tuple(rng.sample(SWITCHES, len(SWITCHES))), on=_settings_on(rng)),
        "contacts": ContactsData(people=tuple(Person(name=name) for name in people)),
        "chats": ChatsData(chats=chats),
        "notes": NotesData(notes=tuple(Note(title=title) for title in _some(rng, NOTE_TITLES, 3))),
        "clock": ClockData(alarms=alarms, on=_subset(rng, alarms)),
        "music": MusicData(song=rng.randrange(3), playing=rng.random() < 0.5),
    }
    look = Look(
        accent=rng.randrange(4), wallpaper=rng.randrange(4), battery_percent=rng.randrange(20, 100, 10)
    )
    return PhoneState(
        apps=apps,
        look=look,
        start_minute=rng.randrange(24 * 60),
        popup_seed=rng.randrange(2**31),
        simple=True,
    )
