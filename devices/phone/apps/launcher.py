"""The launcher, and the pop-ups of the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import LAUNCHER, SYSTEM, AppData, Page, PhoneState, open_app, pop
from devices.phone.view import Button, Effect, Text, Tile, Tone, View


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherData:
    """Names of the installed apps, in order of their tiles."""

    order: tuple[str, ...] = ()


HOME_SCREEN: Final = AppData(LAUNCHER, LauncherData)
POPUPS: Final = ("update", "battery low", "rate us")


def app_opener(name: str) -> Effect:
    """Open an app at its first page."""
    return lambda state: open_app(state, name)


def popup_view(state: PhoneState, page: Page) -> View:
    """A notice that nobody asked for."""
    later = Button(name="close", tone=Tone.PRIMARY, tap=pop)
    return View(title="notice", nodes=(Text(text=page.item),), footer=(later,), dialog=True)


def launcher_view(state: PhoneState, apps: dict[str, App]) -> View:
    """The tiles of the installed apps."""
    order = HOME_SCREEN.get(state).order
    tiles = tuple(
        Tile(name=name, icon=apps[name].icon, color=apps[name].color, tap=app_opener(name)) for name in order
    )
    return View(nodes=tiles)


SYSTEM_APP: Final = App(name=SYSTEM, icon="bell", color="gray", data=LauncherData, view=popup_view)
