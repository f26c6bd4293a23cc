"""Which model acts when none is named: the one that the quickstart trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from gui_agent.agent_spec import AgentKind
from gui_agent.cli.agents import AgentOptions
from gui_agent.cli.view import training_settings
from gui_agent.errors import ConfigError

QUICKSTART_MODEL: Final = Path("runs/quickstart/semi_online/model")


def with_default_model(options: AgentOptions) -> AgentOptions:
    """The same options, with the quickstart's model and its format where no model is named.

    Raises:
        ConfigError: none is named, and the quickstart's is not there.
    """
    if options.model:
        return options
    if options.endpoint:
        raise ConfigError("no model: give the name that the endpoint knows with --model")
    if options.kind is not AgentKind.FLAT:
        raise ConfigError(
            "no model: that of the quickstart is for a flat agent; give --model with a planner and an actor"
        )
    settings = training_settings(QUICKSTART_MODEL.parent) if QUICKSTART_MODEL.is_dir() else None
    if settings is None:
        raise ConfigError(
            "no model: name one with --model (a folder, a hub name, or with --endpoint a served name), or "
            f"make that of the quickstart, {QUICKSTART_MODEL}, with: gui-agent pipeline --recipe quickstart"
        )
    return replace(
        options,
        model=str(QUICKSTART_MODEL),
        format=settings.get("format", options.format),
        max_completion_length=settings.get("max_completion_length", options.max_completion_length),
    )
