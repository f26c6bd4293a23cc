"""Settings: sections of switches and of choices; on a simple phone one list of switches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, push
from devices.phone.view import Effect, Node, Row, View

SWITCHES: Final = ("wifi", "bluetooth", "sound", "dark", "location")
SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "network": ("wifi", "bluetooth", "mobile data", "hotspot", "flight mode"),
    "display": ("dark", "auto rotate", "night light"),
    "sound": ("sound", "vibration", "touch sounds"),
    "privacy": ("location", "camera access", "usage data"),
    "battery": ("battery saver", "show percent"),
    "language": (),
    "about": (),
}
SECTION_ICONS: Final[dict[str, str]] = {
    "network": "wifi", "display": "sun", "sound": "bell", "privacy": "lock", "battery": "battery",
    "language": "bubble", "about": "phone",
}  # fmt: skip
OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "brightness": ("low", "medium", "high"),
    "text size": ("small", "normal", "large"),
    "ringtone": ("bells", "waves", "piano", "birds", "silence"),
    "language": (
        "arabic", "czech", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hindi",
        "italian", "japanese", "korean", "polish", "spanish", "swahili", "thai", "turkish",
    ),
}  # fmt: skip
"""Choices by name; a choice belongs to the section of `OPTION_SECTIONS`."""
OPTION_SECTIONS: Final[dict[str, str]] = {
    "brightness": "display",
    "text size": "display",
    "ringtone": "sound",
    "language": "language",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which option of a choice is set."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsData:
    """The switches of a simple phone in order, which switches are on, and what is chosen."""

    order: tuple[str, ...] = SWITCHES
    on: tuple[str, ...] = ()
    chosen: tuple[Chosen, ...] = ()


SETTINGS: Final = AppData("settings", SettingsData)


def is_on(state: PhoneState, switch: str) -> bool:
    """Whether a setting is on."""
    return switch in SETTINGS.get(state).on


def with_switch(state: PhoneState, switch: str, on: bool) -> PhoneState:
    """The phone with a setting on or off."""
    rest = tuple(name for name in SETTINGS.get(state).on if name != switch)
    return SETTINGS.change(state, on=tuple(sorted((*rest, switch))) if on else rest)


def chosen_option(state: PhoneState, name: str) -> str | None:
    """What was chosen; None where nothing was."""
    return next((one.value for one in SETTINGS.get(state).chosen if one.name == name), None)


def option(state: PhoneState, name: str) -> str:
    """What is chosen; the first option where nothing was."""
    return chosen_option(state, name) or OPTIONS[name][0]


def with_option(state: PhoneState, name: str, value: str) -> PhoneState:
    """The phone with another option chosen."""
    rest = [one for one in SETTINGS.get(state).chosen if one.name != name]
    chosen = sorted((*rest, Chosen(name=name, value=value)), key=lambda one: one.name)
    return SETTINGS.change(state, chosen=tuple(chosen))


def section_of(switch: str) -> str:
    """The section that a switch is in."""
    return next(section for section, switches in SECTIONS.items() if switch in switches)


def _toggle(switch: str) -> Effect:
    return lambda state: with_switch(state, switch, not is_on(state, switch))


def _choose(name: str, value: str) -> Effect:
    return lambda state: with_option(state, name, value)


def _open(page: str, item: str) -> Effect:
    return lambda state: push(state, Page(app="settings", name=page, item=item))


def _option_rows(state: PhoneState, name: str) -> tuple[Node, ...]:
    chosen = option(state, name)
    return tuple(Row(name=value, check=value == chosen, tap=_choose(name, value)) for value in OPTIONS[name])


def _section_rows(state: PhoneState, section: str) -> tuple[Node, ...]:
    if section == "about":
        return (Row(name="model", detail="virtual"), Row(name="system", detail="1.0"))
    if section in OPTIONS:
        return _option_rows(state, section)
    switches = tuple(Row(name=n, switch=is_on(state, n), tap=_toggle(n)) for n in SECTIONS[section])
    options = tuple(
        Row(name=name, detail=option(state, name), tap=_open("option", name))
        for name, owner in OPTION_SECTIONS.items()
        if owner == section
    )
    return switches + options


def _view(state: PhoneState, page: Page) -> View:
    match page.name:
        case "section":
            return View(title=page.item, nodes=_section_rows(state, page.item))
        case "option":
            return View(title=page.item, nodes=_option_rows(state, page.item))
    if state.simple:
        rows = tuple(Row(name=n, switch=is_on(state, n), tap=_toggle(n)) for n in SETTINGS.get(state).order)
    else:
        rows = tuple(Row(name=n, icon=SECTION_ICONS[n], tap=_open("section", n)) for n in SECTIONS)
    return View(title="settings", nodes=rows)


APP: Final = App(name="settings", icon="gear", color="gray", data=SettingsData, view=_view)
