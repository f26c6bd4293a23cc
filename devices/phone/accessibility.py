"""The screen as text: an accessibility dump in the form of Android's uiautomator."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import quoteattr

from devices.phone.layout import Kind, Layout, Widget
from gui_agent.observation import Box

_CLASSES: Final[dict[Kind, str]] = {
    Kind.BUTTON: "android.widget.Button",
    Kind.KEY: "android.widget.Button",
    Kind.PLUS: "android.widget.ImageButton",
    Kind.BAR_BACK: "android.widget.ImageButton",
    Kind.NAV_BUTTON: "android.widget.ImageButton",
    Kind.TILE: "android.widget.TextView",
    Kind.FIELD: "android.widget.EditText",
    Kind.HERO: "android.widget.ImageView",
    Kind.TEXT: "android.widget.TextView",
    Kind.LARGE_TEXT: "android.widget.TextView",
    Kind.BUBBLE: "android.widget.TextView",
    Kind.BAR: "android.widget.TextView",
}
_TRAILING_CLASSES: Final = {"switch": "android.widget.Switch", "check": "android.widget.CheckBox"}
_UNSEEN: Final = frozenset({Kind.STATUS, Kind.SCRIM, Kind.PANEL, Kind.KEYBOARD, Kind.NAVIGATION})


def accessibility_dump(shown: Layout, *, package: str) -> str:
    """XML of the widgets that can be seen and are not covered by a dialog.

    The attributes are those that uiautomator writes: `text`, `content-desc`, `class`, `package`,
    `checkable`, `checked`, `clickable`, `focused`, `long-clickable`, `scrollable` and `bounds` as
    "[left,top][right,bottom]" in pixels.

    Args:
        shown: the screen.
        package: the app in front; all nodes carry it.
    """
    lines = ["<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>", '<hierarchy rotation="0">']
    outside: list[str] = []
    inside: list[str] = []
    for widget in shown.live:
        box = shown.visible_box(widget)
        if box is None or widget.kind in _UNSEEN or not (widget.name or widget.text):
            continue
        node = f"<node {_attributes(widget, box, package)} />"
        (inside if widget.scrolls else outside).append(node)
    if inside:
        scrollable = _flag(shown.max_scroll_dp > 0)
        bounds = _bounds(shown.viewport)
        lines.append(
            f'  <node class="android.widget.ListView" package={quoteattr(package)} clickable="false" '
            f'scrollable="{scrollable}" bounds="{bounds}">'
        )
        lines += [f"    {node}" for node in inside]
        lines.append("  </node>")
    lines += [f"  {node}" for node in outside]
    lines.append("</hierarchy>")
    return "\n".join(lines)


def _attributes(widget: Widget, box: Box, package: str) -> str:
    name = _TRAILING_CLASSES.get(widget.trailing) or _CLASSES.get(widget.kind, "android.view.View")
    text = "" if widget.kind is Kind.FIELD and widget.detail == "hint" else widget.text
    values = {
        "text": f"{text}, {widget.detail}" if widget.kind is Kind.ROW and widget.detail else text,
        "content-desc": widget.name if widget.name != text else "",
        "class": name,
        "package": package,
        "checkable": _flag(bool(widget.trailing)),
        "checked": _flag(bool(widget.trailing) and bool(widget.on)),
        "clickable": _flag(widget.tap is not None),
        "focused": _flag(bool(widget.field) and bool(widget.on)),
        "long-clickable": _flag(widget.hold is not None),
        "bounds": _bounds(box),
    }
    return " ".join(f"{key}={quoteattr(value)}" for key, value in values.items())


def _bounds(box: Box) -> str:
    return f"[{box.left},{box.top}][{box.right},{box.bottom}]"


def _flag(value: bool) -> str:
    return "true" if value else "false"
