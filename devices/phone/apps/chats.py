"""Chats: conversations with people, answered by a short reply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, push
from devices.phone.view import Bubble, Button, Effect, Row, View

REPLIES: Final = ("yes", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    text: str = ""
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A conversation with one person."""

    name: str = ""
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


def _open(name: str) -> Effect:
    return lambda state: push(state, Page(app="chats", name="chat", item=name))


def _send(name: str, text: str) -> Effect:
    return lambda state: send(state, name, text)


def _view(state: PhoneState, page: Page) -> View:
    data = CHATS.get(state)
    if page.name == "chat":
        messages = data.with_person(page.item).messages[-4:]
        bubbles = tuple(Bubble(text=message.text, ours=message.ours) for message in messages)
        replies = tuple(Button(name=text, tap=_send(page.item, text)) for text in REPLIES)
        return View(title=page.item, nodes=bubbles, footer=replies)
    rows = tuple(Row(name=chat.name, icon="bubble", tap=_open(chat.name)) for chat in data.chats)
    return View(title="chats", nodes=rows)


APP: Final = App(name="chats", icon="bubble", color="green", data=ChatsData, view=_view)
