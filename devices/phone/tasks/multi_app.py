"""Templates that carry something from one app to another.

The expert looks at the source first, even where it could know the answer: a demonstration should hold
everything that the next action depends on.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from devices.phone.apps.calculator import value_of
from devices.phone.apps.chats import CHATS, Message, last_reply
from devices.phone.apps.clock import CLOCK, HOURS, alarm_is_on
from devices.phone.apps.contacts import CONTACTS
from devices.phone.apps.music import MUSIC
from devices.phone.apps.notes import NOTES, Note
from devices.phone.apps.settings import is_on, with_switch
from devices.phone.apps.shop import SHOP
from devices.phone.state import PhoneState
from devices.phone.tasks.daily_tasks import (
    adding_alarm,
    noting,
    playing,
    to_note,
)
from devices.phone.tasks.goods_tasks import (
    all_files,
    computing,
    deleting_file,
    expression_of,
    filling_cart,
    ordering,
    to_product,
)
from devices.phone.tasks.people_tasks import (
    calling,
    saving_contact,
    writing,
)
from devices.phone.tasks.plan import Move, Plan, reading, step, way
from devices.phone.tasks.settings_tasks import (
    SWITCH_NAMES,
    switching,
)
from devices.phone.tasks.task import Build
from devices.phone.tasks.worlds import MORE_PEOPLE, NOTE_TEXTS, phone, phone_number


def _with_message(state: PhoneState, name: str, text: str) -> PhoneState:
    """The phone after a person of the chats wrote something."""
    chats = tuple(
        replace(chat, messages=(*chat.messages, Message(text=text))) if chat.name == name else chat
        for chat in CHATS.get(state).chats
    )
    return CHATS.change(state, chats=chats)


def _with_note(state: PhoneState, title: str, text: str) -> PhoneState:
    rest = tuple(note for note in NOTES.get(state).notes if note.title != title)
    return NOTES.change(state, notes=(*rest, Note(title=title, text=text)))


def forward_note(rng: random.Random) -> Plan:
    """Send somebody what a note says."""
    start = phone(rng)
    title, text = rng.choice(NOTES.get(start).titles), rng.choice(NOTE_TEXTS)
    name = rng.choice(CHATS.get(start).chats).name
    return Plan(
        goal=f"send the text of the note {title} to {name}",
        start=_with_note(start, title, text),
        done=lambda state: last_reply(state, name) == text,
        route=lambda state: reading(state, to_note(title)) or writing(state, name, text),
    )


def call_writer(rng: random.Random) -> Plan:
    """Call the person who asked for it in a chat."""
    start = phone(rng)
    name = rng.choice(CHATS.get(start).chats).name
    return Plan(
        goal='call the person who wrote "please call me"',
        start=_with_message(start, name, "please call me"),
        done=lambda state: CONTACTS.get(state).calling == name,
        route=lambda state: reading(state, way("chats")) or calling(state, name),
    )


def note_price(rng: random.Random) -> Plan:
    """Write down what a product costs."""
    start = phone(rng)
    product = rng.choice(SHOP.get(start).products)
    text = f"{product.price} coins"
    return Plan(
        goal=f'write a note "{product.name}" with its price in the shop, for instance "5 coins"',
        start=start,
        done=lambda state: NOTES.get(state).note(product.name).text == text,
        route=lambda state: reading(state, to_product(product.name)) or noting(state, product.name, text),
    )


def alarm_from_note(rng: random.Random) -> Plan:
    """Set an alarm for the time that a note gives."""
    start = phone(rng)
    hour = rng.choice([one for one in HOURS if one not in CLOCK.get(start).alarms])
    return Plan(
        goal="add an alarm at the time in the note departure",
        start=_with_note(start, "departure", f"leave at {hour}"),
        done=lambda state: alarm_is_on(state, hour),
        route=lambda state: reading(state, to_note("departure")) or adding_alarm(state, hour),
    )


def contact_from_chat(rng: random.Random) -> Plan:
    """Save the number that somebody wrote."""
    start = phone(rng)
    name = rng.choice([one for one in MORE_PEOPLE if one not in CONTACTS.get(start).names])
    writer = rng.choice(CHATS.get(start).chats).name
    number = phone_number(rng)
    source = way("chats", step("chats", "chat", writer))
    return Plan(
        goal=f"add the contact {name} with the number that {writer} wrote",
        start=_with_message(start, writer, f"{name} has {number}"),
        done=lambda state: CONTACTS.get(state).person(name).number == number,
        route=lambda state: reading(state, source) or saving_contact(state, name, number),
    )


def switch_and_play(rng: random.Random) -> Plan:
    """Change a setting, then play a song."""
    start = phone(rng)
    switch, title = rng.choice(SWITCH_NAMES), rng.choice(MUSIC.get(start).songs)
    return Plan(
        goal=f"turn on {switch} and play {title}",
        start=with_switch(start, switch, False),
        done=lambda state: is_on(state, switch) and playing(state, title) is None,
        route=lambda state: switching(state, switch, True) or playing(state, title),
    )


def compute_and_send(rng: random.Random) -> Plan:
    """Send somebody the result of a calculation."""
    start = phone(rng)
    expression, name = expression_of(rng), rng.choice(CHATS.get(start).chats).name
    result = value_of(expression)

    return Plan(
        goal=f"compute {expression} with the calculator and send the result to {name}",
        start=start,
        done=lambda state: last_reply(state, name) == result,
        route=lambda state: computing(state, expression) or writing(state, name, result),
    )


def tell_price_to(rng: random.Random) -> Plan:
    """Tell somebody what a product costs."""
    start = phone(rng)
    product, name = rng.choice(SHOP.get(start).products), rng.choice(CHATS.get(start).chats).name
    text = f"{product.price} coins"
    return Plan(
        goal=f'tell {name} the price of the {product.name}, for instance "5 coins"',
        start=start,
        done=lambda state: last_reply(state, name) == text,
        route=lambda state: reading(state, to_product(product.name)) or writing(state, name, text),
    )


def order_from_chat(rng: random.Random) -> Plan:
    """Order what somebody asked for."""
    start = phone(rng)
    product, name = rng.choice(SHOP.get(start).products).name, rng.choice(CHATS.get(start).chats).name
    source = way("chats", step("chats", "chat", name))
    return Plan(
        goal=f"order in the shop what {name} asks for",
        start=_with_message(start, name, f"please buy a {product}"),
        done=lambda state: SHOP.get(state).ordered == (product,),
        route=lambda state: reading(state, source) or ordering(state, product),
    )


def cart_from_note(rng: random.Random) -> Plan:
    """Put into the cart what a note lists."""
    start = phone(rng)
    first, second = (product.name for product in rng.sample(SHOP.get(start).products, 2))
    return Plan(
        goal="put into the cart what the note shopping lists",
        start=_with_note(start, "shopping", f"{first} and {second}"),
        done=lambda state: set(SHOP.get(state).cart) == {first, second},
        route=lambda state: reading(state, to_note("shopping")) or filling_cart(state, first, second),
    )


def delete_noted_file(rng: random.Random) -> Plan:
    """Delete the file that a note names."""
    start = phone(rng)
    file = rng.choice(sorted(all_files(start)))
    rest = all_files(start) - {file}

    def route(state: PhoneState) -> Move | None:
        if not rest <= all_files(state):
            return None
        return reading(state, to_note("cleanup")) or deleting_file(state, file)

    return Plan(
        goal="delete the file that the note cleanup names",
        start=_with_note(start, "cleanup", f"delete {file}"),
        done=lambda state: all_files(state) == rest,
        route=route,
    )


MULTI_APP_TEMPLATES: Final[dict[str, Build]] = {
    "forward_note": forward_note,
    "call_writer": call_writer,
    "note_price": note_price,
    "alarm_from_note": alarm_from_note,
    "contact_from_chat": contact_from_chat,
    "switch_and_play": switch_and_play,
    "compute_and_send": compute_and_send,
    "tell_price_to": tell_price_to,
    "order_from_chat": order_from_chat,
    "cart_from_note": cart_from_note,
    "delete_noted_file": delete_noted_file,
}
