"""Templates about people: contacts, calls and chats."""

from __future__ import annotations

import random
from dataclasses import replace

from devices.phone.apps.chats import CHATS, last_reply
from devices.phone.apps.contacts import CONTACTS
from devices.phone.state import Page, PhoneState
from devices.phone.tasks.plan import (
    Move,
    Plan,
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
from devices.phone.tasks.worlds import MORE_PEOPLE, SMALL_TALK, phone, phone_number


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
