"""Contacts: people, their numbers, and calls to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, pop, push
from devices.phone.view import Button, Effect, Field, Hero, Row, Text, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody's number, and whether they are a favourite."""

    name: str
    number: str = ""
    favourite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsData:
    """People in order, and whom a call is running to ("" for none)."""

    people: tuple[Person, ...] = ()
    calling: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody's name, in order."""
        return tuple(person.name for person in self.people)

    def person(self, name: str) -> Person:
        """Somebody by name; a stranger without a number if there is no such person."""
        return next((person for person in self.people if person.name == name), Person(name=name))


CONTACTS: Final = AppData("contacts", ContactsData)


def call(name: str) -> Effect:
    """Start a call and show it."""
    return lambda state: push(
        CONTACTS.change(state, calling=name), Page(app="contacts", name="call", item=name)
    )


def chat_with(name: str) -> Effect:
    """Switch to the conversation with a person."""

    def effect(state: PhoneState) -> PhoneState:
        pages = (Page(app="chats"), Page(app="chats", name="chat", item=name))
        return replace(state, stack=(state.stack[0], *pages))

    return effect


def _end(state: PhoneState) -> PhoneState:
    return pop(CONTACTS.change(state, calling=""))


def _open(page: str, item: str = "") -> Effect:
    return lambda state: push(state, Page(app="contacts", name=page, item=item))


def _save(state: PhoneState) -> PhoneState:
    name, number = state.page.value("name").strip(), state.page.value("number").strip()
    if not name:
        return state
    data = CONTACTS.get(state)
    rest = tuple(person for person in data.people if person.name != name)
    return pop(CONTACTS.change(state, people=(*rest, Person(name=name, number=number))))


def _delete(name: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        people = tuple(person for person in CONTACTS.get(state).people if person.name != name)
        return pop(CONTACTS.change(state, people=people), 2)

    return effect


def _toggle_favourite(name: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        people = tuple(
            replace(person, favourite=not person.favourite) if person.name == name else person
            for person in CONTACTS.get(state).people
        )
        return CONTACTS.change(state, people=people)

    return effect


def _contact_view(state: PhoneState, name: str) -> View:
    footer = (
        Button(name="call", icon="phone", tone=Tone.PRIMARY, tap=call(name)),
        Button(name="chat", icon="bubble", tap=chat_with(name)),
    )
    picture = (Hero(name=name), Text(text=name, large=True))
    if state.simple:
        return View(title="contact", nodes=picture, footer=footer)
    person = CONTACTS.get(state).person(name)
    nodes = (
        *picture,
        Row(name=person.number or "no number", icon="phone"),
        Row(name="favourite", icon="star", switch=person.favourite, tap=_toggle_favourite(name)),
        Row(name="delete contact", icon="bin", tap=_open("delete", name)),
    )
    return View(title="contact", nodes=nodes, footer=footer)


def _view(state: PhoneState, page: Page) -> View:
    name = page.item
    match page.name:
        case "contact":
            return _contact_view(state, name)
        case "call":
            end = Button(name="end", icon="phone", tone=Tone.DANGER, tap=_end)
            nodes = (Hero(name=name), Text(text=name, large=True), Text(text="calling"))
            return View(title="call", nodes=nodes, footer=(end,))
        case "new":
            save = Button(name="save", icon="check", tone=Tone.PRIMARY, tap=_save)
            fields = (Field(name="name"), Field(name="number"))
            return View(title="new contact", nodes=fields, footer=(save,))
        case "delete":
            buttons = (
                Button(name="cancel", tap=pop),
                Button(name="ok", tone=Tone.PRIMARY, tap=_delete(name)),
            )
            return View(title="delete?", nodes=(Text(text=name),), footer=buttons, dialog=True)
    people = CONTACTS.get(state).people
    rows = tuple(
        Row(
            name=person.name,
            avatar=True,
            detail="favourite" if person.favourite and not state.simple else "",
            tap=_open("contact", person.name),
        )
        for person in people
    )
    plus = None if state.simple else Button(name="new contact", icon="plus", tap=_open("new"))
    return View(title="contacts", nodes=rows, plus=plus)


APP: Final = App(name="contacts", icon="person", color="blue", data=ContactsData, view=_view)
