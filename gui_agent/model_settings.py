"""What a trained model was taught to be: a small JSON file beside its weights, that moves with them.

    {
     "agent": "hierarchical",
     "format": "compact:snap_px=8",
     "planner_format": "compact",
     "actor_history": -1,
     "max_completion_length": 16,
     "image_max_pixels": 1003520
    }

Trainings write it into every folder of weights, with names and not with what stands for a default; commands
take it where their user chose nothing. A key that is missing was not decided by the training; a key that is
not known is of a newer version, or of another program, and is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from gui_agent.agent_spec import AgentKind, AgentSpec
from gui_agent.errors import ConfigError

MODEL_SETTINGS_FILE: Final = "gui_agent.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How a model is to be asked; None and empty stand for what its training did not decide.

    Attributes:
        agent: kind of the agent that it was trained as.
        format: prompt format of whoever acts, options included.
        planner_format: planner format, options included.
        actor_history: earlier steps that a planner's actor is reminded of; -1 leaves that to its format.
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
    def of_trained(
        cls,
        spec: AgentSpec,
        *,
        max_completion_length: int | None = None,
        image_max_pixels: int | None = None,
    ) -> Self:
        """Those of an agent that was trained so; of a planner only where it has one."""
        plans = spec.kind is AgentKind.HIERARCHICAL
        return cls(
            agent=spec.kind,
            format=spec.format,
            planner_format=spec.planner_dialect if plans else "",
            actor_history=spec.actor_history if plans else None,
            max_completion_length=max_completion_length,
            image_max_pixels=image_max_pixels,
        )

    @classmethod
    def read(cls, model: str | Path) -> Self | None:
        """What the file in a folder of weights says; None where there is none, or no such folder.

        Raises:
            ConfigError: it cannot be read, or a value is of the wrong kind.
        """
        path = Path(model) / MODEL_SETTINGS_FILE
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
        return cls.told(found, str(path))

    def write(self, folder: Path) -> None:
        """Leave the file beside the weights."""
        text = json.dumps(self.decided(), indent=1) + "\n"
        (folder / MODEL_SETTINGS_FILE).write_text(text, encoding="utf-8")

    def decided(self) -> dict[str, str | int]:
        """What the training decided, by name."""
        said = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in said.items() if value not in (None, "")}

    @classmethod
    def told(cls, found: Mapping[str, Any], where: str) -> Self:
        """What a JSON object says, such as the file or a server's answer; `where` names it in errors.

        Raises:
            ConfigError: a value is of the wrong kind.
        """
        agent = found.get("agent")
        if agent is not None and agent not in tuple(AgentKind):
            raise ConfigError(_wrong(where, "agent", agent, " or ".join(AgentKind)))
        return cls(
            agent=None if agent is None else AgentKind(agent),
            format=_text(found, "format", where),
            planner_format=_text(found, "planner_format", where),
            actor_history=_number(found, "actor_history", where, at_least=-1),
            max_completion_length=_number(found, "max_completion_length", where, at_least=1),
            image_max_pixels=_number(found, "image_max_pixels", where, at_least=1),
        )


def _text(found: Mapping[str, Any], key: str, where: str) -> str:
    value = found.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(_wrong(where, key, value, "the name of a format"))
    return value


def _number(found: Mapping[str, Any], key: str, where: str, *, at_least: int) -> int | None:
    value = found.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ConfigError(_wrong(where, key, value, f"a whole number, {at_least} or more"))
    return value


def _wrong(where: str, key: str, value: object, expected: str) -> str:
    return f"{where}: {key} is {value!r}; expected {expected}"
