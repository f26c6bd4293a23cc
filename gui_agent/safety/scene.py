"""What an action is about to hit, as the device itself tells it: never what a model or a picture says.

A `Scene` is asked for right before an action is performed, for that action: a screen may change while a
model thinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from gui_agent.actions import Action, action_points
from gui_agent.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One widget that an action reaches.

    Attributes:
        labels: everything that is written on it or read out for it; empty if it has no name.
        identifier: its resource-id on Android, its id and name in a page.
        role: its kind ("button", "text_field", "link", "switch", …).
        app: package that it belongs to, where a screen is made of several.
        link: whole address that it leads to, or that its form is sent to.
        password: what is typed into it is not shown.
        opaque: a picture that hides widgets of its own: a canvas, a video, a frame of another site.
    """

    labels: tuple[str, ...] = ()
    identifier: str = ""
    role: str = ""
    app: str = ""
    link: str = ""
    password: bool = False
    opaque: bool = False

    @property
    def shown(self) -> str:
        """For people: `button "Delete all"`."""
        name = next(filter(None, self.labels), "") or self.identifier
        kind = self.role or "widget"
        if self.opaque:
            kind = f"opaque {kind}"
        return f'{kind} "{name[:60]}"' if name else f"{kind} without a name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What surrounds one action.

    Attributes:
        place: package or name of the app in front, or the address of the page; None if nobody knows.
        hit: what lies under the action's points, innermost first; empty where no widget is.
        focus: what has the keyboard, for keys and text.
        submits: what Enter may press here: the default button of the form, or buttons beside the field.
        context: the other texts of the dialog in front, which an "OK" may mean.
        opens: for `OpenApp`: the package or name that would be started, "" if none.
        missing: why nothing is known about widgets; "" if they are known.
    """

    place: str | None = None
    hit: tuple[Target, ...] = ()
    focus: Target | None = None
    submits: tuple[Target, ...] = ()
    context: tuple[str, ...] = ()
    opens: str = ""
    missing: str = ""


@runtime_checkable
class Inspectable(Protocol):
    """A device that says what an action would hit."""

    async def scene(self, action: Action) -> Scene:
        """What `action` would reach now; changes nothing.

        For an action without a target, such as `Wait`, only `place` is told.

        Raises:
            DeviceError: the device failed.
        """
        ...


_NOT_LABELLED: Final = "this kind of device does not tell its widgets"


def observed_scene(action: Action, observation: Observation | None) -> Scene:
    """What an observation knows of the scene, for devices that cannot be asked."""
    place = None if observation is None else observation.foreground_app
    if observation is None or observation.elements is None:
        return Scene(place=place, missing=_NOT_LABELLED)
    points = action_points(action)
    found = [one for x, y in points for one in observation.elements if one.box.contains(x, y)]
    found.sort(key=lambda one: one.box.area_px)
    return Scene(place=place, hit=tuple(Target(labels=(one.name,), role=one.role) for one in found))
