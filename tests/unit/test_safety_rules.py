"""What the rules say about an action and what it hits."""

from __future__ import annotations

from pathlib import Path

import pytest

from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    Direction,
    Drag,
    Finish,
    LongPress,
    OpenApp,
    PressKey,
    Scroll,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from gui_agent.errors import ConfigError
from gui_agent.safety import Bounds, Decision, Judge, Scene, Target, default_rules, load_rules, sites_of
from gui_agent.safety.judging import MAX_TYPED_CHARACTERS

HERE = Click(x=1, y=1)
ENTER = SystemButton(button=Button.ENTER)


def judged(action: Action, scene: Scene, judge: Judge | None = None) -> str:
    """The rule that decided, with what it decided."""
    verdict = (judge or Judge()).judge(action, scene)
    return "" if verdict.decision is Decision.ALLOW else f"{verdict.decision.value} {verdict.rule}"


def on(*labels: str, role: str = "button", **more: str | bool) -> Scene:
    return Scene(place="app", hit=(Target(labels=labels, role=role, **more),))  # type: ignore[arg-type]


COMMANDS = {
    "purchase": "Buy now|Place your order|Jetzt kaufen|立即购买|¥12.00 支付|Realizar pedido|S’abonner",
    "deletion": "Delete|DELETE ALL (3)|Endgültig löschen|清空|Mover a papelera|Vider la corbeille|Uninstall",
    "sending": "Send|Nachricht senden|发布|Enviar|Envoyer|Reply all|Tweet",
    "security": "Change PIN|Zwei-Faktor-Authentifizierung|开发者选项|Cerrar sesión|Mot de passe",
    "permission": "While using the app|Zulassen|始终允许|Permitir|Autoriser",
    "installation": "Install anyway|Trotzdem installieren|安装|Instalar|Installer",
    "calling": "Call|Anrufen|拨打|Llamar|Appeler",
}


@pytest.mark.parametrize(
    ("label", "rule"), [(label, rule) for rule, labels in COMMANDS.items() for label in labels.split("|")]
)
def test_commands_of_five_languages_need_a_yes(label: str, rule: str) -> None:
    assert judged(HERE, on(label)) == f"confirm {rule}"
    assert judged(LongPress(x=1, y=1), on(label)) == f"confirm {rule}"


@pytest.mark.parametrize(
    "label",
    ["Factory reset", "Auf Werkseinstellungen zurücksetzen", "恢复出厂设置", "Restablecer datos de fábrica",
     "Effacer toutes les données"],
)  # fmt: skip
def test_what_erases_a_device_is_denied(label: str) -> None:
    assert judged(HERE, on(label)) == "deny destruction"


@pytest.mark.parametrize(
    "label",
    ["Settings", "Wi-Fi", "Search", "Back", "Cancel", "Don't delete", "Nicht löschen", "取消",
     "Buyer's guide", "Sender", "Sandwich", "Open", "Menu", "Save", "Add to cart", "Recall", "Sendai", "Next",
     "3", ""],
)  # fmt: skip
def test_ordinary_commands_do_not(label: str) -> None:
    assert judged(HERE, on(label)) == ""


def test_long_texts_are_content_unless_they_are_on_a_button() -> None:
    mail = "Ann: could you send me the report before we delete the old folder on Friday, please?"
    assert judged(HERE, on(mail, role="list_item")) == ""
    assert judged(HERE, on(mail)) == "confirm deletion"
    assert judged(HERE, on("send", role="list_item")) == "confirm sending"


def test_identifiers_and_owners_count() -> None:
    assert judged(HERE, on(identifier="btnDeleteAccount")) == "confirm deletion"
    assert judged(HERE, on(identifier="send_message_btn")) == "confirm sending"
    assert judged(HERE, on(identifier="recyclerview")) == ""
    asked = on("Nur dieses eine Mal vielleicht", app="com.google.android.permissioncontroller")
    assert judged(HERE, asked) == "confirm permission"
    refuse = on("Don't allow", app="com.google.android.permissioncontroller")
    assert judged(HERE, refuse) == ""


def test_what_is_written_in_a_field_is_content() -> None:
    assert judged(HERE, on("delete everything", role="text_field", identifier="send_to")) == ""


def test_one_harmless_label_does_not_hide_another() -> None:
    assert judged(HERE, on("Cancel", "Delete all")) == "confirm deletion"
    two = Scene(hit=(Target(labels=("Cancel",)), Target(labels=("Delete all",), role="button")))
    assert judged(HERE, two) == "confirm deletion"


def test_an_ok_means_what_the_dialog_asks() -> None:
    ok = Target(labels=("OK",), role="button")
    words = ("Delete 3 photos?", "This cannot be undone.", "OK", "Cancel")
    assert judged(HERE, Scene(hit=(ok,), context=words)) == "confirm deletion"
    assert judged(HERE, Scene(hit=(ok,), context=("Wi-Fi is on",))) == ""
    cancel = Target(labels=("Cancel",), role="button")
    assert judged(HERE, Scene(hit=(cancel,), context=words)) == ""
    assert judged(HERE, Scene(hit=(Target(labels=("确定",)),), context=("要删除吗?",))) == "confirm deletion"


def test_enter_may_press_the_button_beside_the_field() -> None:
    field = Target(labels=("message",), role="text_field")
    chat = Scene(focus=field, submits=(Target(labels=("Send",), role="button"),))
    search = Scene(focus=field, submits=(Target(labels=("Search",), role="button"),))
    for action in (ENTER, PressKey(key="Return"), PressKey(key="KEYCODE_ENTER"), PressKey(key="ctrl+enter"),
                   TypeText(text="hi\n"), PressKey(key="DPAD_CENTER")):  # fmt: skip
        assert judged(action, chat) == "confirm sending"
        assert judged(action, search) == ""
    assert judged(TypeText(text="hi"), chat) == ""
    assert judged(PressKey(key="a"), chat) == ""
    delete = Scene(focus=Target(labels=("Delete",), role="button"))
    for action in (ENTER, PressKey(key="space"), PressKey(key=" ")):
        assert judged(action, delete) == "confirm deletion"


def test_keys_and_typed_codes() -> None:
    assert judged(PressKey(key="KEYCODE_CALL"), Scene()) == "confirm calling"
    assert judged(TypeText(text="*#06#"), Scene()) == "confirm calling"
    assert judged(TypeText(text="*2767*3855#"), Scene()) == "deny destruction"
    assert judged(TypeText(text="4111 1111 1111 1111"), Scene()) == "confirm security"
    assert judged(TypeText(text="2026-11-23, 12:30"), Scene()) == ""
    hidden = Scene(focus=Target(role="text_field", password=True))
    assert judged(TypeText(text="abc"), hidden) == "confirm security"


def test_drags_count_and_scrolling_over_a_button_does_not() -> None:
    buy = on("Buy now")
    assert judged(Drag(x=1, y=1, to_x=9, to_y=9), buy) == "confirm purchase"
    assert judged(Swipe(x=1, y=9, to_x=1, to_y=1), buy) == ""
    assert judged(Swipe(x=1, y=9, to_x=9, to_y=9), on("Slide to pay", role="text")) == "confirm purchase"
    assert judged(Scroll(direction=Direction.DOWN, x=1, y=1), buy) == ""


def test_what_nobody_knows() -> None:
    assert judged(HERE, Scene(missing="no tree")) == "confirm unknown target"
    assert judged(HERE, Scene(hit=(Target(role="canvas", opaque=True),))) == "confirm unknown target"
    assert judged(HERE, Scene()) == ""
    assert Judge().judge(HERE, Scene()).rule == "unnamed target"
    assert judged(Scroll(direction=Direction.UP), Scene(missing="no tree")) == ""


def test_links_lead_where_they_lead() -> None:
    judge = Judge(bounds=Bounds(sites=sites_of(["example.org"])))
    at = "https://example.org/"
    for link, rule in (
        ("https://www.example.org/x", ""),
        ("https://evil.example/", "deny bounds"),
        ("tel:+123", "confirm calling"),
        ("mailto:a@b.example", "confirm sending"),
        ("javascript:void 0", ""),
        ("intent://pay#Intent;end", "deny bounds"),
        ("blob:https://evil.example/1", "deny bounds"),
    ):
        scene = Scene(place=at, hit=(Target(labels=("go",), role="link", link=link),))
        assert judged(HERE, scene, judge) == rule, link


def test_outside_the_bounds_only_leaving_is_allowed() -> None:
    judge = Judge(bounds=Bounds(apps=("com.android.settings",)))
    inside, outside, nowhere = (Scene(place=one) for one in ("com.android.settings", "com.evil", None))
    acts: tuple[Action, ...] = (
        HERE,
        TypeText(text="a"),
        PressKey(key="a"),
        ENTER,
        Scroll(direction=Direction.UP),
    )
    for action in acts:
        assert judged(action, inside, judge) == ""
        assert judged(action, Scene(place="com.android.launcher3"), judge) == ""
        assert judged(action, outside, judge) == "deny bounds"
        assert judged(action, nowhere, judge) == "deny bounds"
    leaving: tuple[Action, ...] = (SystemButton(button=Button.BACK), SystemButton(button=Button.HOME))
    for action in (*leaving, Wait(), Answer(text="x"), Finish()):
        assert judged(action, outside, judge) == ""
    start = OpenApp(name="settings")
    assert judged(start, Scene(place="com.evil", opens="com.android.settings"), judge) == ""
    assert judged(start, Scene(place="com.evil", opens="com.evil.settings"), judge) == "deny bounds"


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "https://example.org.evil.example/", "https://notexample.org/",
     "https://example.org@evil.example/", "https://evil.example\\@example.org/", "https://[::1]/", "ftp://example.org/",
     "data:text/html,example.org", "chrome://settings", "file:///etc/passwd", "https://evil.example/?example.org",
     "https://evil.example#example.org", "https://exаmple.org/", "view-source:https://example.org/",
     "https://example.org:99999/"],
)  # fmt: skip
def test_addresses_that_are_not_on_the_site(url: str) -> None:
    assert not Bounds(sites=("example.org",)).allows(url)


@pytest.mark.parametrize(
    "url",
    ["https://example.org", "http://EXAMPLE.org:8080/x", "https://a.b.example.org./?q=1", "about:blank",
     "blob:https://example.org/1-2", "https://user:pw@example.org/"],
)  # fmt: skip
def test_addresses_that_are_on_the_site(url: str) -> None:
    assert Bounds(sites=("example.org",)).allows(url)


def test_ports_and_folders_of_files() -> None:
    assert not Bounds(sites=sites_of(["127.0.0.1:8000"])).allows("http://127.0.0.1:631/")
    assert Bounds(sites=sites_of(["https://example.org/start"])).allows("https://example.org/other")
    files = Bounds(sites=sites_of(["file:///home/a/page.html"]))
    assert files.allows("file:///home/a/next.html")
    assert not files.allows("file:///home/a/../b/x")
    assert not files.allows("file:///etc/passwd")
    assert Bounds(sites=sites_of(["bücher.example"])).allows("https://xn--bcher-kva.example/")
    with pytest.raises(ConfigError, match="is no host"):
        sites_of(["*"])


def test_oversized_input_is_refused() -> None:
    judge = Judge()
    refused = judge.judge(TypeText(text="a" * 100_000), Scene())
    assert (refused.decision, refused.rule) == (Decision.DENY, "size")
    assert "typing 100000 characters; at most 20000" in refused.why
    assert judged(TypeText(text="a" * MAX_TYPED_CHARACTERS), Scene()) == ""
    assert judged(OpenApp(name="a" * 10_000), Scene()) == "deny size"
    assert judged(HERE, on("delete " * 100_000)) == "confirm deletion"  # and quickly


def test_own_lists_change_rules_and_add_phrases() -> None:
    rules = default_rules().with_decision(["purchase", "wire money", "com.bank.*"], Decision.DENY)
    judge = Judge(rules=rules)
    assert judged(HERE, on("Buy"), judge) == "deny purchase"
    assert judged(HERE, on("Wire  MONEY!"), judge) == "deny own deny list"
    assert judged(OpenApp(name="bank"), Scene(opens="com.bank.app"), judge) == "deny own deny list"
    assert judged(HERE, on("delete"), judge) == "confirm deletion"
    with pytest.raises(ConfigError, match="no letter or digit"):
        default_rules().with_decision(["..."], Decision.DENY)


def test_a_file_extends_or_replaces_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "extends: default\nunknown: {opaque: deny}\nharmless: [leave it]\nrules:\n"
        "  - {name: sending, decision: allow}\n"
        "  - {name: grant money, decision: deny, words: [grant money]}\n"
    )
    judge = Judge(rules=load_rules(file))
    assert judged(HERE, on("Send"), judge) == ""
    assert judged(HERE, on("Grant Money"), judge) == "deny grant money"
    assert judged(HERE, on("Delete"), judge) == "confirm deletion"
    assert judged(HERE, Scene(missing="x"), judge) == "deny unknown target"
    file.write_text("rules:\n  - {name: a, decision: confirm, words: {de: [Los]}}\n")
    alone = Judge(rules=load_rules(file))
    assert judged(HERE, on("Delete"), alone) == ""
    assert judged(HERE, on("los"), alone) == "confirm a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: {a: 1}", "expected a list"), ("rule: []", "did you mean 'rules'"), ("- a", "is list"),
        ("rules: [{decision: deny}]", "has no name"),
        ("rules: [{name: a, decision: forbid}]", "allow, confirm or deny"),
        ("rules: [{name: a, decision: deny, word: [b]}]", "did you mean 'words'"),
        ("rules: [{name: a, decision: deny, words: [yes]}]", "list of texts"),
        ("rules: [{name: a, decision: deny, typed: ['(']}]", "no regular expression"),
        ("rules: [{name: purchas, decision: deny}]", "no such rule"), ("extends: x", "extends is 'x'"),
        ("rules: [{name: a, decision: deny, words: [b]}, {name: a, decision: deny, words: [c]}]", "twice"),
        ("a: [", "is no YAML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_explained(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_rules(file)
