"""What a trained model was taught to be: a small JSON file beside its weights, that moves with them.

    {
     "agent": "hierarchical",
     "format": "compact:snap_px=8",
     "planner_format": "compact",
     "max_completion_length": 16,
     "image_max_pixels": 1003520
    }

Trainings write it into every folder of weights; commands take it where their user chose nothing. A key
that is missing was not decided by the training; a key that is not known is of a newer version, or of
another program, and is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from gui_agent.agent_spec import AgentKind
from gui_agent.errors import ConfigError

MODEL_SETTINGS_FILE: Final = "gui_agent.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How a model is to be asked; None and empty stand for what its training did not decide.

    Attributes:
        agent: kind of the agent that it was trained as.
        format: prompt format of whoever acts, options included.
        planner_format: planner format, options included.
        actor_history: earlier steps that a planner's actor is reminded of, 0 or more.
        max_completion_length: tokens of one response, 1 or more.
        image_max_pixels: pixels of the largest picture that it was shown, after resizing, 1 or more.
    """

    agent: AgentKind | None = None
    format: str = ""
    planner_format: str = ""
    actor_history: int | None = None
    max_completion_length: int | None = None
    image_max_pixels: int | None = None

    @classmethod
    def of_training(cls, settings: Mapping[str, Any]) -> Self:
        """Those among the settings of a training, as its `config.json` has them.

        Raises:
            ConfigError: one of them is of the wrong kind.
        """
        return cls._of(settings, "the settings of a training")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What the file in a folder of weights says; None where there is none.

        Raises:
            ConfigError: it cannot be read, or a value is of the wrong kind.
        """
        path = folder / MODEL_SETTINGS_FILE
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path} cannot be read ({error}); mend it, or delete it and say --format yourself"
            ) from error
        if not isinstance(found, dict):
            raise ConfigError(f'{path} holds {found!r}; expected an object such as {{"format": "ui_s1"}}')
        return cls._of(found, str(path))

    def write(self, folder: Path) -> None:
        """Leave the file beside the weights; nothing is written where nothing was decided."""
        said = {name: getattr(self, name) for name in self.__slots__}
        said = {name: value for name, value in said.items() if value not in (None, "")}
        if said:
            text = json.dumps(said, indent=1) + "\n"
            (folder / MODEL_SETTINGS_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def _of(cls, found: Mapping[str, Any], where: str) -> Self:
        agent = found.get("agent")
        if agent is not None and agent not in tuple(AgentKind):
            raise ConfigError(_wrong(where, "agent", agent, " or ".join(AgentKind)))
        return cls(
            agent=None if agent is None else AgentKind(agent),
            format=_text(found, "format", where),
            planner_format=_text(found, "planner_format", where),
            actor_history=_number(found, "actor_history", where, at_least=0, undecided=-1),
            max_completion_length=_number(found, "max_completion_length", where, at_least=1),
            image_max_pixels=_number(found, "image_max_pixels", where, at_least=1, undecided=0),
        )


def _text(found: Mapping[str, Any], key: str, where: str) -> str:
    value = found.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(_wrong(where, key, value, "the name of a format"))
    return value


def _number(
    found: Mapping[str, Any], key: str, where: str, *, at_least: int, undecided: int | None = None
) -> int | None:
    value = found.get(key)
    if value is None or value == undecided:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ConfigError(_wrong(where, key, value, f"a whole number, {at_least} or more"))
    return value


def _wrong(where: str, key: str, value: object, expected: str) -> str:
    return f"{where}: {key} is {value!r}; expected {expected}"
