"""Planner and actor as two adapters on one base: their names, and the folder that holds both.

A *role folder* is what training with two adapters leaves behind: one folder for each adapter in peft's
format, the processor, and `roles.json`, which names the base and, where that is local, holds a fingerprint
of its weights (`gui_agent.policies.weight_files`). The weights themselves are not copied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from gui_agent.errors import ConfigError
from gui_agent.policies.weight_files import WeightFile, what_changed
from gui_agent.policy import AgentRole

ROLES_FILE: Final = "roles.json"
PLANNER_ADAPTER: Final = "planner"
ACTOR_ADAPTER: Final = "actor"
ROLE_ADAPTERS: Final = (PLANNER_ADAPTER, ACTOR_ADAPTER)
_EXPECTED: Final = 'train again, or write {"base_model": "…", "adapters": ["planner", "actor"]}'
_ADAPTER_OF_ROLE: Final = {
    AgentRole.PLANNER: PLANNER_ADAPTER,
    AgentRole.ACTOR: ACTOR_ADAPTER,
    AgentRole.PATCH_THOUGHT: ACTOR_ADAPTER,
}


def adapter_of_role(adapters: tuple[str, ...]) -> dict[AgentRole, str]:
    """Which adapter speaks for a role; empty where the roles have none of their own.

    Args:
        adapters: names of those attached to a model.
    """
    return dict(_ADAPTER_OF_ROLE) if set(ROLE_ADAPTERS) <= set(adapters) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFolder:
    """Two adapters and the name of their base.

    Attributes:
        base_model: folder or hub name of the base.
        base_type: architecture of the base ("qwen2_5_vl"); empty where the folder does not say.
        adapters: folder of each adapter, by its name.
        base_weights: fingerprint of the base's weights; empty where the folder holds none.
    """

    base_model: str
    base_type: str
    adapters: Mapping[str, Path]
    base_weights: tuple[WeightFile, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> Self | None:
        """What a folder says; None if it is no role folder.

        Raises:
            ConfigError: `roles.json` is damaged, or names no planner or no actor.
        """
        path = Path(folder) / ROLES_FILE
        if not path.is_file():
            return None
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            base, names = str(data["base_model"]), tuple(map(str, data["adapters"]))
            base_weights = tuple(map(WeightFile.from_json, data.get("base_weights", ())))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} cannot be read ({error!r}); {_EXPECTED}") from error
        if not set(ROLE_ADAPTERS) <= set(names):  # the one that is there would speak for both
            raise ConfigError(f"{path} names the adapters {data['adapters']!r}; {_EXPECTED}")
        beside = path.parent / base
        if beside.resolve() == path.parent.resolve():
            raise ConfigError(f"{path} names its own folder as the base of its adapters; {_EXPECTED}")
        return cls(
            base_model=str(beside) if beside.is_dir() else base,
            base_type=str(data.get("base_type", "")),
            adapters={name: path.parent / name for name in names},
            base_weights=base_weights,
        )

    def check_base(self) -> None:
        """Refuse a local base that has other weights than the adapters were trained on.

        Whatever they were trained to correct is then something else, and no figure would tell.

        Raises:
            ConfigError: so it is.
        """
        base = Path(self.base_model)
        changed = what_changed(base, self.base_weights) if self.base_weights and base.is_dir() else ""
        if changed:
            roles_file = next(iter(self.adapters.values())).parent / ROLES_FILE
            raise ConfigError(
                f"{roles_file}: {base} holds other weights than its adapters were trained on ({changed}), as "
                "after another training in the same folder; put the former weights back, train the adapters "
                "again on these, or take base_weights out of the file to try the adapters as they are"
            )


def write_roles_file(
    folder: Path,
    base_model: str,
    adapters: tuple[str, ...],
    *,
    base_type: str = "",
    base_weights: Sequence[WeightFile] = (),
) -> None:
    """Name the base beside its adapters; a local base relative to the folder, so that both can be moved.

    Args:
        folder: that holds the adapters.
        base_model: folder or hub name.
        adapters: their names.
        base_type: architecture of the base.
        base_weights: fingerprint of a local base, as the adapters' training found it.
    """
    data: dict[str, Any] = {"base_model": base_model, "base_type": base_type, "adapters": list(adapters)}
    if Path(base_model).is_dir():
        data["base_model"] = Path(os.path.relpath(base_model, folder)).as_posix()
    if base_weights:
        data["base_weights"] = [file.to_json() for file in base_weights]
    (folder / ROLES_FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
