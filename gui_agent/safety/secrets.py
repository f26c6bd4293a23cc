"""Texts that are typed but never written down.

The goal and the agent say `{NAME}`; the value takes its place when the text is typed on the device, and
nowhere else. The model never sees a value, unless the screen shows it. Where a value comes back (the text of
a widget, an address, an error), it is stored as `<secret NAME>`.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote, quote_plus

from gui_agent.errors import ConfigError
from gui_agent.safety.bounds import Bounds, sites_of

T = TypeVar("T")

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FEWEST_CHARACTERS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secret:
    """One text to keep.

    Attributes:
        name: what stands for it, without the braces.
        value: the text.
        scope: where it may be typed unasked; without apps and sites a person is asked each time.
    """

    name: str
    value: str
    scope: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"secret {self.name!r}: a name has letters, digits and _, such as PASSWORD")
        if len(self.value) < _FEWEST_CHARACTERS:
            raise ConfigError(
                f"secret {self.name}: its value has {len(self.value)} characters; at least "
                f"{_FEWEST_CHARACTERS} are needed, for shorter ones stand everywhere by chance"
            )

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    @property
    def placeholder(self) -> str:
        """What the goal and the agent write."""
        return f"{{{self.name}}}"

    @property
    def mark(self) -> str:
        """What is stored in place of the value."""
        return f"<secret {self.name}>"


class Secrets:
    """The secrets of one run.

    Args:
        secrets: with names of their own; more can be added while it goes on.
    """

    def __init__(self, secrets: Sequence[Secret] = ()) -> None:
        """Keep them in memory only."""
        self._secrets: dict[str, Secret] = {}
        self._masks: re.Pattern[str] | None = None
        self._mark_of: dict[str, str] = {}
        for secret in secrets:
            self.add(secret)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._secrets)})"

    def __bool__(self) -> bool:
        return bool(self._secrets)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the secrets."""
        return tuple(self._secrets)

    def add(self, secret: Secret) -> None:
        """Keep one more, for instance one that a person types by hand.

        Raises:
            ConfigError: another one has that name.
        """
        if self._secrets.get(secret.name, secret) != secret:
            raise ConfigError(f"secret {secret.name} is there twice; give each a name of its own")
        self._secrets[secret.name] = secret
        for one in self._secrets.values():
            for form in _forms(one.value):
                self._mark_of.setdefault(form, one.mark)
        longest_first = sorted(self._mark_of, key=len, reverse=True)
        self._masks = re.compile("|".join(map(re.escape, longest_first)))

    def reveal(self, text: str) -> str:
        """The text with the values in place of `{NAME}`: for the device alone."""
        for secret in self._secrets.values():
            text = text.replace(secret.placeholder, secret.value)
        return text

    def used_in(self, text: str) -> tuple[Secret, ...]:
        """The secrets that a text with `{NAME}` asks for."""
        return tuple(secret for secret in self._secrets.values() if secret.placeholder in text)

    def mask(self, text: str) -> str:
        """The text with `<secret NAME>` in place of every value, also of one quoted for a shell, a URL, HTML
        or JSON, or in base64."""
        return text if self._masks is None else self._masks.sub(lambda found: self._mark_of[found[0]], text)

    def shows(self, text: str) -> bool:
        """Whether a value stands in the text."""
        return self._masks is not None and self._masks.search(text) is not None

    def masked(self, value: T) -> T:
        """A value with all texts in it masked: dataclasses, mappings and sequences of any depth.

        What holds none is the same object. Pictures are bytes and stay as they are.
        """
        return cast(T, self._masked(value)) if self._secrets else value

    def _masked(self, value: Any) -> Any:
        if isinstance(value, Enum) or value is None:
            return value
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            found = {self._masked(key): self._masked(item) for key, item in value.items()}
            return value if found == value else found
        if isinstance(value, tuple | list):
            if value and isinstance(value[0], int | float):
                return value  # tokens, boxes
            items = [self._masked(item) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else type(value)(items)
        if is_dataclass(value) and not isinstance(value, type):
            changed = {
                one.name: new
                for one in fields(value)
                if (new := self._masked(old := getattr(value, one.name))) is not old and new != old
            }
            return replace(value, **changed) if changed else value
        return value


def secret_from_environment(
    text: str, *, environ: Mapping[str, str] | None = None, scope: Bounds | None = None
) -> Secret:
    """The secret that `NAME=VARIABLE` or `NAME=VARIABLE@WHERE` names.

    Args:
        text: a name, the environment variable with the value, and the app or site where it may be typed.
        environ: the variables; those of this process by default.
        scope: where it may be typed if the text does not say.

    Raises:
        ConfigError: the form is wrong, or the variable is not set.
    """
    name, equals, rest = text.partition("=")
    variable, at, where = rest.partition("@")
    if not equals or not name or not variable or (at and not where):
        raise ConfigError(
            f"secret {text!r}: expected NAME=VARIABLE or NAME=VARIABLE@WHERE, such as "
            "PASSWORD=MY_PASSWORD@example.org; the value itself stands in the environment variable"
        )
    value = (os.environ if environ is None else environ).get(variable)
    if value is None:
        raise ConfigError(f"secret {name}: the environment variable {variable} is not set")
    return Secret(name=name, value=value, scope=scope_of(where) if where else scope or Bounds())


def scope_of(where: str) -> Bounds:
    """An app (a package, or a name without a dot) or a site, as somewhere to type a secret.

    A name with a dot may be either, so that it is both.
    """
    is_site = "://" in where or "." in where or ":" in where or where == "localhost"
    return Bounds(
        apps=() if "://" in where or ":" in where else (where,), sites=sites_of([where]) if is_site else ()
    )


def _forms(value: str) -> set[str]:
    """How a value may come back."""
    encoded = base64.b64encode(value.encode(errors="surrogatepass")).decode()
    safe = value.encode(errors="replace").decode()
    forms = {
        value,
        quote(safe),
        quote(safe, safe=""),
        quote_plus(safe),
        html.escape(value),
        html.escape(value, quote=False),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        shlex.quote(value),
        value.replace(" ", "%s"),
        repr(value)[1:-1],
        encoded,
    }
    return {form for form in forms if len(form) >= _FEWEST_CHARACTERS}
