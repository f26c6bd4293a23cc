"""A trained model says how it is to be asked: settings below those of flags and recipes, which win with a
warning.

Commands that are built for the stages of an experiment get nothing filled in: a stage is what its recipe
says, whatever lies in the folders of a computer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.cli.recipes import Setting, Settings
from gui_agent.cli.schema import OptionPath, Schema, schema_of
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import get_format, get_planner_format
from gui_agent.model_settings import ModelSettings

if TYPE_CHECKING:  # it brings what talks to servers, which --help does without
    from gui_agent.policies.opening import PolicySource

QUICKSTART_MODEL: Final = "runs/quickstart/semi_online/model"
"""`default_model` of commands that take it where none is named."""

_SECTIONS: Final[tuple[OptionPath, ...]] = ((), ("agent",))
"""Where a command names a model: itself, as trainings do, or in the options of its agent."""
_FORMATS: Final[dict[str, Callable[[str], Any]]] = {
    "format": get_format,
    "planner_format": get_planner_format,
}


def with_model_defaults(settings: Settings, cls: type) -> Settings:
    """The same settings and, where they leave it open, how the model that they name was trained to be asked.

    Args:
        settings: of flags and recipe; what they say stays.
        cls: the command's dataclass; its `default_model`, if it has one, acts where nobody else does.

    Raises:
        ConfigError: what a model says of itself cannot be read, or is not known here and not chosen.
    """
    settings, schema = dict(settings), schema_of(cls)
    for section in _SECTIONS:
        if {(*section, "model"), (*section, "format")} <= schema.options.keys():
            _take_model(settings, section, getattr(cls, "default_model", ""))
            _take_ways(settings, section, schema)
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model and how it is to be asked, as far as it says."""

    name: str
    settings: ModelSettings

    @classmethod
    def before_opening(cls, source: PolicySource) -> Trained:
        """What a folder says; a server is asked when it is connected to.

        Raises:
            ConfigError: what is said cannot be read.
        """
        said = None if source.endpoint else _said_by(source.model)
        return cls(name=source.model, settings=said or ModelSettings())


def warn_of_other_ways(asked: AgentSpec, *, actor: Trained, planner: Trained) -> None:
    """Warn where a model is asked otherwise than it was trained to be.

    Its answers can then not be read, or are worse for no reason that a figure shows. Nothing is said of
    models of which it is not known.

    Args:
        asked: the agent that is set.
        actor: the model that acts.
        planner: the model that plans; without effect for a flat agent.
    """
    for words in _other_ways(asked, actor, planner):
        warnings.warn(words, stacklevel=2)


def _take_model(settings: Settings, section: OptionPath, model: str) -> None:
    """The default model, where nobody else acts and no other kind of agent is asked for."""
    others = ((*section, "model"), (*section, "endpoint"), ("expert",))
    if not model or not Path(model).is_dir() or any(_value(settings, path) for path in others):
        return
    trained = _said_by(model) or ModelSettings()
    if _value(settings, (*section, "kind")) in (None, trained.agent or AgentKind.FLAT):
        settings[(*section, "model")] = Setting(value=model, source="the default")


def _take_ways(settings: Settings, section: OptionPath, schema: Schema) -> None:
    """What the models of one section say, for the options that the command has and nobody set."""
    names = {role: str(_value(settings, (*section, role)) or "") for role in ("model", "actor", "planner")}
    if _value(settings, (*section, "endpoint")):
        names["model"] = ""  # it is the server's, whatever folder is called so here
    said = {role: found for role, name in names.items() if (found := _said_by(name))}

    def take(path: OptionPath, name: str, role: str | None) -> None:
        value = getattr(said[role], name) if role is not None else None
        if role is None or value in (None, "") or path not in schema.options or path in settings:
            return
        if name in _FORMATS:
            _require_known(name, value, names[role])
        settings[path] = Setting(value=value, source=f"the training of {names[role]}")

    def first(*roles: str) -> str | None:
        """The first of these models that says anything of itself."""
        return next((role for role in roles if role in said), None)

    kind = ("agent",) if ("agent",) in schema.options else ("agent", "kind")
    take(kind, "agent", first("model"))
    take((*section, "format"), "format", first("actor", "model"))
    # One setting for all of them: who was taught longer responses must not be cut off.
    longest = max(said, key=lambda role: said[role].max_completion_length or 0, default=None)
    take((*section, "max_completion_length"), "max_completion_length", longest)
    if _value(settings, kind) is AgentKind.HIERARCHICAL:
        take((*section, "planner_format"), "planner_format", first("planner", "model"))
        take((*section, "actor_history"), "actor_history", first("actor", "model"))


def _said_by(model: str) -> ModelSettings | None:
    return ModelSettings.read(model) if model else None


def _value(settings: Settings, path: OptionPath) -> Any:
    return settings[path].value if path in settings else None


def _require_known(name: str, value: str, model: str) -> None:
    try:
        _FORMATS[name](value)
    except ConfigError as error:
        flag = name.replace("_", "-")
        raise ConfigError(f"{model} was trained in {value!r}, and {error}; choose with --{flag}") from error


def _other_ways(asked: AgentSpec, actor: Trained, planner: Trained) -> Iterator[str]:
    acts, plans = actor.settings, planner.settings
    if acts.format and not _same("format", acts.format, asked.format):
        yield _words(actor.name, f"in the prompt format {acts.format!r}", f"in {asked.format!r}", "--format")
    if asked.kind is AgentKind.FLAT:
        if acts.agent is AgentKind.HIERARCHICAL:
            yield _words(actor.name, "as a hierarchical agent", "as a flat one", "--agent hierarchical")
        return
    if plans.agent is AgentKind.FLAT:
        yield _words(planner.name, "as a flat agent", "to plan, as a hierarchical one", "--agent flat")
    dialect = asked.planner_dialect
    if plans.planner_format and not _same("planner_format", plans.planner_format, dialect):
        trained = f"in the planner format {plans.planner_format!r}"
        yield _words(planner.name, trained, f"in {dialect!r}", "--planner-format")
    if acts.actor_history not in (None, asked.actor_history):
        trained = f"with actor_history={acts.actor_history}"
        yield _words(actor.name, trained, f"with actor_history={asked.actor_history}", "--actor-history")


def _words(model: str, trained: str, asked: str, flag: str) -> str:
    advice = f"give {flag} as in its training, unless you mean to compare them"
    return f"{model} was trained {trained} and is asked {asked}; {advice}"


def _same(name: str, trained: str, asked: str) -> bool:
    """Whether two formats come to the same, in whatever order their options are written."""
    try:
        before, now = (_FORMATS[name](each) for each in (trained, asked))
    except ConfigError:  # of another version of this program
        return trained == asked
    return type(before) is type(now) and before.options == now.options
