"""What the virtual phone remembers: frozen values that go to JSON and back.

A phone is a stack of pages over the launcher, the data of each app, and a few things that concern
the whole (clock, look, how often pop-ups appear). A dialog or a pop-up is a page like any other, only
drawn over the one below it; "back" always means: take the top page off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, Final, Generic, TypeVar, get_args, get_origin, get_type_hints

from gui_agent.errors import DataError

LAUNCHER: Final = "launcher"
SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stands on one text field."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One screen of one app.

    Attributes:
        app: which app draws it.
        name: which of the app's screens; "" is its first.
        item: what the screen is about (a contact, a note), if anything.
        scroll_dp: how far its list is scrolled down.
        focus: the text field that has the keyboard; "" is none.
        form: what was written on its text fields; lost when the page is left.
    """

    app: str
    name: str = ""
    item: str = ""
    scroll_dp: int = 0
    focus: str = ""
    form: tuple[Entry, ...] = ()

    @property
    def place(self) -> str:
        """Which screen it is, in one word: "contacts/contact/anna"."""
        return f"{self.app}/{self.name}/{self.item}"

    def value(self, field_name: str) -> str:
        """What stands on a text field of this page."""
        return next((entry.value for entry in self.form if entry.name == field_name), "")

    def same_place(self, other: Page) -> bool:
        """Whether both show the same screen, scrolled or not."""
        return (self.app, self.name, self.item) == (other.app, other.name, other.item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What differs between two phones without meaning anything.

    Attributes:
        accent: index into the accent colours.
        wallpaper: index into the wallpapers.
        battery_percent: how full the battery in the status bar is.
        columns: tiles side by side on the launcher; 0 leaves it to the display, and so does a compact
            display.
        round_tiles: draw the app icons on discs.
    """

    accent: int = 0
    wallpaper: int = 0
    battery_percent: int = 80
    columns: int = 0
    round_tiles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneState:
    """The whole phone.

    Attributes:
        stack: pages from the launcher (always first) to the one in front.
        apps: the data of each installed app by name.
        look: colours of this phone.
        start_minute: minutes since midnight when the episode began.
        num_steps: gestures so far; the clock follows it.
        popup_seed: decides when pop-ups come and which.
        popup_rate: chance of a pop-up after a gesture, in [0, 1].
        simple: apps leave out whatever needs typing, scrolling or many words.
        answer: what the agent has told the user.
        visited: screens that have been in front since the episode began, sorted; kept for experts
            that must have read something before they use it.
    """

    stack: tuple[Page, ...] = (Page(app=LAUNCHER),)
    apps: Mapping[str, Any] = field(default_factory=dict)
    look: Look = field(default_factory=Look)
    start_minute: int = 600
    num_steps: int = 0
    popup_seed: int = 0
    popup_rate: float = 0.0
    simple: bool = False
    answer: str = ""
    visited: tuple[str, ...] = ()

    @property
    def page(self) -> Page:
        """The page in front."""
        return self.stack[-1]

    @property
    def foreground_app(self) -> str:
        """The app in front; a pop-up of the system does not count."""
        return next(page.app for page in reversed(self.stack) if page.app != SYSTEM)

    @property
    def clock_text(self) -> str:
        """The time in the status bar; four gestures take a minute."""
        minute = (self.start_minute + self.num_steps // 4) % (24 * 60)
        return f"{minute // 60}:{minute % 60:02d}"


def push(state: PhoneState, page: Page) -> PhoneState:
    """The phone with one more page in front."""
    return replace(state, stack=(*state.stack, page))


def pop(state: PhoneState, num_pages: int = 1) -> PhoneState:
    """The phone after "back"; the launcher itself stays."""
    keep = max(1, len(state.stack) - num_pages)
    return replace(state, stack=state.stack[:keep])


def go_home(state: PhoneState) -> PhoneState:
    """The phone showing its launcher."""
    return replace(state, stack=(replace(state.stack[0], scroll_dp=0, focus=""),))


def open_app(state: PhoneState, app: str) -> PhoneState:
    """The phone showing the first screen of an app."""
    return replace(state, stack=(replace(state.stack[0], focus=""), Page(app=app)))


def write(state: PhoneState, field_name: str, value: str) -> PhoneState:
    """The phone with other words on a text field of the page in front."""
    rest = tuple(entry for entry in state.page.form if entry.name != field_name)
    return change_page(state, form=(*rest, Entry(name=field_name, value=value)))


def change_page(state: PhoneState, **changes: Any) -> PhoneState:
    """The phone with fields of the page in front replaced."""
    return replace(state, stack=(*state.stack[:-1], replace(state.page, **changes)))


D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class AppData(Generic[D]):
    """Typed access to the data of one app.

    NOTES = AppData("notes", NotesData)
    NOTES.get(state).titles
    """

    app: str
    type: type[D]

    def get(self, state: PhoneState) -> D:
        """The app's data; its defaults where the app is not installed."""
        data = state.apps.get(self.app)
        return data if isinstance(data, self.type) else self.type()

    def set(self, state: PhoneState, data: D) -> PhoneState:
        """The phone with the app's data replaced."""
        return replace(state, apps={**state.apps, self.app: data})

    def change(self, state: PhoneState, **changes: Any) -> PhoneState:
        """The phone with single fields of the app's data replaced."""
        data: Any = self.get(state)
        return self.set(state, replace(data, **changes))


def to_jsonable(value: Any) -> Any:
    """Dictionaries, lists and scalars that say the same as nested frozen dataclasses."""
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value):
        return {name: to_jsonable(getattr(value, name)) for name in _field_names(value.__class__)}
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [to_jsonable(item) for item in value]
    raise TypeError(f"a phone's state cannot hold a {type(value).__name__}: {value!r}")


@cache
def _field_names(cls: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls))


@cache
def _field_types(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def from_jsonable(kind: Any, value: Any) -> Any:
    """Rebuild what `to_jsonable` wrote, guided by the type it had.

    Raises:
        DataError: the value does not have the shape of the type.
    """
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(value, Mapping) or set(value) != set(_field_names(kind)):
            raise DataError(
                f"a stored {kind.__name__} needs the fields {sorted(_field_names(kind))}, not {value!r}; "
                "it was written by another version"
            )
        hints = _field_types(kind)
        return kind(**{name: from_jsonable(hints[name], item) for name, item in value.items()})
    if get_origin(kind) is tuple:
        (item_kind, *_) = get_args(kind)
        return tuple(from_jsonable(item_kind, item) for item in value)
    if kind is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, kind):
        raise DataError(f"expected a {kind.__name__} in a stored phone, found {value!r}")
    return value


def state_to_json(state: PhoneState) -> str:
    """The whole state as JSON; equal states give equal text."""
    return json.dumps(to_jsonable(state), sort_keys=True, separators=(",", ":"))


def state_from_json(text: str, app_types: Mapping[str, type]) -> PhoneState:
    """Restore what `state_to_json` wrote.

    Args:
        text: the JSON.
        app_types: the data type of each app that may occur.

    Raises:
        DataError: the text is no phone, or names an app that is not known.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise DataError(f"not a stored phone: {text[:80]!r}")
        apps = data.pop("apps")
        if unknown := sorted(set(apps) - set(app_types)):
            raise DataError(f"a stored phone has an app {unknown[0]!r}; known are {sorted(app_types)}")
        known = {name: from_jsonable(app_types[name], value) for name, value in apps.items()}
        hints = {name: kind for name, kind in _field_types(PhoneState).items() if name != "apps"}
        return PhoneState(apps=known, **{name: from_jsonable(hints[name], data[name]) for name in hints})
    except (json.JSONDecodeError, KeyError, AttributeError) as error:
        raise DataError(f"not a stored phone ({error!r}): {text[:80]!r}") from error


def state_key(state: PhoneState) -> str:
    """Equal for phones that differ in nothing but the clock and where the agent has been; 32 hex digits."""
    data = to_jsonable(state)
    del data["num_steps"], data["start_minute"], data["visited"]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
