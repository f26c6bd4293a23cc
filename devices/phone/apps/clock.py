"""Clock: alarms that are on or off, and a timer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState, pop, push
from devices.phone.view import Button, Effect, Row, Text, Tone, View

HOURS: Final = tuple(f"{hour}:00" for hour in range(24))
TIMERS: Final = ("1 minute", "5 minutes", "10 minutes", "20 minutes", "30 minutes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockData:
    """Alarms in order, which of them are on, and the timer that runs ("" for none)."""

    alarms: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    timer: str = ""


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


def _open(page: str, item: str = "") -> Effect:
    return lambda state: push(state, Page(app="clock", name=page, item=item))


def _add(alarm: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        rest = [one for one in CLOCK.get(state).alarms if one != alarm]
        return pop(with_alarm(CLOCK.change(state, alarms=(alarm, *rest)), alarm, True))

    return effect


def _delete(alarm: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        alarms = tuple(one for one in CLOCK.get(state).alarms if one != alarm)
        return pop(CLOCK.change(with_alarm(state, alarm, False), alarms=alarms))

    return effect


def _set_timer(length: str) -> Effect:
    return lambda state: CLOCK.change(state, timer=length)


def _timer_view(state: PhoneState) -> View:
    running = CLOCK.get(state).timer
    if running:
        stop = Button(name="stop timer", icon="stop", tone=Tone.DANGER, tap=_set_timer(""))
        return View(
            title="timer", nodes=(Text(text=running, large=True), Text(text="running")), footer=(stop,)
        )
    return View(title="timer", nodes=tuple(Row(name=n, icon="clock", tap=_set_timer(n)) for n in TIMERS))


def _view(state: PhoneState, page: Page) -> View:
    match page.name:
        case "new":
            return View(title="new alarm", nodes=tuple(Row(name=hour, tap=_add(hour)) for hour in HOURS))
        case "timer":
            return _timer_view(state)
        case "delete":
            buttons = (
                Button(name="cancel", tap=pop),
                Button(name="ok", tone=Tone.PRIMARY, tap=_delete(page.item)),
            )
            return View(title="delete alarm?", nodes=(Text(text=page.item),), footer=buttons, dialog=True)
    hold = None if state.simple else _open
    rows = tuple(
        Row(
            name=alarm,
            icon="bell",
            switch=alarm_is_on(state, alarm),
            tap=_toggle(alarm),
            hold=hold and hold("delete", alarm),
        )
        for alarm in CLOCK.get(state).alarms
    )
    if state.simple:
        return View(title="clock", nodes=rows)
    footer = (
        Button(name="new alarm", icon="plus", tone=Tone.PRIMARY, tap=_open("new")),
        Button(name="timer", icon="clock", tap=_open("timer")),
    )
    return View(title="clock", nodes=rows, footer=footer)


APP: Final = App(name="clock", icon="clock", color="red", data=ClockData, view=_view)
