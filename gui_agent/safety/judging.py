"""What the rules say about one action in one scene: a pure function of both."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final, assert_never
from urllib.parse import urlsplit

from gui_agent.actions import (
    Action,
    Answer,
    Button,
    Click,
    DoubleClick,
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
from gui_agent.safety.bounds import Bounds, is_address
from gui_agent.safety.rules import Rule, Rules, comparable, default_rules
from gui_agent.safety.scene import Scene, Target
from gui_agent.safety.verdict import ALLOWED, Decision, SafetyVerdict

MAX_GOAL_CHARACTERS: Final = 20_000
MAX_TYPED_CHARACTERS: Final = 20_000
"""No person dictates more; a model that writes more has gone astray."""
MAX_NAME_CHARACTERS: Final = 500
"""Of an app or a key."""
_STRICTNESS: Final = {Decision.ALLOW: 0, Decision.CONFIRM: 1, Decision.DENY: 2}
_BUTTON_ROLES: Final = frozenset(
    {"button", "key", "switch", "check", "checkbox", "radio", "tab", "icon", "slider"}
)
_MOST_WORDS_OF_A_COMMAND: Final = 8
_MOST_CHARACTERS_OF_A_COMMAND: Final = 60
_ENTER_KEYS: Final = frozenset({"enter", "return", "numpadenter", "dpadcenter"})
_SLIDING: Final = ("slide", "swipe", "wischen", "schieben", "滑动", "desliza", "glisser", "faites glisser")
_NO_LETTER: Final = str.maketrans("", "", string.whitespace + "_-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The rules of one run, and where it may go.

    Attributes:
        rules: what needs a yes and what is denied.
        bounds: apps and sites.
    """

    rules: Rules = field(default_factory=default_rules)
    bounds: Bounds = field(default_factory=Bounds)

    def judge(self, action: Action, scene: Scene) -> SafetyVerdict:
        """The strictest verdict on an action; the first of equally strict ones.

        Args:
            action: what would be done.
            scene: what it would hit, asked for a moment ago.
        """
        verdicts = list(self._verdicts(action, scene))
        return max(verdicts, key=_weight, default=ALLOWED)

    def judge_enter(self, action: Action, scene: Scene) -> SafetyVerdict:
        """The strictest verdict on what typed text presses besides being typed: a line feed is Enter."""
        if not isinstance(action, TypeText) or not _ends_lines(action.text):
            return ALLOWED
        return max(self._on_enter(scene), key=_weight, default=ALLOWED)

    def judge_place(self, place: str | None) -> SafetyVerdict:
        """Whether an action led, or the screen went, where the agent may be."""
        if self._is_inside(place):
            return ALLOWED
        shown = "nobody knows where" if place is None else repr(place[:200])
        return SafetyVerdict(
            decision=self.bounds.decision,
            rule="bounds",
            hit="",
            why=f"leaves the apps and sites that are allowed: {shown} is none of {self._allowed()}",
        )

    def _is_inside(self, place: str | None) -> bool:
        if place is not None and any(fnmatchcase(place, home) for home in self.rules.home):
            return True
        return self.bounds.allows(place)

    def _allowed(self) -> str:
        return ", ".join((*self.bounds.apps, *self.bounds.sites)) or "any"

    def _verdicts(self, action: Action, scene: Scene) -> Iterator[SafetyVerdict]:
        if (refused := _oversized(action)) is not None:
            yield refused
            return
        if not _leaves_or_rests(action):
            yield self.judge_place(scene.place)
        match action:
            case Click() | DoubleClick() | LongPress() | Drag():
                yield from self._on_targets(scene.hit, scene)
                yield from self._on_the_unknown(scene)
            case Swipe():
                yield from self._on_targets((one for one in scene.hit if _slides(one)), scene)
            case TypeText(text=text):
                yield from self._on_typed(text, scene)
            case PressKey(key=key):
                yield from self._on_key(key, scene)
            case SystemButton(button=Button.ENTER):
                yield from self._on_enter(scene)
            case OpenApp(name=name):
                yield from self._on_start(name, scene)
            case SystemButton() | Scroll() | Wait() | Answer() | Finish():
                pass
            case _:
                assert_never(action)

    def _on_targets(self, targets: Iterable[Target], scene: Scene) -> Iterator[SafetyVerdict]:
        hit = tuple(targets)
        labels = {comparable(label) for target in hit for label in target.labels} - {""}
        for target in hit:
            yield from self._on_link(target)
        if labels and labels <= self.rules.harmless:
            return
        for target in hit:
            yield from self._on_target(target, self.rules.rules)
        if labels & self.rules.affirmations:
            asked = Target(labels=scene.context, role="button")
            for verdict in self._on_target(asked, self.rules.rules):
                yield replace(verdict, hit=hit[0].shown, why=f"{verdict.why}, which the dialog asks")

    def _on_target(self, target: Target, rules: Iterable[Rule]) -> Iterator[SafetyVerdict]:
        is_field = target.role == "text_field"  # what is written in it is content
        commands = () if is_field else tuple(filter(None, target.labels))
        if target.role not in _BUTTON_ROLES:
            commands = tuple(label for label in commands if _is_short(label))
        for rule in rules:
            found = next(filter(None, (rule.word_in(label) for label in commands)), "")
            if not found and not is_field:
                found = rule.word_in(target.identifier, is_identifier=True)
            if found:
                yield _met(rule, target.shown, f"'{found}'")
            if rule.owns(target.app):
                yield _met(rule, target.shown, f"it belongs to {target.app}")

    def _on_link(self, target: Target) -> Iterator[SafetyVerdict]:
        if not target.link:
            return
        scheme = urlsplit(target.link).scheme.lower() if is_address(target.link) else ""
        for rule in self.rules.rules:
            if scheme in rule.schemes:
                yield _met(rule, target.shown, f"it leads to {target.link[:100]}")
        if scheme not in ("javascript", "") and not any(scheme in one.schemes for one in self.rules.rules):
            yield replace(self.judge_place(target.link), hit=target.shown)

    def _on_the_unknown(self, scene: Scene) -> Iterator[SafetyVerdict]:
        opaque = next((one for one in scene.hit if one.opaque), None)
        if scene.missing or opaque is not None:
            why = scene.missing or "it draws what is on it by itself"
            shown = "" if opaque is None else opaque.shown
            yield SafetyVerdict(
                decision=self.rules.opaque,
                rule="unknown target",
                hit=shown,
                why=f"nobody can tell what is there ({why})",
            )
        elif not any(one.labels or one.identifier for one in scene.hit):
            yield SafetyVerdict(
                decision=self.rules.unnamed, rule="unnamed target", why="no widget with a name is there"
            )

    def _on_typed(self, text: str, scene: Scene) -> Iterator[SafetyVerdict]:
        hidden = scene.focus is not None and scene.focus.password
        shown = "" if scene.focus is None else scene.focus.shown
        for rule in self.rules.rules:
            if rule.typed_in(text):
                yield _met(rule, shown, "the text that is typed")
            if rule.passwords and hidden:
                yield _met(rule, shown, "the field hides what is typed")
        if _ends_lines(text):
            yield from self._on_enter(scene)

    def _on_key(self, key: str, scene: Scene) -> Iterator[SafetyVerdict]:
        name = key.lower().removeprefix("keycode_")
        last = (name if name.endswith("+") else name.rpartition("+")[2]).translate(_NO_LETTER)
        for rule in self.rules.rules:
            if last in (one.translate(_NO_LETTER) for one in rule.keys):
                yield _met(rule, f"key {key!r}", "the key")
        if last in _ENTER_KEYS:
            yield from self._on_enter(scene)
        elif key == " " or last in ("space", "spacebar"):
            yield from self._on_focus(scene)

    def _on_enter(self, scene: Scene) -> Iterator[SafetyVerdict]:
        yield from self._on_focus(scene)
        rules = [rule for rule in self.rules.rules if rule.enter]
        for target in scene.submits:
            for verdict in self._on_target(target, rules):
                yield replace(verdict, why=f"{verdict.why}; Enter may press it")
            yield from self._on_link(target)

    def _on_focus(self, scene: Scene) -> Iterator[SafetyVerdict]:
        if scene.focus is not None and scene.focus.role != "text_field":
            yield from self._on_targets((scene.focus,), scene)

    def _on_start(self, name: str, scene: Scene) -> Iterator[SafetyVerdict]:
        app = scene.opens or name
        yield self.judge_place(app)
        for rule in self.rules.rules:
            if rule.owns(app):
                yield _met(rule, f"app {app!r}", "starting it")


def _met(rule: Rule, hit: str, by: str) -> SafetyVerdict:
    return SafetyVerdict(decision=rule.decision, rule=rule.name, hit=hit, why=f"{rule.about} ({by})")


def _weight(verdict: SafetyVerdict) -> tuple[int, bool]:
    """The stricter first; of what is allowed, what was noticed before what was not."""
    return _STRICTNESS[verdict.decision], bool(verdict.rule)


def _leaves_or_rests(action: Action) -> bool:
    """What may be done also where the agent should not be: going away, and nothing at all."""
    match action:
        case SystemButton(button=Button.BACK | Button.HOME) | Wait() | Answer() | Finish() | OpenApp():
            return True
        case _:
            return False


def _oversized(action: Action) -> SafetyVerdict | None:
    match action:
        case TypeText(text=text) if len(text) > MAX_TYPED_CHARACTERS:
            what, most = f"typing {len(text)} characters", MAX_TYPED_CHARACTERS
        case OpenApp(name=text) | PressKey(key=text) if len(text) > MAX_NAME_CHARACTERS:
            what, most = f"a name of {len(text)} characters", MAX_NAME_CHARACTERS
        case _:
            return None
    return SafetyVerdict(decision=Decision.DENY, rule="size", why=f"{what}; at most {most} are taken")


def _ends_lines(text: str) -> bool:
    return "\n" in text or "\r" in text


def _is_short(label: str) -> bool:
    text = comparable(label)
    return len(text) <= _MOST_CHARACTERS_OF_A_COMMAND and len(text.split()) <= _MOST_WORDS_OF_A_COMMAND


def _slides(target: Target) -> bool:
    words = [comparable(label) for label in target.labels]
    return target.role in ("slider", "switch") or any(slide in word for word in words for slide in _SLIDING)
