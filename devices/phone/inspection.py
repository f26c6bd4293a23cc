"""What an action on the virtual phone would hit, for safety rules."""

from __future__ import annotations

from collections.abc import Iterable

from devices.phone.layout import Kind, Layout, Widget
from gui_agent.actions import Action, OpenApp, action_points
from gui_agent.safety.scene import Scene, Target


def phone_scene(action: Action, shown: Layout, app: str) -> Scene:
    """The widgets under an action, the field that has the keyboard, and the words of a dialog.

    Args:
        action: what would be done.
        shown: the screen.
        app: the app in front.
    """
    at = (shown.at(x, y) or _labelled(shown, x, y) for x, y in action_points(action))
    focus = next((widget for widget in shown.live if widget.field and widget.on), None)
    return Scene(
        place=app,
        hit=tuple(_target(widget) for widget in at if widget is not None),
        focus=None if focus is None else _target(focus),
        submits=() if focus is None else tuple(map(_target, _buttons(shown.live))),
        context=_words(shown) if shown.first_live else (),
        opens=action.name.strip().lower() if isinstance(action, OpenApp) else "",
    )


def _labelled(shown: Layout, x: int, y: int) -> Widget | None:
    """What can be seen but not touched there."""
    named = (one for one in reversed(shown.live) if one.name and one.box.contains(x, y))
    return next(named, None)


def _buttons(widgets: Iterable[Widget]) -> Iterable[Widget]:
    return (one for one in widgets if one.kind in (Kind.BUTTON, Kind.PLUS) and one.tap is not None)


def _words(shown: Layout) -> tuple[str, ...]:
    return tuple(widget.text for widget in shown.live if widget.text and widget.tap is None)


def _target(widget: Widget) -> Target:
    texts = (widget.name, widget.text) if widget.kind is not Kind.FIELD else (widget.name,)
    return Target(labels=tuple(dict.fromkeys(filter(None, texts))), role=widget.role)
