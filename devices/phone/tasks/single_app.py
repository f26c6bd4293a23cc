"""Templates of the full phone that stay in one app."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from devices.phone.apps.calculator import CALCULATOR, OPERATIONS, value_of
from devices.phone.apps.chats import CHATS, last_reply
from devices.phone.apps.clock import CLOCK, HOURS, TIMERS, alarm_is_on, with_alarm
from devices.phone.apps.contacts import CONTACTS
from devices.phone.apps.files import FILES
from devices.phone.apps.launcher import HOME_SCREEN
from devices.phone.apps.music import MUSIC
from devices.phone.apps.notes import NOTES
from devices.phone.apps.settings import (
    OPTION_SECTIONS,
    OPTIONS,
    SECTIONS,
    is_on,
    option,
    section_of,
    with_option,
    with_switch,
)
from devices.phone.apps.shop import SHOP
from devices.phone.state import Page, PhoneState, open_app
from devices.phone.tasks.plan import (
    Move,
    Plan,
    Press,
    Say,
    Stop,
    Tap,
    at,
    filling,
    reading,
    step,
    towards,
    way,
)
from devices.phone.tasks.task import Build
from devices.phone.tasks.worlds import MORE_PEOPLE, NOTE_TEXTS, SMALL_TALK, TITLES, phone, phone_number
from gui_agent.actions import Button

SWITCH_NAMES: Final = tuple(name for names in SECTIONS.values() for name in names)


# Settings


def to_section(section: str) -> tuple[Stop, ...]:
    """The way to a section of the settings."""
    return way("settings", step("settings", "section", section))


def switching(state: PhoneState, switch: str, on: bool) -> Move | None:
    """The next move to bring a switch into position; None when it is."""
    if is_on(state, switch) is on:
        return None
    return towards(state, to_section(section_of(switch))) or Tap(name=switch)


def set_switch(rng: random.Random) -> Plan:
    """Turn one setting on or off."""
    switch, on = rng.choice(SWITCH_NAMES), rng.random() < 0.5
    return Plan(
        goal=f"turn {_on(on)} {switch}",
        start=with_switch(phone(rng), switch, not on),
        done=lambda state: is_on(state, switch) is on,
        route=lambda state: switching(state, switch, on),
    )


def set_two_switches(rng: random.Random) -> Plan:
    """Turn two settings on or off."""
    (first, second), on = rng.sample(SWITCH_NAMES, 2), rng.random() < 0.5
    return Plan(
        goal=f"turn {_on(on)} {first} and {second}",
        start=with_switch(with_switch(phone(rng), first, not on), second, not on),
        done=lambda state: is_on(state, first) is is_on(state, second) is on,
        route=lambda state: switching(state, first, on) or switching(state, second, on),
    )


def _on(on: bool) -> str:
    return "on" if on else "off"


def _set_option(rng: random.Random, name: str) -> Plan:
    wanted, before = rng.sample(OPTIONS[name], 2)
    section = OPTION_SECTIONS[name]
    stops = to_section(section)
    if name != section:
        stops = (*stops, step("settings", "option", name))
    return Plan(
        goal=f"set the {name} to {wanted}",
        start=with_option(phone(rng), name, before),
        done=lambda state: option(state, name) == wanted,
        route=lambda state: towards(state, stops) or Tap(name=wanted),
    )


def set_brightness(rng: random.Random) -> Plan:
    """Choose a brightness or a text size."""
    return _set_option(rng, rng.choice(("brightness", "text size")))


def set_ringtone(rng: random.Random) -> Plan:
    """Choose a ringtone."""
    return _set_option(rng, "ringtone")


def set_language(rng: random.Random) -> Plan:
    """Choose a language from a list longer than the screen."""
    return _set_option(rng, "language")


# Contacts


def to_contact(name: str) -> tuple[Stop, ...]:
    """The way to a person's page."""
    return way("contacts", step("contacts", "contact", name))


def calling(state: PhoneState, name: str) -> Move | None:
    """The next move to call a person."""
    stops = (*to_contact(name), step("contacts", "call", name, via="call"))
    return towards(state, stops) or Tap(name="end")


def saving_contact(state: PhoneState, name: str, number: str) -> Move | None:
    """The next move to save a new person."""
    stops = way("contacts", step("contacts", "new", via="new contact"))
    return towards(state, stops) or filling(state, name=name, number=number) or Tap(name="save")


def call_contact(rng: random.Random) -> Plan:
    """Call a person."""
    start = phone(rng)
    name = rng.choice(CONTACTS.get(start).names)
    return Plan(
        goal=f"call {name}",
        start=start,
        done=lambda state: CONTACTS.get(state).calling == name,
        route=lambda state: calling(state, name),
    )


def add_contact(rng: random.Random) -> Plan:
    """Add a person with a number."""
    start = phone(rng)
    name = rng.choice([one for one in MORE_PEOPLE if one not in CONTACTS.get(start).names])
    number = phone_number(rng)
    return Plan(
        goal=f"add the contact {name} with the number {number}",
        start=start,
        done=lambda state: CONTACTS.get(state).person(name).number == number,
        route=lambda state: saving_contact(state, name, number),
    )


def delete_contact(rng: random.Random) -> Plan:
    """Delete a person and confirm."""
    start = phone(rng)
    names = CONTACTS.get(start).names
    name = rng.choice(names)
    stops = (*to_contact(name), step("contacts", "delete", name, via="delete contact"))
    rest = {one for one in names if one != name}

    def route(state: PhoneState) -> Move | None:
        if not rest <= set(CONTACTS.get(state).names):
            return None
        return towards(state, stops) or Tap(name="ok")

    return Plan(
        goal=f"delete the contact {name}",
        start=start,
        done=lambda state: set(CONTACTS.get(state).names) == rest,
        route=route,
    )


def set_favourite(rng: random.Random) -> Plan:
    """Make a person a favourite, or no longer one."""
    start = phone(rng)
    person = rng.choice(CONTACTS.get(start).people)
    wanted = not person.favourite
    goal = f"make {person.name} a favourite" if wanted else f"remove {person.name} from the favourites"
    return Plan(
        goal=goal,
        start=start,
        done=lambda state: CONTACTS.get(state).person(person.name).favourite is wanted,
        route=lambda state: towards(state, to_contact(person.name)) or Tap(name="favourite"),
    )


def tell_number(rng: random.Random) -> Plan:
    """Answer a question about a person's number."""
    start = phone(rng)
    person = rng.choice(CONTACTS.get(start).people)
    return Plan(
        goal=f"what is the number of {person.name}?",
        start=start,
        done=lambda state: state.answer.strip() == person.number,
        route=lambda state: reading(state, to_contact(person.name)) or Say(text=person.number),
    )


# Chats


def to_chat(state: PhoneState, name: str) -> tuple[Stop, ...]:
    """The way to a conversation; to one not begun yet, over the list of people."""
    chat = step("chats", "chat", name)
    if any(one.name == name for one in CHATS.get(state).chats) or at(state, "chats", "chat", name):
        return way("chats", chat)
    return way("chats", step("chats", "new", via="new chat"))


def writing(state: PhoneState, name: str, text: str) -> Move | None:
    """The next move to send a person a message; None when it has been sent."""
    if last_reply(state, name) == text:
        return None
    move = towards(state, to_chat(state, name))
    if move is None and at(state, "chats", "new"):
        return Tap(name=name)
    return move or filling(state, message=text) or Tap(name="send")


def send_message(rng: random.Random) -> Plan:
    """Write to somebody whom we have written to before."""
    start = phone(rng)
    name = rng.choice(CHATS.get(start).chats).name
    return _send(start, name, rng.choice(SMALL_TALK))


def start_chat(rng: random.Random) -> Plan:
    """Write to somebody for the first time."""
    start = phone(rng)
    known = {chat.name for chat in CHATS.get(start).chats}
    names = [name for name in CONTACTS.get(start).names if name not in known]
    if not names:
        start = CHATS.change(start, chats=CHATS.get(start).chats[1:])
        names = [name for name in known if name not in {chat.name for chat in CHATS.get(start).chats}]
    return _send(start, rng.choice(names), rng.choice(SMALL_TALK))


def _send(start: PhoneState, name: str, text: str) -> Plan:
    return Plan(
        goal=f'send "{text}" to {name}',
        start=start,
        done=lambda state: last_reply(state, name) == text,
        route=lambda state: writing(state, name, text),
    )


def delete_chat(rng: random.Random) -> Plan:
    """Delete a conversation by a long press."""
    start = phone(rng)
    name = rng.choice(CHATS.get(start).chats).name
    rest = {chat.name for chat in CHATS.get(start).chats if chat.name != name}
    stops = way("chats", step("chats", "delete", name, hold=True))

    def names(state: PhoneState) -> set[str]:
        return {chat.name for chat in CHATS.get(state).chats}

    def route(state: PhoneState) -> Move | None:
        return (towards(state, stops) or Tap(name="ok")) if rest <= names(state) else None

    return Plan(
        goal=f"delete the chat with {name}",
        start=start,
        done=lambda state: name not in names(state) and rest <= names(state),
        route=route,
    )


# Notes


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


# Clock


def adding_alarm(state: PhoneState, hour: str) -> Move | None:
    """The next move to add an alarm."""
    return towards(state, way("clock", step("clock", "new", via="new alarm"))) or Tap(name=hour)


def set_alarm(rng: random.Random) -> Plan:
    """Turn an alarm on or off."""
    start = phone(rng)
    alarm, on = rng.choice(CLOCK.get(start).alarms), rng.random() < 0.5
    return Plan(
        goal=f"turn {_on(on)} the alarm at {alarm}",
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


# Music


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


# Calculator


def computing(state: PhoneState, expression: str) -> Move | None:
    """The next move to compute an expression; None when its result is shown."""
    data = CALCULATOR.get(state)
    if data.keyed == expression and data.result:
        return None
    if move := towards(state, way("calculator")):
        return move
    if data.result or not expression.startswith(data.keyed):
        return Tap(name="clear")
    return Tap(name="=" if data.keyed == expression else expression[len(data.keyed)])


def expression_of(rng: random.Random) -> str:
    """Two numbers and an operation, as keyed in."""
    return f"{rng.randrange(11, 99)}{rng.choice(OPERATIONS)}{rng.randrange(2, 10)}"


def compute(rng: random.Random) -> Plan:
    """Compute something."""
    expression = expression_of(rng)
    return Plan(
        goal=f"compute {expression} with the calculator",
        start=phone(rng),
        done=lambda state: (
            CALCULATOR.get(state).result == value_of(expression) and CALCULATOR.get(state).keyed == expression
        ),
        route=lambda state: computing(state, expression),
    )


# Files


def to_file(state: PhoneState, file: str) -> tuple[Stop, ...]:
    """The way to a file where it lies now."""
    folder = FILES.get(state).folder_of(file)
    return way("files", step("files", "folder", folder), step("files", "file", file))


def deleting_file(state: PhoneState, file: str) -> Move | None:
    """The next move to delete a file."""
    stops = (*to_file(state, file), step("files", "delete", file, via="delete"))
    return towards(state, stops) or Tap(name="ok")


def all_files(state: PhoneState) -> frozenset[str]:
    """Names of the files in all folders."""
    return frozenset(file for folder in FILES.get(state).folders for file in folder.files)


def delete_file(rng: random.Random) -> Plan:
    """Delete a file and confirm."""
    start = phone(rng)
    file = rng.choice(sorted(all_files(start)))
    rest = all_files(start) - {file}
    folder = FILES.get(start).folder_of(file)
    return Plan(
        goal=f"delete the file {file} in {folder}",
        start=start,
        done=lambda state: all_files(state) == rest,
        route=lambda state: deleting_file(state, file) if rest <= all_files(state) else None,
    )


def move_file(rng: random.Random) -> Plan:
    """Move a file to another folder."""
    start = phone(rng)
    file = rng.choice(sorted(all_files(start)))
    folder = FILES.get(start).folder_of(file)
    target = rng.choice([one.name for one in FILES.get(start).folders if one.name != folder])

    def route(state: PhoneState) -> Move | None:
        if file not in all_files(state):
            return None
        stops = (*to_file(state, file), step("files", "move", file, via="move"))
        return towards(state, stops) or Tap(name=target)

    return Plan(
        goal=f"move the file {file} from {folder} to {target}",
        start=start,
        done=lambda state: FILES.get(state).folder_of(file) == target,
        route=route,
    )


def count_files(rng: random.Random) -> Plan:
    """Answer how many files there are in a folder."""
    start = phone(rng)
    folder = rng.choice(FILES.get(start).folders)
    stops = way("files", step("files", "folder", folder.name))
    number = str(len(folder.files))
    return Plan(
        goal=f"how many files are in the folder {folder.name}?",
        start=start,
        done=lambda state: state.answer.strip() == number,
        route=lambda state: reading(state, stops) or Say(text=number),
    )


# Shop


def to_product(name: str) -> tuple[Stop, ...]:
    """The way to a product."""
    return way("shop", step("shop", "product", name))


def filling_cart(state: PhoneState, *names: str) -> Move | None:
    """The next move to have exactly these products in the cart; None when they are."""
    cart = SHOP.get(state).cart
    for name in cart:
        if name not in names:
            to_cart = way("shop", step("shop", "cart"), step("shop", "remove", name))
            return towards(state, to_cart) or Tap(name="ok")
    for name in names:
        if name not in cart:
            return towards(state, to_product(name)) or Tap(name="add")
    return None


def ordering(state: PhoneState, name: str) -> Move | None:
    """The next move to order one product and nothing else; None when it is ordered or too late."""
    if SHOP.get(state).ordered:
        return None
    if move := filling_cart(state, name):
        return move
    return towards(state, way("shop", step("shop", "cart"), step("shop", "order"))) or Tap(name="ok")


def order_product(rng: random.Random) -> Plan:
    """Order a product and confirm."""
    start = phone(rng)
    name = rng.choice(SHOP.get(start).products).name
    return Plan(
        goal=f"order a {name} in the shop",
        start=start,
        done=lambda state: SHOP.get(state).ordered == (name,),
        route=lambda state: ordering(state, name),
    )


def fill_cart(rng: random.Random) -> Plan:
    """Put two products into the cart."""
    start = phone(rng)
    first, second = (product.name for product in rng.sample(SHOP.get(start).products, 2))
    return Plan(
        goal=f"put a {first} and a {second} into the cart",
        start=start,
        done=lambda state: set(SHOP.get(state).cart) == {first, second},
        route=lambda state: filling_cart(state, first, second),
    )


def empty_cart(rng: random.Random) -> Plan:
    """Take one of two products out of the cart."""
    start = phone(rng)
    kept, removed = (product.name for product in rng.sample(SHOP.get(start).products, 2))
    cart = (kept, removed) if rng.random() < 0.5 else (removed, kept)
    return Plan(
        goal=f"remove the {removed} from the cart",
        start=SHOP.change(start, cart=cart),
        done=lambda state: SHOP.get(state).cart == (kept,),
        route=lambda state: filling_cart(state, kept),
    )


def tell_price(rng: random.Random) -> Plan:
    """Answer what a product costs."""
    start = phone(rng)
    product = rng.choice(SHOP.get(start).products)
    return Plan(
        goal=f"how many coins does the {product.name} cost?",
        start=start,
        done=lambda state: state.answer.strip().removesuffix(" coins") == str(product.price),
        route=lambda state: reading(state, way("shop")) or Say(text=str(product.price)),
    )


# Launcher


def open_an_app(rng: random.Random) -> Plan:
    """Open an app, from the launcher or from another app."""
    start = phone(rng)
    app, other = rng.sample(HOME_SCREEN.get(start).order, 2)
    if rng.random() < 0.5:
        start = open_app(start, other)
    return Plan(
        goal=f"open {app}",
        start=start,
        done=lambda state: at(state, app),
        route=lambda state: towards(state, way(app)),
    )


def hang_up(rng: random.Random) -> Plan:
    """End the call that is running."""
    start = phone(rng)
    name = rng.choice(CONTACTS.get(start).names)
    start = CONTACTS.change(start, calling=name)
    pages = [Page(app="contacts", name=page, item=name) for page in ("contact", "call")]
    start = replace(start, stack=(*start.stack, Page(app="contacts"), *pages))
    stops = (*to_contact(name), step("contacts", "call", name, via="call"))
    return Plan(
        goal="hang up",
        start=start,
        done=lambda state: not CONTACTS.get(state).calling,
        route=lambda state: towards(state, stops) or Tap(name="end"),
    )


SINGLE_APP_TEMPLATES: Final[dict[str, Build]] = {
    "open_app": open_an_app,
    "set_switch": set_switch,
    "set_two_switches": set_two_switches,
    "set_brightness": set_brightness,
    "set_ringtone": set_ringtone,
    "set_language": set_language,
    "call_contact": call_contact,
    "hang_up": hang_up,
    "add_contact": add_contact,
    "delete_contact": delete_contact,
    "set_favourite": set_favourite,
    "tell_number": tell_number,
    "send_message": send_message,
    "start_chat": start_chat,
    "delete_chat": delete_chat,
    "create_note": create_note,
    "delete_note": delete_note,
    "pin_note": pin_note,
    "set_alarm": set_alarm,
    "add_alarm": add_alarm,
    "delete_alarm": delete_alarm,
    "set_timer": set_timer,
    "play_song": play_song,
    "like_song": like_song,
    "compute": compute,
    "delete_file": delete_file,
    "move_file": move_file,
    "count_files": count_files,
    "order_product": order_product,
    "fill_cart": fill_cart,
    "empty_cart": empty_cart,
    "tell_price": tell_price,
}
