"""Which model acts when none is named: the one that the quickstart trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from gui_agent.agent_spec import AgentKind
from gui_agent.cli.agents import AgentOptions
from gui_agent.cli.model_check import trained_as
from gui_agent.errors import ConfigError
from gui_agent.model_settings import ModelSettings

QUICKSTART_MODEL: Final = Path("runs/quickstart/semi_online/model")


def with_default_model(options: AgentOptions) -> AgentOptions:
    """The same options, with the quickstart's model where none is named, asked as it was trained to be.

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
    if not QUICKSTART_MODEL.is_dir():
        raise ConfigError(
            "no model: name one with --model (a folder, a hub name, or with --endpoint a served name), or "
            f"make that of the quickstart, {QUICKSTART_MODEL}, with: gui-agent pipeline --recipe quickstart"
        )
    trained = trained_as(QUICKSTART_MODEL) or ModelSettings()
    unchosen = AgentOptions()
    taught = {
        name: value
        for name in ("format", "max_completion_length")
        if (value := getattr(trained, name)) and getattr(options, name) == getattr(unchosen, name)
    }
    return replace(options, model=str(QUICKSTART_MODEL), **taught)
