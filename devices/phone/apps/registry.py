"""The table of apps. A new app is one file and one line here."""

from __future__ import annotations

from typing import Final

from devices.phone.apps import (
    calculator,
    chats,
    clock,
    contacts,
    files,
    launcher,
    music,
    notes,
    settings,
    shop,
)
from devices.phone.apps.app import App
from devices.phone.state import LAUNCHER, Page, PhoneState
from devices.phone.view import View

_MODULES: Final = (settings, contacts, chats, notes, clock, music, calculator, files, shop)
APPS: Final[dict[str, App]] = {module.APP.name: module.APP for module in _MODULES}
APP_DATA_TYPES: Final[dict[str, type]] = {
    LAUNCHER: launcher.LauncherData,
    **{name: app.data for name, app in APPS.items()},
}


def view_of(state: PhoneState, page: Page) -> View:
    """What a page of any app shows."""
    if page.app == LAUNCHER:
        return launcher.launcher_view(state, APPS)
    if page.app == launcher.SYSTEM_APP.name:
        return launcher.popup_view(state, page)
    return APPS[page.app].view(state, page)
