"""What settings a dataclass has, and whether a value fits a field's type.

A *section* is a nested dataclass; an *option* is a field that is not. An option is named by its path
from the command, `("learner", "learning_rate")`, written `learner.learning_rate` in a recipe's messages
and `--learner.learning-rate` as a flag.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import enum
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gui_agent.cli.docstrings import attribute_docs, summary_of

OptionPath = tuple[str, ...]

REQUIRED: Final = dataclasses.MISSING
"""Stands where an option has no default."""

_SEQUENCES: Final = (tuple, list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable)
_MAPPINGS: Final = (dict, collections.abc.Mapping)


class TypeMismatch(ValueError):
    """A value does not have the type of its option; the message says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting of a command.

    Attributes:
        path: names of the fields that lead to it.
        annotation: its resolved type.
        default: the value if nothing sets it, or `REQUIRED`.
        help: what it does.
        positional: whether it may be given without its flag.
        letter: its short flag without the dash; "" for none.
    """

    path: OptionPath
    annotation: Any
    default: Any
    help: str
    positional: bool = False
    letter: str = ""

    @property
    def name(self) -> str:
        """The path in a recipe: `learner.learning_rate`."""
        return ".".join(self.path)

    @property
    def flag(self) -> str:
        """The flag: `--learner.learning-rate`."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A nested dataclass of options.

    Attributes:
        path: names of the fields that lead to it.
        summary: what the field, or else the dataclass, says of itself.
        optional: whether `null` switches it off.
    """

    path: OptionPath
    summary: str
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """All options and sections of a command, in the order of their fields."""

    options: dict[OptionPath, Option]
    sections: dict[OptionPath, Section]

    def short_for(self, section: OptionPath) -> Option | None:
        """The option that a bare value of a section sets, its `kind`: `--agent hierarchical`."""
        return self.options.get((*section, "kind")) if section in self.sections else None

    def keys_below(self, path: OptionPath) -> list[str]:
        """Names that may follow a section's path."""
        paths = [*self.options, *self.sections]
        return [p[-1] for p in paths if len(p) == len(path) + 1 and p[:-1] == path]


def schema_of(cls: type) -> Schema:
    """Walk a dataclass and its nested dataclasses."""
    options: dict[OptionPath, Option] = {}
    sections: dict[OptionPath, Section] = {}
    _walk(cls, (), None, options, sections)
    return Schema(options=options, sections=sections)


def _walk(
    cls: type,
    path: OptionPath,
    instance: object,
    options: dict[OptionPath, Option],
    sections: dict[OptionPath, Section],
) -> None:
    hints = typing.get_type_hints(cls)
    docs = attribute_docs(cls)
    for field in fields_of(cls):
        here = (*path, field.name)
        annotation = hints[field.name]
        default = default_of(field) if instance is None else getattr(instance, field.name)
        nested = nested_class(annotation)
        if nested is not None:
            sections[here] = Section(
                path=here,
                summary=docs.get(field.name) or summary_of(nested),
                optional=type(None) in union_members(annotation),
            )
            _walk(nested, here, None if default is REQUIRED else default, options, sections)
            continue
        options[here] = Option(
            path=here,
            annotation=annotation,
            default=default,
            help=field.metadata.get("help") or docs.get(field.name, ""),
            positional=bool(field.metadata.get("positional")) and not path,
            letter=str(field.metadata.get("letter", "")),
        )


def fields_of(cls: Any) -> list[dataclasses.Field[Any]]:
    """The fields that the constructor takes."""
    return [field for field in dataclasses.fields(cls) if field.init and not field.name.startswith("_")]


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a field, or `REQUIRED`."""
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED


def nested_class(annotation: Any) -> type | None:
    """The dataclass of a section, also where it is optional (`Learner | None`), else None."""
    members = [a for a in union_members(annotation) if a is not type(None)]
    if len(members) == 1 and isinstance(members[0], type) and dataclasses.is_dataclass(members[0]):
        return members[0]
    return None


def union_members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union; a type that is no union is its own only member."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def is_sequence(annotation: Any) -> bool:
    """Whether an option takes several values."""
    return any((typing.get_origin(a) or a) in _SEQUENCES for a in union_members(annotation))


def is_mapping(annotation: Any) -> bool:
    """Whether an option takes `key=value` pairs."""
    return any((typing.get_origin(a) or a) in _MAPPINGS for a in union_members(annotation))


def is_bool(annotation: Any) -> bool:
    """Whether an option is a switch and nothing else."""
    return {member for member in union_members(annotation) if member is not type(None)} == {bool}


def may_be_bool(annotation: Any) -> bool:
    """Whether an option may be used as a switch, such as one of type `bool | Path`."""
    return bool in union_members(annotation)


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A hint such as `did you mean 'x'? ` or the list of what is known."""
    names = list(known)
    close = difflib.get_close_matches(wrong, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(name) for name in close) + "?"
    return "known: " + ", ".join(sorted(names)) if names else "nothing can be set here"


def type_name(annotation: Any) -> str:
    """How a type is called in help and messages."""
    if annotation is type(None):
        return "none"
    members = union_members(annotation)
    if len(members) > 1:
        return " or ".join(type_name(member) for member in members)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "{" + ",".join(str(arg) for arg in args) + "}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "{" + ",".join(str(member.value) for member in annotation) + "}"
    if origin in _SEQUENCES:
        if origin is tuple and args and args[-1] is not Ellipsis:
            return " ".join(type_name(arg) for arg in args)
        return f"list of {type_name(args[0])}" if args else "list"
    if (origin or annotation) in _MAPPINGS:
        return f"mapping of {type_name(args[0])} to {type_name(args[1])}" if args else "mapping"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return names.get(annotation) or getattr(annotation, "__name__", None) or str(annotation)


def check(value: Any, annotation: Any) -> Any:
    """Return `value` as the type of an option: texts become paths and enum members, lists become tuples.

    Raises:
        TypeMismatch: the value does not fit; nothing is guessed (`"3"` is no number, 1 is no switch).
    """
    if annotation is Any or annotation is object:
        return value
    members = union_members(annotation)
    if len(members) > 1:
        return _check_union(value, annotation, members)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return _check_choice(value, {arg: arg for arg in args})
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        if isinstance(value, annotation):
            return value
        return _check_choice(value, {member.value: member for member in annotation})
    if origin in _SEQUENCES or annotation in _SEQUENCES:
        return _check_sequence(value, annotation, origin or annotation, args)
    if (origin or annotation) in _MAPPINGS:
        return _check_mapping(value, annotation, args)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _check_dataclass(value, annotation)
    return _check_scalar(value, annotation)


def _check_union(value: Any, annotation: Any, members: Sequence[Any]) -> Any:
    if value is None and type(None) in members:
        return None
    remaining = [member for member in members if member is not type(None)]
    reasons: list[str] = []
    # A whole number must not become a float because float was named first.
    for member in sorted(remaining, key=lambda m: m is not type(value)):
        try:
            return check(value, member)
        except TypeMismatch as reason:
            reasons.append(str(reason))
    raise TypeMismatch(reasons[0] if len(remaining) == 1 else _mismatch(value, annotation))


def _check_choice(value: Any, choices: Mapping[Any, Any]) -> Any:
    for choice, result in choices.items():
        if type(choice) is type(value) and choice == value:
            return result
    known = [str(choice) for choice in choices]
    hint = did_you_mean(str(value), known)
    one_of = "" if hint.startswith("known") else f" (known: {', '.join(known)})"
    raise TypeMismatch(f"{value!r} is not one of the choices; {hint}{one_of}")


def _check_sequence(value: Any, annotation: Any, origin: Any, args: Sequence[Any]) -> Any:
    if not isinstance(value, list | tuple | set | frozenset):
        raise TypeMismatch(_mismatch(value, annotation))
    items: list[Any]
    if origin is tuple and args and args[-1] is not Ellipsis:
        if len(args) != len(value):
            raise TypeMismatch(f"expected {len(args)} values ({type_name(annotation)}), got {len(value)}")
        items = [check(item, arg) for item, arg in zip(value, args, strict=True)]
    else:
        items = [check(item, args[0] if args else Any) for item in value]
    return origin(items) if origin in (list, set, frozenset) else tuple(items)


def _check_mapping(value: Any, annotation: Any, args: Sequence[Any]) -> Any:
    if not isinstance(value, dict):
        raise TypeMismatch(_mismatch(value, annotation))
    key_type, value_type = args or (Any, Any)
    return {check(k, key_type): check(v, value_type) for k, v in value.items()}


def _check_dataclass(value: Any, cls: Any) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, dict):
        raise TypeMismatch(_mismatch(value, cls))
    hints = typing.get_type_hints(cls)
    known = {field.name: field for field in fields_of(cls)}
    built: dict[str, Any] = {}
    for key, item in value.items():
        if key not in known:
            raise TypeMismatch(f"unknown key {key!r}; {did_you_mean(str(key), known)}")
        try:
            built[key] = check(item, hints[key])
        except TypeMismatch as reason:
            raise TypeMismatch(f"{key}: {reason}") from None
    missing = [name for name, field in known.items() if default_of(field) is REQUIRED and name not in built]
    if missing:
        raise TypeMismatch(f"missing: {', '.join(missing)}")
    try:
        return cls(**built)
    except ValueError as error:
        raise TypeMismatch(str(error)) from error


def _check_scalar(value: Any, annotation: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is float and is_number:
        return float(value)
    if annotation is Path and isinstance(value, str | Path):
        return Path(value)
    if annotation is int and is_number and isinstance(value, int):
        return value
    if annotation in (bool, str, type(None)) and isinstance(value, annotation):
        return value
    raise TypeMismatch(_mismatch(value, annotation))


def _mismatch(value: Any, annotation: Any) -> str:
    return f"expected {type_name(annotation)}, got {value!r}"
