"""Contacts: people, and calls to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, pop, push
from devices.phone.view import Button, Effect, Hero, Row, Text, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsData:
    """Names in order, and whom a call is running to ("" for none)."""

    names: tuple[str, ...] = ()
    calling: str = ""


CONTACTS: Final = AppData("contacts", ContactsData)


def call(name: str) -> Effect:
    """Start a call and show it."""
    return lambda state: push(
        CONTACTS.change(state, calling=name), Page(app="contacts", name="call", item=name)
    )


def _end(state: PhoneState) -> PhoneState:
    return pop(CONTACTS.change(state, calling=""))


def chat_with(name: str) -> Effect:
    """Switch to the conversation with a person."""

    def effect(state: PhoneState) -> PhoneState:
        pages = (Page(app="chats"), Page(app="chats", name="chat", item=name))
        return replace(state, stack=(state.stack[0], *pages))

    return effect


def _open(name: str) -> Effect:
    return lambda state: push(state, Page(app="contacts", name="contact", item=name))


def _view(state: PhoneState, page: Page) -> View:
    name = page.item
    match page.name:
        case "contact":
            actions = (
                Button(name="call", icon="phone", tone=Tone.PRIMARY, tap=call(name)),
                Button(name="chat", icon="bubble", tap=chat_with(name)),
            )
            return View(title="contact", nodes=(Hero(name=name), Text(text=name, large=True)), footer=actions)
        case "call":
            end = Button(name="end", icon="phone", tone=Tone.DANGER, tap=_end)
            nodes = (Hero(name=name), Text(text=name, large=True), Text(text="calling"))
            return View(title="call", nodes=nodes, footer=(end,))
        case _:
            rows = tuple(Row(name=n, avatar=True, tap=_open(n)) for n in CONTACTS.get(state).names)
            return View(title="contacts", nodes=rows)


APP: Final = App(name="contacts", icon="person", color="blue", data=ContactsData, view=_view)
