"""Settings: a list of switches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState
from devices.phone.view import Effect, Row, View

SWITCHES: Final = ("wifi", "bluetooth", "sound", "dark", "location")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsData:
    """Which switches there are, in order, and which of them are on."""

    order: tuple[str, ...] = SWITCHES
    on: tuple[str, ...] = ()


SETTINGS: Final = AppData("settings", SettingsData)


def is_on(state: PhoneState, switch: str) -> bool:
    """Whether a setting is on."""
    return switch in SETTINGS.get(state).on


def with_switch(state: PhoneState, switch: str, on: bool) -> PhoneState:
    """The phone with a setting on or off."""
    rest = tuple(name for name in SETTINGS.get(state).on if name != switch)
    return SETTINGS.change(state, on=tuple(sorted((*rest, switch))) if on else rest)


def _toggle(switch: str) -> Effect:
    return lambda state: with_switch(state, switch, not is_on(state, switch))


def _view(state: PhoneState, page: Page) -> View:
    rows = tuple(Row(name=n, switch=is_on(state, n), tap=_toggle(n)) for n in SETTINGS.get(state).order)
    return View(title="settings", nodes=rows)


APP: Final = App(name="settings", icon="gear", color="gray", data=SettingsData, view=_view)
