"""Chats: conversations with people, answered in writing or, on a simple phone, by a ready reply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from devices.phone.apps.app import App
from devices.phone.apps.contacts import CONTACTS
from devices.phone.state import AppData, Page, PhoneState, pop, push, write
from devices.phone.view import Bubble, Button, Effect, Field, Row, Text, Tone, View

REPLIES: Final = ("yes", "no")
_NUM_SHOWN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    text: str
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A conversation with one person."""

    name: str
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatsData:
    """Conversations, the newest first."""

    chats: tuple[Chat, ...] = ()

    def with_person(self, name: str) -> Chat:
        """The conversation with a person; an empty one if there is none yet."""
        return next((chat for chat in self.chats if chat.name == name), Chat(name=name))


CHATS: Final = AppData("chats", ChatsData)


def send(state: PhoneState, name: str, text: str) -> PhoneState:
    """The phone after we wrote a message."""
    data = CHATS.get(state)
    old = data.with_person(name)
    new = replace(old, messages=(*old.messages, Message(text=text, ours=True)))
    if old in data.chats:
        chats = tuple(new if chat is old else chat for chat in data.chats)
    else:
        chats = (new, *data.chats)
    return CHATS.set(state, replace(data, chats=chats))


def last_reply(state: PhoneState, name: str) -> str:
    """The last message of a conversation if it is ours, else ""."""
    messages = CHATS.get(state).with_person(name).messages
    return messages[-1].text if messages and messages[-1].ours else ""


def _open(page: str, item: str = "") -> Effect:
    return lambda state: push(state, Page(app="chats", name=page, item=item))


def _start(name: str) -> Effect:
    """From the list of people to the conversation, which takes the list's place."""
    return lambda state: push(pop(state), Page(app="chats", name="chat", item=name))


def _send(name: str, text: str) -> Effect:
    return lambda state: send(state, name, text)


def _send_written(state: PhoneState) -> PhoneState:
    text = state.page.value("message").strip()
    return write(send(state, state.page.item, text), "message", "") if text else state


def _delete(name: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        chats = tuple(chat for chat in CHATS.get(state).chats if chat.name != name)
        return pop(CHATS.change(state, chats=chats))

    return effect


def _chat_view(state: PhoneState, name: str) -> View:
    messages = CHATS.get(state).with_person(name).messages[-_NUM_SHOWN:]
    bubbles = tuple(Bubble(text=message.text, ours=message.ours) for message in messages)
    if state.simple:
        replies = tuple(Button(name=text, tap=_send(name, text)) for text in REPLIES)
        return View(title=name, nodes=bubbles, footer=replies)
    submit = Button(name="send", icon="play", tone=Tone.PRIMARY, tap=_send_written)
    return View(title=name, nodes=bubbles, footer=(Field(name="message"), submit))


def _list_view(state: PhoneState) -> View:
    rows = []
    for chat in CHATS.get(state).chats:
        if state.simple:
            rows.append(Row(name=chat.name, icon="bubble", tap=_open("chat", chat.name)))
            continue
        last = chat.messages[-1].text if chat.messages else ""
        tap, hold = _open("chat", chat.name), _open("delete", chat.name)
        rows.append(Row(name=chat.name, avatar=True, detail=last, tap=tap, hold=hold))
    plus = None if state.simple else Button(name="new chat", icon="plus", tap=_open("new"))
    return View(title="chats", nodes=tuple(rows), plus=plus)


def _view(state: PhoneState, page: Page) -> View:
    match page.name:
        case "chat":
            return _chat_view(state, page.item)
        case "new":
            names = CONTACTS.get(state).names
            return View(
                title="chat with", nodes=tuple(Row(name=n, avatar=True, tap=_start(n)) for n in names)
            )
        case "delete":
            buttons = (
                Button(name="cancel", tap=pop),
                Button(name="ok", tone=Tone.PRIMARY, tap=_delete(page.item)),
            )
            return View(title="delete chat?", nodes=(Text(text=page.item),), footer=buttons, dialog=True)
        case _:
            return _list_view(state)


APP: Final = App(name="chats", icon="bubble", color="green", data=ChatsData, view=_view)
