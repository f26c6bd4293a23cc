"""What an app is: a name, a picture, data, and a function from page to view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devices.phone.state import Page, PhoneState
from devices.phone.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One app.

    Attributes:
        name: what is written under its icon; also its name in a page.
        icon: a name from `icons`.
        color: of its tile, a name from `palette`.
        data: the frozen dataclass that holds its data; all its fields have defaults.
        view: what one of its pages shows; must not change anything.
    """

    name: str
    icon: str
    color: str
    data: type
    view: Callable[[PhoneState, Page], View]
