"""Phones to begin with: which people, notes and alarms there are, in which order, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from devices.phone.apps.calculator import CalculatorData
from devices.phone.apps.chats import Chat, ChatsData, Message
from devices.phone.apps.clock import HOURS, ClockData
from devices.phone.apps.contacts import ContactsData, Person
from devices.phone.apps.files import FilesData, Folder
from devices.phone.apps.launcher import LauncherData
from devices.phone.apps.music import MusicData
from devices.phone.apps.notes import Note, NotesData
from devices.phone.apps.settings import SECTIONS, SWITCHES, SettingsData
from devices.phone.apps.shop import Product, ShopData
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


MORE_PEOPLE: Final = (
    "ada", "ben", "clara", "david", "elena", "felix", "gina", "hugo", "ida", "jonas", "kira", "leo", "mia",
    "nils", "olga", "paul", "rosa", "simon", "tara", "victor",
)  # fmt: skip
TITLES: Final = (
    "groceries", "packing", "recipe", "birthday", "garden", "ideas", "books", "holiday", "homework",
    "repairs",
)  # fmt: skip
NOTE_TEXTS: Final = (
    "milk and bread", "call the bank", "two blue shirts", "water the roses", "bring the keys",
    "read chapter nine", "fix the lamp", "buy six eggs",
)  # fmt: skip
SMALL_TALK: Final = (
    "how are you", "see you soon", "good morning", "thank you", "on my way", "sounds good", "where are you",
)  # fmt: skip
SONGS: Final = (
    "morning rain", "blue moon", "slow river", "paper boats", "red kites", "night train", "old bridge",
    "quiet sea", "first snow", "summer wind", "long road", "silver light", "little house", "open sky",
)  # fmt: skip
FOLDERS: Final = ("photos", "work", "school", "travel", "music")
FILE_NAMES: Final = (
    "report", "ticket", "invoice", "beach", "letter", "plan", "essay", "budget", "map", "poster", "scan",
    "contract",
)  # fmt: skip
PRODUCTS: Final = (
    "lamp", "chair", "kettle", "pillow", "basket", "mirror", "clock", "carpet", "vase", "shelf", "mug",
)  # fmt: skip
PHONE_APPS: Final = (*QUICKSTART_APPS, "calculator", "files", "shop")
POPUP_RATE: Final = 0.05


def phone_number(rng: random.Random) -> str:
    """A number that belongs to nobody."""
    return f"555{rng.randrange(10000, 100000)}"


def phone(rng: random.Random) -> PhoneState:
    """A full phone on its launcher: long lists, forms, pop-ups now and then."""
    names = tuple(rng.sample(MORE_PEOPLE, rng.randint(8, 16)))
    people = tuple(
        Person(name=name, number=phone_number(rng), favourite=rng.random() < 0.2) for name in names
    )
    chats = tuple(
        Chat(name=name, messages=(Message(text=rng.choice(SMALL_TALK)),))
        for name in rng.sample(names, rng.randint(4, 8))
    )
    titles = rng.sample(TITLES, rng.randint(4, 8))
    notes = tuple(
        Note(title=title, text=rng.choice(NOTE_TEXTS), pinned=rng.random() < 0.2) for title in titles
    )
    alarms = tuple(sorted(rng.sample(HOURS, rng.randint(3, 6)), key=HOURS.index))
    songs = tuple(rng.sample(SONGS, len(SONGS)))
    products = tuple(
        Product(name=name, price=rng.randrange(3, 90)) for name in rng.sample(PRODUCTS, rng.randint(7, 11))
    )
    apps = {
        LAUNCHER: LauncherData(order=tuple(rng.sample(PHONE_APPS, len(PHONE_APPS)))),
        "settings": SettingsData(on=_subset(rng, [name for group in SECTIONS.values() for name in group])),
        "contacts": ContactsData(people=people),
        "chats": ChatsData(chats=chats),
        "notes": NotesData(notes=notes),
        "clock": ClockData(alarms=alarms, on=_subset(rng, alarms)),
        "music": MusicData(songs=songs, song=rng.randrange(len(songs))),
        "calculator": CalculatorData(),
        "files": FilesData(folders=_folders(rng)),
        "shop": ShopData(products=products),
    }
    look = Look(
        accent=rng.randrange(4),
        wallpaper=rng.randrange(4),
        battery_percent=rng.randrange(20, 100, 5),
        columns=rng.choice((3, 4, 4, 5)),
        round_tiles=rng.random() < 0.4,
    )
    return PhoneState(
        apps=apps,
        look=look,
        start_minute=rng.randrange(24 * 60),
        popup_seed=rng.randrange(2**31),
        popup_rate=POPUP_RATE,
    )


def _folders(rng: random.Random) -> tuple[Folder, ...]:
    folders = rng.sample(FOLDERS, rng.randint(3, 5))
    files: dict[str, list[str]] = {name: [] for name in folders}
    for file in rng.sample(FILE_NAMES, rng.randint(7, 12)):
        files[rng.choice(folders)].append(file)
    return tuple(Folder(name=name, files=tuple(inside)) for name, inside in files.items())
