"""Rules of what needs a person's yes and what is denied: read from YAML, matched against what is hit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from gui_agent.errors import ConfigError
from gui_agent.named_options import suggestion
from gui_agent.safety.normal import identifier_words, normal
from gui_agent.safety.verdict import Decision

_UNSPACED: Final = re.compile(
    "[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
"""Scripts that write words without blanks between them, or with endings: their phrases match anywhere."""
_RULE_KEYS: Final = (
    *("name", "decision", "about", "words", "enter", "apps", "schemes", "keys", "typed", "passwords"),
)
_FILE_KEYS: Final = ("extends", "unknown", "harmless", "affirmations", "home", "rules")
_WORD: Final = re.compile(r"[^\W_]")
_LONGEST_LABEL: Final = 2_000
"""Characters of a label that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of action, and what is to be done about it; the fields are those of the YAML file.

    Attributes:
        name: such as "purchase".
        decision: what becomes of an action that meets it.
        about: what such an action does, for people.
        words: phrases of any language.
        enter: Enter beside a button of this rule counts as pressing it.
        apps: globs of packages.
        schemes: of addresses, without the colon.
        keys: names of keys.
        typed: regular expressions over typed text.
        passwords: typing into a password field meets it.
    """

    name: str
    decision: Decision
    about: str = ""
    words: tuple[str, ...] = ()
    enter: bool = False
    apps: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()
    passwords: bool = False

    def __post_init__(self) -> None:
        for pattern in self.typed:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(
                    f"rule {self.name!r}: typed {pattern!r} is no regular expression: {error}"
                ) from error
        for phrase in self.words:
            if not _WORD.search(normal(phrase)):
                raise ConfigError(f"rule {self.name!r}: the phrase {phrase!r} has no letter or digit")

    def word_in(self, label: str, *, is_identifier: bool = False) -> str:
        """The phrase of this rule that a label contains, comparable; "" if none."""
        pattern = _pattern(self.words)
        if pattern is None:
            return ""
        found = pattern.search(
            identifier_words(label[:_LONGEST_LABEL]) if is_identifier else comparable(label)
        )
        return found[0] if found else ""

    def typed_in(self, text: str) -> bool:
        """Whether typed text meets one of its expressions."""
        return any(re.search(pattern, text) for pattern in self.typed)

    def owns(self, app: str) -> bool:
        """Whether an app is one of its apps."""
        return any(fnmatchcase(app.lower(), glob.lower()) for glob in self.apps) if app else False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Everything that a safety file says.

    Attributes:
        rules: in order; the strictest that is met decides, the first of equals.
        harmless: whole labels that meet no rule, comparable.
        affirmations: whole labels that mean what the dialog around them asks, comparable.
        home: places between apps, globs.
        unnamed: what becomes of an action on a place where the device knows of no widget with a name.
        opaque: the same where the device knows nothing.
    """

    rules: tuple[Rule, ...]
    harmless: frozenset[str] = frozenset()
    affirmations: frozenset[str] = frozenset()
    home: tuple[str, ...] = ()
    unnamed: Decision = Decision.ALLOW
    opaque: Decision = Decision.CONFIRM

    @property
    def names(self) -> Sequence[str]:
        """Of the rules, in order."""
        return tuple(rule.name for rule in self.rules)

    def with_decision(self, wanted: Iterable[str], decision: Decision) -> Rules:
        """These rules with others added or changed: each is the name of a rule, or a phrase of one's own.

        Raises:
            ConfigError: a phrase has no letter or digit.
        """
        changed = list(self.rules)
        phrases: list[str] = []
        for one in wanted:
            places = [index for index, rule in enumerate(changed) if rule.name == one.strip()]
            if places:
                changed[places[0]] = replace(changed[places[0]], decision=decision)
            else:
                phrases.append(one)
        if phrases:
            own = Rule(
                name=f"own {decision.value} list",
                decision=decision,
                about="is on the list of whoever started this",
                words=tuple(phrases),
                enter=True,
                apps=tuple(phrase for phrase in phrases if "." in phrase and " " not in phrase),
            )
            changed.insert(0, own)
        return replace(self, rules=tuple(changed))


def comparable(label: str) -> str:
    """What is compared of a label: a page may write any amount of text on a button."""
    return normal(label[:_LONGEST_LABEL])


@cache
def default_rules() -> Rules:
    """The rules that come with the package."""
    text = resources.files("gui_agent.safety").joinpath("default_rules.yaml").read_text("utf-8")
    return _rules_of(yaml.safe_load(text), "default_rules.yaml")


def load_rules(path: Path) -> Rules:
    """The rules of a file.

    With `extends: default` the file adds to the rules of the package: a rule of the same name replaces
    theirs, one that says only `name` and `decision` changes its decision, lists are joined. Without, it
    stands alone.

    Raises:
        ConfigError: the file cannot be read, or says something that is not known.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"safety file {path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"safety file {path}: is no YAML: {error}") from error
    return _rules_of(data, str(path))


def _rules_of(data: Any, where: str) -> Rules:
    _check_keys(data, _FILE_KEYS, where)
    extends = data.get("extends", "")
    if extends not in ("", "default"):
        raise ConfigError(f"{where}: extends is {extends!r}; expected default, or nothing")
    base = default_rules() if extends else Rules(rules=())
    unknown = data.get("unknown") or {}
    _check_keys(unknown, ("unnamed", "opaque"), f"{where}: unknown")
    given = data.get("rules") or []
    if not isinstance(given, list):
        raise ConfigError(f"{where}: rules is {type(given).__name__}; expected a list")
    known = {rule.name: rule for rule in base.rules}
    own = [_rule(one, f"{where}: rule {number}", known) for number, one in enumerate(given, 1)]
    names = [rule.name for rule in own]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{where}: rule {twice[0]!r} is there twice")
    return Rules(
        rules=tuple({**known, **{rule.name: rule for rule in own}}.values()),
        harmless=base.harmless | frozenset(map(normal, _texts(data, "harmless", where))),
        affirmations=base.affirmations | frozenset(map(normal, _texts(data, "affirmations", where))),
        home=base.home + _texts(data, "home", where),
        unnamed=_decision(unknown.get("unnamed", base.unnamed.value), f"{where}: unnamed"),
        opaque=_decision(unknown.get("opaque", base.opaque.value), f"{where}: opaque"),
    )


def _rule(data: Any, where: str, known: Mapping[str, Rule]) -> Rule:
    _check_keys(data, _RULE_KEYS, where)
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}: has no name")
    decision = _decision(data.get("decision"), f"{where} ({name})")
    if set(data) <= {"name", "decision"}:
        if name not in known:
            hint = suggestion(name, known)
            raise ConfigError(
                f"{where}: {name!r} has a decision alone, and there is no such rule to change; {hint}"
            )
        return replace(known[name], decision=decision)
    for key in ("enter", "passwords"):
        if not isinstance(data.get(key, False), bool):
            raise ConfigError(f"{where}: {key} is {data[key]!r}; expected true or false")
    words = data.get("words") or {}
    by_language = words if isinstance(words, dict) else {"any": words}
    return Rule(
        name=name,
        decision=decision,
        about=str(data.get("about", name)),
        words=tuple(text for language in by_language for text in _texts(by_language, language, where)),
        enter=data.get("enter", False),
        apps=_texts(data, "apps", where),
        schemes=tuple(scheme.lower().rstrip(":") for scheme in _texts(data, "schemes", where)),
        keys=tuple(key.lower() for key in _texts(data, "keys", where)),
        typed=_texts(data, "typed", where),
        passwords=data.get("passwords", False),
    )


def _check_keys(data: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: is {type(data).__name__}; expected keys such as {', '.join(known)}")
    for key in data:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; {suggestion(str(key), known)}")


def _texts(data: Mapping[Any, Any], key: Any, where: str) -> tuple[str, ...]:
    value = data.get(key) or []
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise ConfigError(
            f"{where}: {key} is {value!r}; expected a list of texts (quote yes, no, on, off and numbers)"
        )
    return tuple(value)


def _decision(value: Any, where: str) -> Decision:
    try:
        return Decision(value)
    except ValueError:
        raise ConfigError(f"{where}: decision is {value!r}; expected allow, confirm or deny") from None


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """One expression for all phrases, longer ones first so that the message names the more telling."""
    parts = sorted({_phrase(word) for word in words}, key=len, reverse=True)
    return re.compile("|".join(parts)) if parts else None


def _phrase(phrase: str) -> str:
    words = re.findall(r"[^\W_]+\*?", normal(phrase))
    parts = (re.escape(word.rstrip("*")) + (r"[^\W_]*" if word.endswith("*") else "") for word in words)
    joined = r"[\W_]*".join(parts)
    return joined if _UNSPACED.search(joined) else rf"(?<![^\W_]){joined}(?![^\W_])"
