"""Clock: alarms that are on or off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState
from devices.phone.view import Effect, Row, View


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockData:
    """Alarms in order, and which of them are on."""

    alarms: tuple[str, ...] = ()
    on: tuple[str, ...] = ()


CLOCK: Final = AppData("clock", ClockData)


def alarm_is_on(state: PhoneState, alarm: str) -> bool:
    """Whether an alarm is on."""
    return alarm in CLOCK.get(state).on


def with_alarm(state: PhoneState, alarm: str, on: bool) -> PhoneState:
    """The phone with an alarm on or off."""
    rest = tuple(name for name in CLOCK.get(state).on if name != alarm)
    return CLOCK.change(state, on=tuple(sorted((*rest, alarm))) if on else rest)


def _toggle(alarm: str) -> Effect:
    return lambda state: with_alarm(state, alarm, not alarm_is_on(state, alarm))


def _view(state: PhoneState, page: Page) -> View:
    rows = tuple(
        Row(name=alarm, icon="bell", switch=alarm_is_on(state, alarm), tap=_toggle(alarm))
        for alarm in CLOCK.get(state).alarms
    )
    return View(title="clock", nodes=rows)


APP: Final = App(name="clock", icon="clock", color="red", data=ClockData, view=_view)
