"""Notes: short texts that can be read and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, pop, push
from devices.phone.view import Button, Effect, Row, Text, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesData:
    """Titles in order."""

    titles: tuple[str, ...] = ()


NOTES: Final = AppData("notes", NotesData)


def _open(title: str) -> Effect:
    return lambda state: push(state, Page(app="notes", name="note", item=title))


def _ask_delete(title: str) -> Effect:
    return lambda state: push(state, Page(app="notes", name="delete", item=title))


def _delete(title: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        titles = tuple(one for one in NOTES.get(state).titles if one != title)
        return pop(NOTES.change(state, titles=titles), 2)

    return effect


def _view(state: PhoneState, page: Page) -> View:
    title = page.item
    match page.name:
        case "note":
            delete = Button(name="delete", icon="bin", tone=Tone.DANGER, tap=_ask_delete(title))
            return View(title="note", nodes=(Text(text=title, large=True),), footer=(delete,))
        case "delete":
            buttons = (
                Button(name="cancel", tap=pop),
                Button(name="ok", tone=Tone.PRIMARY, tap=_delete(title)),
            )
            return View(title="delete?", nodes=(Text(text=title),), footer=buttons, dialog=True)
        case _:
            rows = tuple(Row(name=one, icon="note", tap=_open(one)) for one in NOTES.get(state).titles)
            return View(title="notes", nodes=rows)


APP: Final = App(name="notes", icon="note", color="yellow", data=NotesData, view=_view)
