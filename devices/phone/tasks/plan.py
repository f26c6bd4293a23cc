"""How a task says what is to be done: moves, routes, and the way from page to page.

A route looks at the current state alone and names the next move, so it answers from wherever the
agent has got to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devices.phone.state import LAUNCHER, Page, PhoneState
from gui_agent.actions import Button


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """Touch the widget of this name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Press a button of the system."""

    button: Button


@dataclass(frozen=True, slots=True, kw_only=True)
class Enter:
    """Write this text where the focus is."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Press the widget of this name for long."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Tell the user this answer."""

    text: str


Move = Tap | Hold | Press | Enter | Say
Route = Callable[[PhoneState], "Move | None"]
Condition = Callable[[PhoneState], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One instance of a template.

    Attributes:
        goal: what the agent is told.
        start: the phone at the beginning.
        done: whether the goal is reached.
        route: the next move towards it; None if there is no way any more.
    """

    goal: str
    start: PhoneState
    done: Condition
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One page of a way, and the widget on the page before that leads to it when tapped or held."""

    page: Page
    via: str
    hold: bool = False


def way(app: str, *stops: Stop) -> tuple[Stop, ...]:
    """The way from the launcher through an app's first page."""
    return (Stop(page=Page(app=app), via=app), *stops)


def towards(state: PhoneState, stops: Sequence[Stop]) -> Move | None:
    """The next move on the way to the last stop; None when it is in front.

    Within the right app a wrong page is left by "back"; another app is left by "home".
    """
    pages = state.stack[1:]
    matching = 0
    while (
        matching < min(len(pages), len(stops)) and pages[matching].same_place(stops[matching].page)
    ):  # fmt: skip
        matching += 1
    if len(pages) > matching:
        same_app = matching > 0 and pages[-1].app == stops[0].page.app
        return Press(button=Button.BACK if same_app else Button.HOME)
    if matching < len(stops):
        stop = stops[matching]
        return Hold(name=stop.via) if stop.hold else Tap(name=stop.via)
    return None


def step(app: str, name: str, item: str = "", *, via: str = "", hold: bool = False) -> Stop:
    """A stop, reached by the widget named like its item unless `via` names another."""
    return Stop(page=Page(app=app, name=name, item=item), via=via or item or name, hold=hold)


def reading(state: PhoneState, stops: Sequence[Stop]) -> Move | None:
    """The next move to have seen the last stop once; None when it has been seen."""
    return None if stops[-1].page.place in state.visited else towards(state, stops)


def filling(state: PhoneState, **values: str) -> Move | None:
    """The next move to write these values on the form in front; None when they stand there.

    Wrong words are got rid of by leaving the page, which throws its form away.
    """
    for name, wanted in values.items():
        written = state.page.value(name)
        if written == wanted:
            continue
        if not wanted.startswith(written):
            return Press(button=Button.BACK)
        if state.page.focus != name:
            return Tap(name=name)
        return Enter(text=wanted[len(written) :])
    return None


def at(state: PhoneState, app: str, name: str = "", item: str = "") -> bool:
    """Whether this page is in front."""
    return state.page.same_place(Page(app=app, name=name, item=item))


def at_home(state: PhoneState) -> bool:
    """Whether the launcher is in front."""
    return state.page.app == LAUNCHER
