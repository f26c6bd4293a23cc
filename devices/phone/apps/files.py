"""Files: folders of files that can be moved and deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, pop, push
from devices.phone.view import Button, Effect, Hero, Row, Text, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder and the names of its files, in order."""

    name: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesData:
    """Folders in order. A file's name occurs once on the whole phone."""

    folders: tuple[Folder, ...] = ()

    def folder_of(self, file: str) -> str:
        """The folder that a file is in; "" if there is no such file."""
        return next((folder.name for folder in self.folders if file in folder.files), "")


FILES: Final = AppData("files", FilesData)


def without_file(state: PhoneState, file: str) -> PhoneState:
    """The phone without a file."""
    folders = tuple(
        replace(folder, files=tuple(one for one in folder.files if one != file))
        for folder in FILES.get(state).folders
    )
    return FILES.change(state, folders=folders)


def moved(state: PhoneState, file: str, target: str) -> PhoneState:
    """The phone with a file in another folder."""
    state = without_file(state, file)
    folders = tuple(
        replace(folder, files=(*folder.files, file)) if folder.name == target else folder
        for folder in FILES.get(state).folders
    )
    return FILES.change(state, folders=folders)


def _open(page: str, item: str = "") -> Effect:
    return lambda state: push(state, Page(app="files", name=page, item=item))


def _delete(file: str) -> Effect:
    return lambda state: pop(without_file(state, file), 2)


def _move(file: str, target: str) -> Effect:
    return lambda state: pop(moved(state, file, target), 2)


def _view(state: PhoneState, page: Page) -> View:
    data, item = FILES.get(state), page.item
    match page.name:
        case "folder":
            files = next((folder.files for folder in data.folders if folder.name == item), ())
            rows = tuple(Row(name=file, icon="note", tap=_open("file", file)) for file in files)
            return View(title=item, nodes=rows or (Text(text="empty"),))
        case "file":
            footer = (
                Button(name="move", icon="folder", tap=_open("move", item)),
                Button(name="delete", icon="bin", tone=Tone.DANGER, tap=_open("delete", item)),
            )
            nodes = (Hero(name=item, icon="note"), Text(text=item, large=True))
            return View(title="file", nodes=nodes, footer=footer)
        case "move":
            targets = [folder.name for folder in data.folders if item not in folder.files]
            rows = tuple(Row(name=name, icon="folder", tap=_move(item, name)) for name in targets)
            return View(title="move to", nodes=rows)
        case "delete":
            buttons = (
                Button(name="cancel", tap=pop),
                Button(name="ok", tone=Tone.PRIMARY, tap=_delete(item)),
            )
            return View(title="delete?", nodes=(Text(text=item),), footer=buttons, dialog=True)
    rows = tuple(
        Row(
            name=folder.name,
            icon="folder",
            detail="1 file" if len(folder.files) == 1 else f"{len(folder.files)} files",
            tap=_open("folder", folder.name),
        )
        for folder in data.folders
    )
    return View(title="files", nodes=rows)


APP: Final = App(name="files", icon="folder", color="teal", data=FilesData, view=_view)
