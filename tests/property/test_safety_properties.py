"""Comparing texts and addresses: tricks that a person overlooks make no difference."""

from __future__ import annotations

import unicodedata
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from gui_agent.actions import Click
from gui_agent.safety import Bounds, Decision, Judge, Scene, Secret, Secrets, Target, default_rules, site_of
from gui_agent.safety.normal import identifier_words, normal

_COMMANDS: Final = st.sampled_from(
    [
        "Delete all",
        "Buy now",
        "Jetzt kaufen",
        "发送",
        "Supprimer",
        "Comprar ahora",
        "Löschen",
        "Factory reset",
    ]
)
_UNSEEN: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e\u2066\u180e\u034f\ufe0f"
_LOOKS_LIKE: Final = {
    "a": "а",
    "e": "е",
    "o": "о",
    "c": "с",
    "p": "р",
    "y": "у",
    "l": "1",
    "s": "$",
    "i": "і",
}
_JUDGE: Final = Judge()


@settings(deadline=None)
@given(st.text(max_size=80))
def test_the_comparable_form_is_its_own(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    assert identifier_words(identifier_words(text)) == identifier_words(text)


@settings(deadline=None)
@given(st.text(max_size=40), st.data())
def test_unseen_characters_change_nothing(text: str, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(st.sampled_from(_UNSEEN), min_size=len(text) + 1, max_size=len(text) + 1))
    padded = drawn[0] + "".join(
        map("".join, zip(unicodedata.normalize("NFC", text), drawn[1:], strict=False))
    )
    assert normal(padded) == normal("".join(one for one in padded if one not in _UNSEEN))


@settings(max_examples=200, deadline=None)
@given(_COMMANDS, st.data())
def test_a_disguised_command_is_still_one(command: str, data: st.DataObject) -> None:
    disguised = []
    for letter in data.draw(st.sampled_from([command, command.upper(), command.lower(), command.title()])):
        kind = data.draw(st.sampled_from(["as it is", "unseen", "wide", "look-alike", "mathematical"]))
        disguised.append(_disguised(letter, kind))
    label = data.draw(st.sampled_from(["", " ", ">> ", "★"])) + "".join(disguised)
    scene = Scene(hit=(Target(labels=(label,), role="button"),))
    assert _JUDGE.judge(Click(x=1, y=1), scene).decision is not Decision.ALLOW


def _disguised(letter: str, kind: str) -> str:
    match kind:
        case "unseen":
            return letter + "\u200b\u202e"
        case "wide" if "!" <= letter <= "~":
            return chr(ord(letter) + 0xFEE0)
        case "mathematical" if "a" <= letter <= "z":
            return chr(ord(letter) - ord("a") + 0x1D41A)
        case "look-alike" if letter in "aeocpyi":
            return _LOOKS_LIKE[letter]
        case _:
            return letter


@settings(deadline=None)
@given(st.text(st.characters(whitelist_categories=["Lu", "Ll", "Lo", "Nd"]), min_size=1, max_size=20))
def test_words_inside_words_are_not_met(text: str) -> None:
    for word in ("buy", "send", "call"):
        inside = f"x{word}x{text}"
        found = [rule.name for rule in default_rules().rules if rule.word_in(inside) == word]
        assert found == []


@settings(deadline=None)
@given(
    st.sampled_from(["example.org", "127.0.0.1:8000", "localhost", "bücher.example"]),
    st.text(max_size=20),
    st.sampled_from(["http", "https"]),
)
def test_a_site_holds_whatever_follows_its_host(host: str, rest: str, scheme: str) -> None:
    start = f"{scheme}://{host}/"
    bounds = Bounds(sites=(site_of(start),))
    assert bounds.allows(start + rest)
    for other in (f"{scheme}://{host}.evil.example/{rest}", f"{scheme}://evil{host}/{rest}"):
        assert not bounds.allows(other)
    assert not bounds.allows(f"{scheme}://{host.partition(':')[0]}@evil.example/{start}")


_VALUES: Final = st.text(st.characters(blacklist_categories=["Cs"]), min_size=4, max_size=20)


@settings(deadline=None)
@given(_VALUES, st.text(max_size=20), st.text(max_size=20))
def test_what_was_revealed_can_be_masked(value: str, before: str, after: str) -> None:
    secrets = Secrets([Secret(name="KEY", value=value)])
    shown = secrets.reveal(f"{before}{{KEY}}{after}")
    assert value in shown
    masked = secrets.mask(shown)
    if value not in "<secret KEY>":
        assert value not in masked
        nested = {"a": [shown, (shown, 3)], shown: None}
        held, _ = secrets.masked(nested).values()
        assert held == [masked, (masked, 3)]


@settings(deadline=None)
@given(
    st.recursive(st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.tuples(inner, inner))
)
def test_what_holds_no_secret_is_left_alone(value: object) -> None:
    assert Secrets([Secret(name="K", value="not-in-there")]).masked(value) is value
