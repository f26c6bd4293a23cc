"""What a tap on a phone would hit, read from a widget tree."""

from __future__ import annotations

from typing import Any

from devices.android.inspection import tree_scene
from devices.android.ui_tree import UiNode, UiTree
from gui_agent.actions import Click, PressKey, TypeText
from gui_agent.observation import Box
from gui_agent.safety import Decision, Judge, Scene


def node(left: int, top: int, right: int, bottom: int, kind: str = "View", **more: Any) -> UiNode:
    fields: dict[str, Any] = {
        "text": "", "description": "", "resource": "", "package": "com.app", "clickable": False,
        "focused": False, "password": False,
    }  # fmt: skip
    box = Box(left=left, top=top, right=right, bottom=bottom)
    return UiNode(kind=f"android.widget.{kind}", box=box, **{**fields, **more})


def at(x: int, y: int, *nodes: UiNode) -> Scene:
    return tree_scene(UiTree(nodes=nodes), [(x, y)], place="com.app")


def rule(scene: Scene) -> str:
    return Judge().judge(Click(x=0, y=0), scene).rule


SCREEN = node(0, 0, 400, 800, "FrameLayout")


def test_a_nameless_widget_is_called_by_the_texts_on_it() -> None:
    button = node(0, 0, 100, 40, clickable=True)
    label = node(10, 10, 50, 30, "TextView", text="Send")
    assert rule(at(90, 5, SCREEN, button, label)) == "sending"  # beside the label, on the button
    icon = node(0, 0, 40, 40, "ImageButton", clickable=True, resource="btn_delete")
    assert rule(at(5, 5, SCREEN, icon)) == "deletion"


def test_a_row_is_not_called_by_the_buttons_on_it() -> None:
    row = node(0, 0, 400, 60, clickable=True)
    title = node(10, 10, 200, 50, "TextView", text="Groceries")
    delete = node(340, 10, 390, 50, "ImageButton", clickable=True, description="Delete")
    assert rule(at(20, 20, SCREEN, row, title, delete)) == ""
    assert rule(at(360, 30, SCREEN, row, title, delete)) == "deletion"


def test_a_page_that_takes_taps_is_not_called_by_all_that_is_on_it() -> None:
    page = node(0, 0, 400, 800, clickable=True)
    texts = [node(0, 20 * n, 400, 20 * n + 20, "TextView", text=f"Delete {n}") for n in range(9)]
    assert rule(at(200, 700, page, *texts)) == "unnamed target"


def test_what_lies_on_top_counts_as_much_as_what_is_small() -> None:
    below = node(100, 100, 140, 140, "Switch", clickable=True, description="Wi-Fi")
    above = node(0, 80, 400, 160, "Button", clickable=True, text="Delete")
    assert rule(at(120, 120, SCREEN, below, above)) == "deletion"
    assert rule(at(120, 120, SCREEN, above, below)) == ""  # the small one is on top


def test_a_game_and_a_screen_without_a_tree_are_unknown() -> None:
    assert rule(at(5, 5, SCREEN, node(0, 0, 400, 800, "SurfaceView"))) == "unknown target"
    content = node(0, 0, 400, 800, "FrameLayout", resource="content", clickable=True)
    assert rule(at(5, 5, content, node(0, 0, 400, 800, "SurfaceView"))) == "unknown target"
    web = node(0, 0, 400, 800, "WebView")
    assert rule(at(5, 700, SCREEN, web)) == "unknown target"
    assert rule(at(5, 700, SCREEN, web, node(0, 0, 90, 20, "TextView", text="News"))) == "unnamed target"
    missing = tree_scene(UiTree(nodes=(), missing="it moves"), [(5, 5)], place="com.app")
    verdict = Judge().judge(Click(x=5, y=5), missing)
    assert (verdict.decision, verdict.rule) == (Decision.CONFIRM, "unknown target")
    assert "it moves" in verdict.why


def test_a_password_field_in_a_page_of_an_app() -> None:
    page = node(0, 0, 400, 800, "WebView", focused=True)
    field = node(0, 0, 400, 40, "EditText", focused=True, password=True)
    scene = tree_scene(UiTree(nodes=(page, field)), [], place="com.app")
    assert Judge().judge(TypeText(text="abc"), scene).rule == "security"


def test_enter_may_press_a_button_of_the_screen() -> None:
    field = node(0, 0, 300, 40, "EditText", focused=True, clickable=True, text="delete me")
    send = node(300, 0, 400, 40, "ImageButton", clickable=True, description="Send")
    chat = tree_scene(UiTree(nodes=(SCREEN, field, send)), [], place="com.app")
    assert Judge().judge(PressKey(key="enter"), chat).rule == "sending"
    alone = tree_scene(UiTree(nodes=(SCREEN, field)), [], place="com.app")
    assert Judge().judge(PressKey(key="enter"), alone).rule == ""


def test_an_ok_of_a_dialog() -> None:
    words = node(0, 0, 200, 40, "TextView", text="Delete this conversation?")
    ok = node(100, 50, 200, 90, "Button", clickable=True, text="OK")
    assert rule(at(150, 70, words, ok)) == "deletion"
    others = [node(0, 100 + n, 9, 110 + n, "TextView", text=f"line {n}") for n in range(20)]
    assert rule(at(150, 70, words, ok, *others)) == ""  # a whole page is no dialog
