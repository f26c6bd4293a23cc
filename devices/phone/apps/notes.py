"""Notes: short texts that can be written, read, pinned and deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, pop, push
from devices.phone.view import Button, Effect, Field, Row, Text, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A title and a line of text."""

    title: str
    text: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesData:
    """Notes in order; pinned ones are shown first."""

    notes: tuple[Note, ...] = ()

    @property
    def titles(self) -> tuple[str, ...]:
        """All titles, in order."""
        return tuple(note.title for note in self.notes)

    def note(self, title: str) -> Note:
        """A note by title; an empty one if there is none."""
        return next((note for note in self.notes if note.title == title), Note(title=title))


NOTES: Final = AppData("notes", NotesData)


def _open(page: str, item: str = "") -> Effect:
    return lambda state: push(state, Page(app="notes", name=page, item=item))


def _delete(title: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        notes = tuple(note for note in NOTES.get(state).notes if note.title != title)
        return pop(NOTES.change(state, notes=notes), 2)

    return effect


def _save(state: PhoneState) -> PhoneState:
    title, text = state.page.value("title").strip(), state.page.value("text").strip()
    if not title:
        return state
    rest = tuple(note for note in NOTES.get(state).notes if note.title != title)
    return pop(NOTES.change(state, notes=(Note(title=title, text=text), *rest)))


def _toggle_pin(title: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        notes = tuple(
            replace(note, pinned=not note.pinned) if note.title == title else note
            for note in NOTES.get(state).notes
        )
        return NOTES.change(state, notes=notes)

    return effect


def _note_view(state: PhoneState, title: str) -> View:
    delete = Button(name="delete", icon="bin", tone=Tone.DANGER, tap=_open("delete", title))
    if state.simple:
        return View(title="note", nodes=(Text(text=title, large=True),), footer=(delete,))
    note = NOTES.get(state).note(title)
    pin = Button(name="unpin" if note.pinned else "pin", icon="star", tap=_toggle_pin(title))
    nodes = (Text(text=title, large=True), Text(text=note.text or "empty"))
    return View(title="note", nodes=nodes, footer=(pin, delete))


def _view(state: PhoneState, page: Page) -> View:
    title = page.item
    match page.name:
        case "note":
            return _note_view(state, title)
        case "delete":
            buttons = (
                Button(name="cancel", tap=pop),
                Button(name="ok", tone=Tone.PRIMARY, tap=_delete(title)),
            )
            return View(title="delete?", nodes=(Text(text=title),), footer=buttons, dialog=True)
        case "new":
            save = Button(name="save", icon="check", tone=Tone.PRIMARY, tap=_save)
            return View(title="new note", nodes=(Field(name="title"), Field(name="text")), footer=(save,))
    notes = sorted(NOTES.get(state).notes, key=lambda note: not note.pinned)
    rows = tuple(
        Row(name=note.title, icon="star" if note.pinned else "note", tap=_open("note", note.title))
        for note in notes
    )
    plus = None if state.simple else Button(name="new note", icon="plus", tap=_open("new"))
    return View(title="notes", nodes=rows, plus=plus)


APP: Final = App(name="notes", icon="note", color="yellow", data=NotesData, view=_view)
