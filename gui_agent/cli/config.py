"""Effective settings of a command: its defaults, then a recipe, then flags."""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gui_agent.cli.commands import COMMANDS, Command, command_class
from gui_agent.cli.model_defaults import with_model_defaults
from gui_agent.cli.recipes import Setting, Settings, dump_yaml, load_recipe
from gui_agent.cli.schema import (
    REQUIRED,
    OptionPath,
    Schema,
    TypeMismatch,
    check,
    default_of,
    did_you_mean,
    fields_of,
    nested_class,
    schema_of,
)
from gui_agent.errors import ConfigError

T = TypeVar("T")


def option(
    default: Any = dataclasses.MISSING, *, help: str | None = None, positional: bool = False, letter: str = ""
) -> Any:
    """A dataclass field that may be given without its flag (`view runs/a`), or by a letter (`-n 4`).

    Ordinary fields need none of this; their help stands under `Attributes:` in the class's docstring.
    """
    metadata: dict[str, Any] = {"positional": positional, "letter": letter}
    if help is not None:
        metadata["help"] = help
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def load_command(
    name: str,
    *,
    recipe: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    asks_models: bool = True,
) -> Command:
    """Build a command from Python, as the command line would.

    Args:
        name: such as `train semi-online`.
        recipe: name or path of a recipe.
        overrides: values that go before the recipe, by path: `{"learner.learning_rate": 1e-4}`.
        asks_models: fill in what a model that is named says of itself; False is for commands that are to be
            the same whether that model is there yet or not.

    Raises:
        ConfigError: a key is unknown, a value has the wrong type, a required one is missing, or what a model
            says of itself cannot be used.
        DependencyError: the command cannot be imported.
    """
    cls = command_class(name)
    schema = schema_of(cls)
    settings = recipe_settings(recipe, name, schema) if recipe else {}
    for key, value in (overrides or {}).items():
        path: OptionPath = tuple(key.split("."))
        if path not in schema.options:
            known = [known_option.name for known_option in schema.options.values()]
            raise ConfigError(f"{name}: unknown option {key!r}; {did_you_mean(key, known)}")
        try:
            checked = check(value, schema.options[path].annotation)
        except TypeMismatch as reason:
            raise ConfigError(f"{name}: {key}: {reason}") from None
        settings[path] = Setting(value=checked, source=key)
    return build(cls, with_model_defaults(settings, cls) if asks_models else settings, recipe=recipe)


def recipe_settings(recipe: str, command: str, schema: Schema) -> Settings:
    """What a recipe says to one command.

    Raises:
        ConfigError: as `load_recipe`.
    """
    return load_recipe(
        recipe,
        command,
        schema,
        known_commands=COMMANDS,
        schema_of_command=lambda name: schema_of(command_class(name)),
    )


def build(cls: type[T], settings: Settings, *, recipe: str | None = None) -> T:
    """Make an instance of a command's dataclass.

    A command that has a field `recipe` gets the name of the recipe there.

    Raises:
        ConfigError: a required option is missing, or a dataclass refuses its values.
    """
    settings = dict(settings)
    if recipe is not None and ("recipe",) in schema_of(cls).options:
        settings[("recipe",)] = Setting(value=recipe, source="--recipe")
    missing = _missing(cls, settings, (), None)
    if missing:
        flags = ", ".join("--" + ".".join(path).replace("_", "-") for path in missing)
        raise ConfigError(f"missing: {flags}; give it as a flag or in a recipe")
    built = _build(cls, settings, (), REQUIRED)
    assert isinstance(built, cls)
    return built


def _missing(cls: Any, settings: Settings, path: OptionPath, default: Any) -> list[OptionPath]:
    """Required options that nothing sets; those of a section that stays off are not required."""
    if default is not None and default is not REQUIRED:
        return []
    hints = typing.get_type_hints(cls)
    missing: list[OptionPath] = []
    for field in fields_of(cls):
        here = (*path, field.name)
        nested, field_default = nested_class(hints[field.name]), default_of(field)
        if nested is not None:
            if field_default is not None or _touched(settings, here):
                missing += _missing(nested, settings, here, field_default)
        elif field_default is REQUIRED and here not in settings:
            missing.append(here)
    return missing


def _touched(settings: Settings, section: OptionPath) -> bool:
    return any(len(p) > len(section) and p[: len(section)] == section for p in settings)


def _build(cls: Any, settings: Settings, path: OptionPath, default: Any) -> Any:
    hints = typing.get_type_hints(cls)
    changed: dict[str, Any] = {}
    sources: list[str] = []
    for field in fields_of(cls):
        here = (*path, field.name)
        nested = nested_class(hints[field.name])
        if here in settings:
            changed[field.name] = settings[here].value
            sources.append(settings[here].source)
        # A section may be switched off by the recipe and on again by a flag.
        if nested is not None and _touched(settings, here):
            base = (
                default_of(field) if default is REQUIRED or default is None else getattr(default, field.name)
            )
            changed[field.name] = _build(nested, settings, here, base)
        elif nested is not None and default in (REQUIRED, None) and default_of(field) is REQUIRED:
            changed.setdefault(field.name, _build(nested, settings, here, REQUIRED))
    try:
        if default is REQUIRED or default is None:
            return cls(**changed)
        return dataclasses.replace(default, **changed)
    except (ValueError, TypeError) as error:
        where = f"{'.'.join(path)}: " if path else ""
        origin = f" (set by {', '.join(dict.fromkeys(sources))})" if sources else ""
        raise ConfigError(f"{where}{error}{origin}") from error


def to_yaml(name: str, command: object) -> str:
    """The settings of a command as a recipe with one section, which loads to an equal command."""
    return dump_yaml({name: plain(command)})


def plain(value: Any) -> Any:
    """Dataclasses, enums, paths and tuples as what YAML and JSON know."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields_of(value)}
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value
