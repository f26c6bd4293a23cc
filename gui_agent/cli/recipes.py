"""Recipes: YAML files with one section per command, found by name or by path.

defaults:            # for every command of this recipe that has the option
  seed: 7
train semi-online:
  learner:
    learning_rate: 1e-4
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from gui_agent.cli.schema import OptionPath, Schema, TypeMismatch, check, did_you_mean
from gui_agent.errors import ConfigError

RECIPES_DIR: Final = Path(__file__).resolve().parents[2] / "recipes"
"""Beside the packages, both in a source tree and where a wheel was installed."""

_DEFAULTS: Final = "defaults"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A checked value for one option, and where it was written (`quickstart.yaml:12` or a flag)."""

    value: Any
    source: str


Settings = dict[OptionPath, Setting]


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2: `1e-4` is a number, `on`, `12:30` and `010` are texts."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(~|null|)$", "~n"),
    ("bool", r"^(true|false)$", "tf"),
    ("int", r"^([-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "float",
        r"^([-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)$",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), [*_first, ""] if _tag == "null" else list(_first)
    )


def parse_yaml(text: str) -> Any:
    """Read one YAML value, as it would be read in a recipe.

    Raises:
        yaml.YAMLError: the text is no YAML.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `_Loader`, or a reader of YAML 1.1, would take for something else."""


_Dumper.yaml_implicit_resolvers = {
    first: [
        *_Loader.yaml_implicit_resolvers.get(first, ()),
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()),
    ]
    for first in _Loader.yaml_implicit_resolvers.keys() | yaml.SafeDumper.yaml_implicit_resolvers.keys()
}


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # In single quotes PyYAML folds rare line breaks (U+0085, U+2028) into spaces; escapes keep them.
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dump_yaml(value: Any) -> str:
    """Write plain values so that `parse_yaml` and a recipe give them back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the program."""
    return sorted(path.stem for path in RECIPES_DIR.glob("*.yaml"))


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path that exists, or a name among the recipes of the program.

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    named = RECIPES_DIR / f"{name}.yaml"
    if path.name == name and not path.suffix and named.is_file():
        return named
    raise ConfigError(
        f"--recipe {name}: there is no such file, nor a recipe of that name; "
        f"{did_you_mean(name, recipe_names())}"
    )


def recipe_sections(name: str) -> frozenset[str]:
    """Commands that a recipe has a section for.

    Raises:
        ConfigError: the file is no recipe.
    """
    return frozenset(_sections(find_recipe(name))) - {_DEFAULTS}


def load_recipe(
    name: str,
    command: str,
    schema: Schema,
    *,
    known_commands: Collection[str],
    schema_of_command: Callable[[str], Schema],
) -> Settings:
    """Read what a recipe says to one command; its own section goes before `defaults`.

    Args:
        name: name or path of the recipe.
        command: such as `train semi-online`.
        schema: the options of that command.
        known_commands: names that a section may have.
        schema_of_command: options of another command; asked only to judge defaults that this command
            does not have.

    Raises:
        ConfigError: the file is no recipe, names something unknown, or a value has the wrong type.
    """
    path = find_recipe(name)
    sections = _sections(path)
    for section, (_, mark) in sections.items():
        if section not in (_DEFAULTS, *known_commands):
            raise ConfigError(
                f"{mark}: there is no command {section!r}; {did_you_mean(section, known_commands)}"
            )
    if command not in sections and _DEFAULTS not in sections:
        raise ConfigError(
            f"{path}: no section for '{command}'; it has: {', '.join(sections) or 'nothing'}. "
            f"Add '{command}:' to the recipe, or leave --recipe away"
        )

    def others() -> list[Schema]:
        names = [name for name in sections if name not in (_DEFAULTS, command)]
        return [schema_of_command(name) for name in names]

    settings: Settings = {}
    if _DEFAULTS in sections:
        settings.update(_read_defaults(path, sections[_DEFAULTS][0], schema, (), others))
    if command in sections:
        settings = overlaid(settings, _read(path, sections[command][0], schema, ()), schema)
    return settings


def overlaid(below: Settings, above: Settings, schema: Schema) -> Settings:
    """Settings with others that go before them; a section that these switch off keeps nothing."""
    switched_off = [path for path in above if path in schema.sections]
    kept = {p: s for p, s in below.items() if not any(p[: len(off)] == off for off in switched_off)}
    return {**kept, **above}


def _sections(path: Path) -> dict[str, tuple[yaml.Node, str]]:
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this is no YAML: {error}") from error
    if root is None:
        return {}
    return {key: (node, mark) for key, node, mark in _pairs(path, root, "the recipe")}


def _pairs(path: Path, node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node, str]]:
    """Keys, values and places of a mapping; a key that stands there twice is an error."""
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{_mark(path, node)}: {what} must be a mapping of names to values")
    seen: set[str] = set()
    for key_node, value_node in node.value:
        mark = _mark(path, key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{mark}: a key must be a name")
        if key_node.value in seen:
            raise ConfigError(f"{mark}: {key_node.value!r} is set twice; remove one of the two")
        seen.add(key_node.value)
        yield key_node.value, value_node, mark


def _mark(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"


def _read(path: Path, node: yaml.Node, schema: Schema, prefix: OptionPath) -> Settings:
    """The settings of one section, every key known and every value of the right type."""
    settings: Settings = {}
    if _is_null(node) and not prefix:
        return settings
    for key, value_node, mark in _pairs(path, node, f"section {'.'.join(prefix) or 'of a command'}"):
        here = (*prefix, key.replace("-", "_"))
        settings.update(_read_key(path, here, value_node, mark, schema))
    return settings


def _read_key(path: Path, here: OptionPath, node: yaml.Node, mark: str, schema: Schema) -> Settings:
    name = ".".join(here)
    if here in schema.options:
        try:
            checked = check(_construct(node), schema.options[here].annotation)
        except TypeMismatch as reason:
            raise ConfigError(f"{mark}: {name}: {reason}") from None
        return {here: Setting(value=checked, source=mark)}
    if here not in schema.sections:
        raise ConfigError(f"{mark}: unknown key {name!r}; {_suggest(here, schema)}")
    kind = schema.short_for(here)
    if kind is not None and isinstance(node, yaml.ScalarNode) and not _is_null(node):
        return _read_key(path, kind.path, node, mark, schema)
    if _is_null(node) and schema.sections[here].optional:
        return {here: Setting(value=None, source=mark)}
    return _read(path, node, schema, here)


def _suggest(wrong: OptionPath, schema: Schema) -> str:
    """The same key in another section, else keys that are close in this one."""
    elsewhere = [option.name for path, option in schema.options.items() if path[-1] == wrong[-1]]
    if elsewhere:
        return "did you mean " + " or ".join(repr(name) for name in elsewhere) + "?"
    return did_you_mean(wrong[-1], schema.keys_below(wrong[:-1]))


def _read_defaults(
    path: Path, node: yaml.Node, schema: Schema, prefix: OptionPath, others: Callable[[], list[Schema]]
) -> Settings:
    """The defaults that this command has; each of the rest must be an option of another section."""
    settings: Settings = {}
    if _is_null(node):
        return settings
    for key, value_node, mark in _pairs(path, node, ".".join(("defaults", *prefix))):
        here = (*prefix, key.replace("-", "_"))
        if here in schema.sections and isinstance(value_node, yaml.MappingNode):
            settings.update(_read_defaults(path, value_node, schema, here, others))
        elif here in schema.options or here in schema.sections:
            settings.update(_read_key(path, here, value_node, mark, schema))
        elif not any(_knows(other, value_node, here) for other in others()):
            name = ".".join(here)
            raise ConfigError(f"{mark}: no command of this recipe has {name!r}; {_suggest(here, schema)}")
    return settings


def _knows(schema: Schema, node: yaml.Node, here: OptionPath) -> bool:
    if here in schema.options:
        return True
    if here not in schema.sections:
        return False
    if not isinstance(node, yaml.MappingNode):
        return schema.sections[here].optional or schema.short_for(here) is not None
    return all(_knows(schema, value, (*here, str(key.value).replace("-", "_"))) for key, value in node.value)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _construct(node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()
