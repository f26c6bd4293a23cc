"""Command-line flags: which option a flag means, and what type its text has."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from gui_agent.cli.recipes import Setting, Settings, overlaid, parse_yaml
from gui_agent.cli.schema import (
    Option,
    OptionPath,
    Schema,
    TypeMismatch,
    check,
    did_you_mean,
    is_bool,
    is_mapping,
    is_sequence,
    may_be_bool,
    union_members,
)
from gui_agent.errors import ConfigError


@dataclass(slots=True, kw_only=True)
class GlobalFlags:
    """Flags that every command has.

    Attributes:
        recipe: name or path of a recipe.
        print_config: print the effective settings as a recipe and stop.
        dry_run: check everything, say what would be done, and do nothing.
        help: print help and stop.
        traceback: show where an error came from.
    """

    recipe: str | None = None
    print_config: bool = False
    dry_run: bool = False
    help: bool = False
    traceback: bool = False


GLOBAL_SWITCHES: Final = {
    "--print-config": "print_config",
    "--dry-run": "dry_run",
    "--help": "help",
    "-h": "help",
    "--traceback": "traceback",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFlags:
    """What the command line says."""

    common: GlobalFlags
    settings: Settings


def parse_flags(arguments: Sequence[str], schema: Schema) -> ParsedFlags:
    """Read the arguments that follow a command's name; a later flag replaces an earlier one.

    Raises:
        ConfigError: a flag is unknown, means several options, has no value, or one of the wrong type.
    """
    reader = _Reader(arguments=list(arguments), schema=schema, common=GlobalFlags(), settings={})
    while reader.arguments:
        reader.read_next()
    return ParsedFlags(common=reader.common, settings=reader.settings)


def option_for(flag: str, schema: Schema) -> Option:
    """The option that a flag names by its whole path, or by an end of it that no other option has.

    Raises:
        ConfigError: none or several have that name.
    """
    wanted: OptionPath = tuple(flag.removeprefix("--").replace("-", "_").split("."))
    if wanted in schema.options:
        return schema.options[wanted]
    matches = [option for path, option in schema.options.items() if path[-len(wanted) :] == wanted]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ConfigError(
            f"{flag} may mean {' or '.join(option.flag for option in matches)}; write the whole name"
        )
    raise ConfigError(f"unknown flag {flag}; {_suggest(flag, schema)}")


def _suggest(flag: str, schema: Schema) -> str:
    known = [option.flag for option in schema.options.values()]
    short = ["--" + option.path[-1].replace("_", "-") for option in schema.options.values()]
    switches = [name for name in GLOBAL_SWITCHES if name.startswith("--")]
    hint = did_you_mean(flag.replace("_", "-"), [*dict.fromkeys([*known, *short]), "--recipe", *switches])
    return hint if hint.startswith("did you mean") else "see --help for all flags"


@dataclass(slots=True, kw_only=True)
class _Reader:
    arguments: list[str]
    schema: Schema
    common: GlobalFlags
    settings: Settings

    def read_next(self) -> None:
        argument = self.arguments.pop(0)
        letters = {f"-{one.letter}": one.flag for one in self.schema.options.values() if one.letter}
        argument = letters.get(argument, argument)
        if argument in GLOBAL_SWITCHES:
            setattr(self.common, GLOBAL_SWITCHES[argument], True)
        elif not argument.startswith("--"):
            self._positional(argument)
        else:
            flag, has_value, value = argument.partition("=")
            if flag == "--recipe":
                self.common.recipe = value if has_value else self._value(flag)
            else:
                self._flag(flag, value if has_value else None)

    def _flag(self, flag: str, value: str | None) -> None:
        negated = self._negated(flag)
        if negated is not None:
            if value is not None:
                raise ConfigError(f"{flag} takes no value")
            self._set(negated, False, flag)
            return
        section: OptionPath = tuple(flag.removeprefix("--").replace("-", "_").split("."))
        if section in self.schema.sections:
            text = value if value is not None else self._value(flag)
            kind = self.schema.short_for(section)
            if kind is not None and text not in ("none", "null"):
                self._set_text(kind, [text], flag)
            else:
                self._switch_off(section, flag, text)
            return
        option = option_for(flag, self.schema)
        if is_sequence(option.annotation) or is_mapping(option.annotation):
            texts = [value] if value is not None else self._values()
            if not texts:
                raise ConfigError(f"{flag} needs a value")
            self._set_text(option, texts, flag)
        elif is_bool(option.annotation) and value is None:
            follows = bool(self.arguments) and self.arguments[0] in ("true", "false")
            self._set_text(option, [self.arguments.pop(0) if follows else "true"], flag)
        elif may_be_bool(option.annotation) and value is None:
            self._set_text(option, [self._value(flag) if self._has_value() else "true"], flag)
        else:
            self._set_text(option, [value if value is not None else self._value(flag)], flag)

    def _negated(self, flag: str) -> Option | None:
        """The switch that `--no-NAME` or `--section.no-NAME` turns off."""
        head, dot, last = flag.removeprefix("--").rpartition(".")
        if not last.startswith(("no-", "no_")):
            return None
        try:
            option = option_for(f"--{head}{dot}{last[3:]}", self.schema)
        except ConfigError:
            return None
        return option if may_be_bool(option.annotation) else None

    def _switch_off(self, section: OptionPath, flag: str, value: str) -> None:
        optional = self.schema.sections[section].optional
        if value not in ("none", "null") or not optional:
            ways = f"{flag}.NAME VALUE, or {flag} none" if optional else f"{flag}.NAME VALUE"
            raise ConfigError(f"{flag} is a section of settings and cannot be {value!r}; write {ways}")
        off = {section: Setting(value=None, source=flag)}
        self.settings = overlaid(self.settings, off, self.schema)

    def _positional(self, argument: str) -> None:
        free = [o for path, o in self.schema.options.items() if o.positional and path not in self.settings]
        if not free:
            raise ConfigError(f"unexpected argument {argument!r}; settings are given as --name value")
        texts = [argument, *self._values()] if is_sequence(free[0].annotation) else [argument]
        self._set_text(free[0], texts, free[0].path[-1].upper())

    def _has_value(self) -> bool:
        return bool(self.arguments) and not _is_flag(self.arguments[0])

    def _value(self, flag: str) -> str:
        if not self._has_value():
            raise ConfigError(f"{flag} needs a value")
        return self.arguments.pop(0)

    def _values(self) -> list[str]:
        taken: list[str] = []
        while self._has_value():
            taken.append(self.arguments.pop(0))
        return taken

    def _set_text(self, option: Option, texts: list[str], flag: str) -> None:
        self._set(option, _from_text(texts, option.annotation, flag), flag)

    def _set(self, option: Option, value: Any, flag: str) -> None:
        try:
            checked = check(value, option.annotation)
        except TypeMismatch as reason:
            raise ConfigError(f"{flag}: {reason}") from None
        self.settings[option.path] = Setting(value=checked, source=flag)


def _is_flag(argument: str) -> bool:
    return argument.startswith("--") or argument == "-h"


def _from_text(texts: list[str], annotation: Any, flag: str) -> Any:
    """Turn words of the command line into what the same words would mean in a recipe."""
    if is_mapping(annotation):
        return _mapping(texts, annotation, flag)
    if is_sequence(annotation):
        if texts in (["none"], ["null"]) and type(None) in union_members(annotation):
            return None
        if len(texts) == 1 and texts[0].startswith("["):
            return _yaml(texts[0], flag)
        args = next((typing.get_args(a) for a in union_members(annotation) if is_sequence(a)), ())
        item_types = list(args) if args and args[-1] is not Ellipsis else list(args[:1])
        item_types += [item_types[-1] if item_types else Any] * len(texts)
        return [_scalar(text, item_types[i], flag) for i, text in enumerate(texts)]
    return _scalar(texts[0], annotation, flag)


def _scalar(text: str, annotation: Any, flag: str) -> Any:
    members = union_members(annotation)
    if text in ("none", "null") and type(None) in members:
        return None
    value = _yaml(text, flag)
    try:
        check(value, annotation)
    except TypeMismatch:
        return text  # a text, a path or a choice; or wrong, which the caller finds out
    literal_text = str in members or Path in members
    return text if literal_text and len([m for m in members if m is not type(None)]) == 1 else value


def _mapping(texts: list[str], annotation: Any, flag: str) -> Any:
    if len(texts) == 1 and (texts[0].startswith("{") or texts[0] in ("null", "none")):
        return _yaml("null" if texts[0] == "none" else texts[0], flag)
    args = next((typing.get_args(a) for a in union_members(annotation) if is_mapping(a)), ())
    pairs: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{flag}: expected key=value, got {text!r}")
        pairs[key] = _scalar(value, args[1] if len(args) == 2 else Any, flag)
    return pairs


def _yaml(text: str, flag: str) -> Any:
    try:
        return parse_yaml(text)
    except yaml.YAMLError:
        return text
