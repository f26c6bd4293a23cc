"""What an action on a phone would hit, read from its widget tree, for safety rules.

The tree is a flat list of boxes. What a tap reaches is the smallest clickable node under the point and what
lies on it; a clickable node without a name is called by the texts on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from devices.android.ui_tree import UiNode, UiTree
from gui_agent.safety.scene import Scene, Target

_MOST_TEXTS_OF_A_WIDGET: Final = 6
_MOST_TEXTS_OF_A_DIALOG: Final = 16
_CANVASES: Final = ("SurfaceView", "TextureView", "UnityPlayer")
_WORLDS: Final = ("WebView", "FlutterView")
"""Widgets that draw others by themselves; they tell them, or the whole of them is unknown."""


def tree_scene(
    tree: UiTree, points: Sequence[tuple[int, int]], *, place: str | None, opens: str = ""
) -> Scene:
    """The widgets at points of the phone's input space, the focus and the words around.

    Args:
        tree: what is on the screen now.
        points: of the action; none for one without a target.
        place: the package in front.
        opens: the package that the action would start.
    """
    if not tree.known:
        return Scene(place=place, opens=opens, missing=tree.missing)
    hit = tuple(target for point in points for target in _hit(tree.nodes, *point))
    # A page in an app has the focus as well as the field in it.
    focused = tree.focused_field() or next((node for node in tree.nodes if node.focused), None)
    texts = tuple(dict.fromkeys(filter(None, (node.text or node.description for node in tree.nodes))))
    return Scene(
        place=place,
        hit=hit,
        focus=None if focused is None else _target(focused),
        submits=() if focused is None or not focused.editable else _buttons(tree.nodes),
        context=texts if len(texts) <= _MOST_TEXTS_OF_A_DIALOG else (),
        opens=opens,
    )


def _hit(nodes: Sequence[UiNode], x: int, y: int) -> list[Target]:
    """What a tap may reach.

    Later nodes are drawn over earlier ones, but for those that are raised: the last clickable node and the
    smallest are both taken for hit, with what lies on them.
    """
    under = [node for node in nodes if node.box is not None and node.box.contains(x, y)]
    clickable = [node for node in under if node.clickable]
    # Of nodes of equal size the later one is the child.
    inmost = min(reversed(under), key=_area_px, default=None)
    unknown = [] if inmost is None or not _is_opaque(inmost, nodes) else [_target(inmost, opaque=True)]
    if not clickable:
        under.sort(key=_area_px)
        return [*unknown, *(_target(node) for node in [*filter(_named, under), *under][:1])]
    reached = dict.fromkeys((clickable[-1], min(clickable, key=_area_px)))
    largest_px = max(map(_area_px, reached))
    inner = [node for node in under if _named(node) and not node.clickable and _area_px(node) < largest_px]
    return [
        *unknown,
        *(_target(node) for node in inner),
        *(_target(node, also=[] if _named(node) else _texts_on(node, nodes)) for node in reached),
    ]


def _texts_on(clickable: UiNode, nodes: Sequence[UiNode]) -> list[str]:
    """The texts that name a nameless widget: those on it that are on no smaller clickable one."""
    assert clickable.box is not None
    others = [
        node
        for node in nodes
        if node.clickable and node is not clickable and _inside(node, clickable) and node.box != clickable.box
    ]
    found = [
        text
        for node in nodes
        if node is not clickable
        and _inside(node, clickable)
        and not any(_inside(node, one) for one in others)
        for text in (node.text, node.description)
        if text
    ]
    texts = list(dict.fromkeys(found))
    return texts if len(texts) <= _MOST_TEXTS_OF_A_WIDGET else []  # a list or a page, not a widget


def _buttons(nodes: Sequence[UiNode]) -> tuple[Target, ...]:
    return tuple(
        _target(node, also=[] if _named(node) else _texts_on(node, nodes))
        for node in nodes
        if node.clickable and node.box is not None and not node.editable and "Button" in node.kind
    )


def _is_opaque(node: UiNode, nodes: Sequence[UiNode]) -> bool:
    kind = node.kind.rpartition(".")[2]
    if node.text or node.description:
        return False
    if kind.endswith(_WORLDS):
        return not any(other is not node and _named(other) and _inside(other, node) for other in nodes)
    return kind.endswith(_CANVASES)


def _target(node: UiNode, *, also: Sequence[str] = (), opaque: bool = False) -> Target:
    return Target(
        labels=tuple(dict.fromkeys(filter(None, (node.text, node.description, *also)))),
        identifier=node.resource,
        role=node.role,
        app=node.package,
        password=node.password,
        opaque=opaque,
    )


def _named(node: UiNode) -> bool:
    return bool(node.text or node.description or node.resource)


def _inside(node: UiNode, other: UiNode) -> bool:
    inner, outer = node.box, other.box
    if inner is None or outer is None:
        return False
    return (
        outer.left <= inner.left
        and outer.top <= inner.top
        and inner.right <= outer.right
        and inner.bottom <= outer.bottom
    )


def _area_px(node: UiNode) -> int:
    return 0 if node.box is None else node.box.area_px
