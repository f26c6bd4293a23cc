"""Templates about settings and the launcher."""

from __future__ import annotations

import random
from typing import Final

from devices.phone.apps.launcher import HOME_SCREEN
from devices.phone.apps.settings import (
    OPTION_SECTIONS,
    OPTIONS,
    SECTIONS,
    is_on,
    option,
    section_of,
    with_option,
    with_switch,
)
from devices.phone.state import PhoneState, open_app
from devices.phone.tasks.plan import (
    Move,
    Plan,
    Stop,
    Tap,
    at,
    step,
    towards,
    way,
)
from devices.phone.tasks.worlds import phone

SWITCH_NAMES: Final = tuple(name for names in SECTIONS.values() for name in names)


def to_section(section: str) -> tuple[Stop, ...]:
    """The way to a section of the settings."""
    return way("settings", step("settings", "section", section))


def switching(state: PhoneState, switch: str, on: bool) -> Move | None:
    """The next move to bring a switch into position; None when it is."""
    if is_on(state, switch) is on:
        return None
    return towards(state, to_section(section_of(switch))) or Tap(name=switch)


def set_switch(rng: random.Random) -> Plan:
    """Turn one setting on or off."""
    switch, on = rng.choice(SWITCH_NAMES), rng.random() < 0.5
    return Plan(
        goal=f"turn {on_off(on)} {switch}",
        start=with_switch(phone(rng), switch, not on),
        done=lambda state: is_on(state, switch) is on,
        route=lambda state: switching(state, switch, on),
    )


def set_two_switches(rng: random.Random) -> Plan:
    """Turn two settings on or off."""
    (first, second), on = rng.sample(SWITCH_NAMES, 2), rng.random() < 0.5
    return Plan(
        goal=f"turn {on_off(on)} {first} and {second}",
        start=with_switch(with_switch(phone(rng), first, not on), second, not on),
        done=lambda state: is_on(state, first) is is_on(state, second) is on,
        route=lambda state: switching(state, first, on) or switching(state, second, on),
    )


def on_off(on: bool) -> str:
    """The word for a position of a switch."""
    return "on" if on else "off"


def _set_option(rng: random.Random, name: str) -> Plan:
    wanted, before = rng.sample(OPTIONS[name], 2)
    section = OPTION_SECTIONS[name]
    stops = to_section(section)
    if name != section:
        stops = (*stops, step("settings", "option", name))
    return Plan(
        goal=f"set the {name} to {wanted}",
        start=with_option(phone(rng), name, before),
        done=lambda state: option(state, name) == wanted,
        route=lambda state: towards(state, stops) or Tap(name=wanted),
    )


def set_brightness(rng: random.Random) -> Plan:
    """Choose a brightness or a text size."""
    return _set_option(rng, rng.choice(("brightness", "text size")))


def set_ringtone(rng: random.Random) -> Plan:
    """Choose a ringtone."""
    return _set_option(rng, "ringtone")


def set_language(rng: random.Random) -> Plan:
    """Choose a language from a list longer than the screen."""
    return _set_option(rng, "language")


def open_an_app(rng: random.Random) -> Plan:
    """Open an app, from the launcher or from another app."""
    start = phone(rng)
    app, other = rng.sample(HOME_SCREEN.get(start).order, 2)
    if rng.random() < 0.5:
        start = open_app(start, other)
    return Plan(
        goal=f"open {app}",
        start=start,
        done=lambda state: at(state, app),
        route=lambda state: towards(state, way(app)),
    )
