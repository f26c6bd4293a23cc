"""What is on the screen as the accessibility service sees it: `uiautomator dump`.

The command says "dumped" with exit code 0 when it wrote nothing, and leaves the file of an earlier screen
behind. So one command line removes the file, dumps and prints it: what is read was written now. A screen
that never comes to rest (an animation, a video) gives no tree; that is `None` with a reason, not a fault.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Final

from devices.android.connection import AdbConnection
from gui_agent.observation import Box, UiElement

_FILE: Final = "/data/local/tmp/gui-agent-ui.xml"
_BOUNDS: Final = re.compile(r"\[(-?\d+),(-?\d+)\]\[(-?\d+),(-?\d+)\]")
_ROLES: Final = (  # the end of the widget's class, in order
    ("Switch", "switch"),
    ("ToggleButton", "switch"),
    ("CheckBox", "check"),
    ("RadioButton", "check"),
    ("EditText", "text_field"),
    ("AutoCompleteTextView", "text_field"),
    ("ImageButton", "button"),
    ("Button", "button"),
    ("ImageView", "image"),
    ("SeekBar", "slider"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UiNode:
    """One node of the tree.

    Attributes:
        text: what is written on it.
        description: what a screen reader says.
        resource: its name in the app, without the package.
        kind: the widget's class.
        package: the app that it belongs to.
        box: in pixels of the phone's input, or None where it has no area.
        clickable: a tap does something.
        focused: it has the keyboard.
        password: what is typed is not shown.
    """

    text: str
    description: str
    resource: str
    kind: str
    package: str
    box: Box | None
    clickable: bool
    focused: bool
    password: bool

    @property
    def name(self) -> str:
        """What a person would call it, "" if nothing is known."""
        return self.description or self.text or self.resource

    @property
    def editable(self) -> bool:
        """Whether text can be typed into it."""
        return self.role == "text_field"

    @property
    def role(self) -> str:
        """Its kind, as a label."""
        kind = self.kind.rpartition(".")[2]
        for ending, role in _ROLES:
            if kind.endswith(ending):
                return role
        return "button" if self.clickable and not self.text else "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class UiTree:
    """All nodes of one dump, in its order; empty with a reason where the phone gave none.

    Attributes:
        nodes: depth first.
        missing: the reason.
        xml: the dump as it came, for those who read more of it.
    """

    nodes: tuple[UiNode, ...]
    missing: str = ""
    xml: str = ""

    @property
    def known(self) -> bool:
        """Whether the phone gave a tree."""
        return not self.missing

    def focused_field(self) -> UiNode | None:
        """The text field that has the keyboard."""
        return next((node for node in self.nodes if node.focused and node.editable), None)

    def elements(self) -> tuple[UiElement, ...]:
        """The named nodes that have an area."""
        return tuple(
            UiElement(name=node.name, role=node.role, box=node.box, clickable=node.clickable)
            for node in self.nodes
            if node.name and node.box is not None
        )


async def read_ui_tree(connection: AdbConnection, *, timeout_s: float = 15.0, tries: int = 2) -> UiTree:
    """The tree of the screen as it is now.

    Args:
        connection: the phone.
        timeout_s: for one try; the command itself waits up to 10 s for the screen to rest.
        tries: the second and later ones leave out what is not important (`--compressed`), which needs less
            rest.

    Raises:
        DeviceError: the phone is not there.
        DeviceTimeoutError: it did not answer in time.
    """
    reason = ""
    for attempt in range(tries):
        option = " --compressed" if attempt else ""
        line = f"rm -f {_FILE}; uiautomator dump{option} {_FILE} 1>&2 && cat {_FILE}"
        result = await connection.shell(line, timeout_s=timeout_s)
        text = result.text.strip()
        if result.exit_code == 0 and text.startswith("<?xml") and text.endswith("</hierarchy>"):
            try:
                return UiTree(nodes=_nodes(text), xml=text)
            except ET.ParseError as error:
                reason = f"the dump is no XML ({error})"
        else:
            reason = result.complaint or f"exit code {result.exit_code} without a word"
    return UiTree(nodes=(), missing=f"uiautomator: {reason}")


def _nodes(text: str) -> tuple[UiNode, ...]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ET.ParseError("it declares entities, which uiautomator never does")
    return tuple(_node(element) for element in ET.fromstring(text.encode()).iter("node"))


def _node(element: ET.Element) -> UiNode:
    bounds = _BOUNDS.fullmatch(element.get("bounds", ""))
    left, top, right, bottom = map(int, bounds.groups()) if bounds else (0, 0, 0, 0)
    box = Box(left=left, top=top, right=right, bottom=bottom)
    return UiNode(
        text=element.get("text", ""),
        description=element.get("content-desc", ""),
        resource=element.get("resource-id", "").rpartition("/")[2],
        kind=element.get("class", ""),
        package=element.get("package", ""),
        box=box if right > left and bottom > top else None,
        clickable=element.get("clickable") == "true",
        focused=element.get("focused") == "true",
        password=element.get("password") == "true",
    )
