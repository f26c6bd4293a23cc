"""A trained model says how it is to be asked: settings below those of flags and recipes.

Commands that are built from Python, such as the stages of a pipeline, get nothing filled in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gui_agent.agent_spec import AgentKind
from gui_agent.cli.model_check import trained_as
from gui_agent.cli.recipes import Setting, Settings
from gui_agent.cli.schema import OptionPath, Schema
from gui_agent.errors import ConfigError
from gui_agent.formats.registry import get_format, get_planner_format
from gui_agent.model_settings import ModelSettings

_SECTIONS: Final[tuple[OptionPath, ...]] = ((), ("agent",))
"""Where a command names a model: itself, as trainings do, or in the options of its agent."""
_KNOWN: Final[dict[str, Callable[[str], object]]] = {
    "format": get_format,
    "planner_format": get_planner_format,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Speaker:
    """A model that is named, and what it says of itself."""

    model: str
    said: ModelSettings


def with_model_defaults(settings: Settings, schema: Schema) -> Settings:
    """The same settings and, where they leave it open, how the model that they name was trained to be asked.

    Args:
        settings: of flags and recipe; what they say stays.
        schema: the options of the command.

    Raises:
        ConfigError: what a model says of itself cannot be read, or is not known here and not chosen.
    """
    for section in _SECTIONS:
        if {(*section, "model"), (*section, "format")} <= schema.options.keys():
            settings = _completed(settings, schema, section)
    return settings


def _completed(settings: Settings, schema: Schema, section: OptionPath) -> Settings:
    """The settings with what the models of one section say, for the options that it has."""
    settings = dict(settings)

    def take(name: str, speaker: _Speaker | None, path: OptionPath) -> None:
        value = getattr(speaker.said, name) if speaker else None
        if speaker and value not in (None, "") and path in schema.options and path not in settings:
            if name in _KNOWN:
                _require_known(name, value, speaker.model)
            settings[path] = Setting(value=value, source=f"the training of {speaker.model}")

    model = _speaker(settings, section, "model")
    kind = ("agent",) if ("agent",) in schema.options else ("agent", "kind")
    take("agent", model, kind)
    take("max_completion_length", model, (*section, "max_completion_length"))
    take("format", _speaker(settings, section, "actor", "model"), (*section, "format"))
    if kind in settings and settings[kind].value is AgentKind.HIERARCHICAL:
        planner = _speaker(settings, section, "planner", "model")
        take("planner_format", planner, (*section, "planner_format"))
        take("actor_history", model, (*section, "actor_history"))
    return settings


def _speaker(settings: Settings, section: OptionPath, *options: str) -> _Speaker | None:
    """The first of the models, by the option that names it, that says something of itself."""
    for option in options:
        if option == "model" and _value(settings, (*section, "endpoint")):
            continue  # its name is the server's, whatever folder is called so here
        model = str(_value(settings, (*section, option)) or "")
        said = trained_as(Path(model)) if model else None
        if said is not None:
            return _Speaker(model=model, said=said)
    return None


def _value(settings: Settings, path: OptionPath) -> Any:
    return settings[path].value if path in settings else None


def _require_known(name: str, value: str, model: str) -> None:
    try:
        _KNOWN[name](value)
    except ConfigError as error:
        flag = name.replace("_", "-")
        raise ConfigError(f"{model} was trained in {value!r}, and {error}; choose with --{flag}") from error
