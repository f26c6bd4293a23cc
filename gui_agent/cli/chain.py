"""The chain that every recipe with demonstrations shares: record, ground, warm up, train, evaluate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gui_agent.cli.commands import Command
from gui_agent.cli.config import load_command
from gui_agent.cli.experiment import Experiment, Stage
from gui_agent.cli.from_nothing import chain_sections
from gui_agent.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the evaluation of one model found.

    Attributes:
        stage: the evaluation.
        live: live success on held-out instances, see `eval.json`.
        replay: SOP and step metrics on held-out demonstrations.
    """

    stage: Stage
    live: dict[str, Any]
    replay: dict[str, Any]

    @property
    def success(self) -> float | None:
        """Live success in [0, 1]; None if no episode could be scored."""
        value: float | None = self.live["success"]
        return value

    @property
    def sop(self) -> float:
        """SOP score in [0, 1]."""
        score: float = self.replay["sop"]["score"]["value"]
        return score


class Chain(Experiment):
    """Stages by name; each runs when it is first asked for."""

    def __init__(self, recipe: str, *, root: Path, seed: int, say: Callable[[str], None] = print) -> None:
        """As an `Experiment`."""
        super().__init__(recipe, root=root, seed=seed, say=say)
        self._live_episodes: dict[str, tuple[Path, ...]] = {}

    @property
    def demonstrations(self) -> Stage:
        """The experts' episodes on training instances: the only thing that training sees."""
        settings = {"split": "train", "only_success": True}
        return self.stage("demonstrations", "collect", settings, folder_option="output")

    @property
    def held_out(self) -> Stage:
        """The experts' episodes on held-out instances, for SOP."""
        settings = {"split": "eval", "only_success": True}
        return self.stage("held_out", "collect", settings, folder_option="output")

    @property
    def grounding(self) -> Stage:
        """A model that points at what is named."""
        return self.stage("grounding", "train grounding", {})

    @property
    def warm_start(self) -> Stage:
        """A model that imitated all demonstrations for a while."""
        before = (self.grounding, self.demonstrations)
        settings = {"model": self.grounding.folder / "model", "data": self.demonstrations.folder}
        return self.stage("warm_start", "train sft", _as_text(settings), after=before)

    def method(
        self, name: str, command: str, settings: Mapping[str, Any], *, start: Stage | None = None
    ) -> Stage:
        """Train on from the model of a stage, the warm start if None, on the same demonstrations, or live."""
        start = start or self.warm_start
        before = (start, self.demonstrations)
        inputs: dict[str, Any] = {"model": start.folder / "model"}
        if command != "train online":
            inputs["data"] = self.demonstrations.folder
        stage = self.stage(name, command, _as_text(inputs) | dict(settings), after=before)
        self._live_episodes[name] = self._live_episodes.get(start.name, ())
        if command == "train online":
            self._live_episodes[name] += (stage.folder / "trajectories",)
        return stage

    def evaluate(self, trained: Stage, chosen: Mapping[str, Any] | None = None) -> Scores:
        """Score the model of a stage, live and by replay, on instances never trained on.

        Args:
            trained: whose model.
            chosen: settings of the evaluation, before the recipe's.
        """
        settings: dict[str, Any] = {
            **(chosen or {}),
            "agent.model": trained.folder / "model",
            "training_data": self.demonstrations.folder,
            "data": self.held_out.folder,
        }
        if live := self._live_episodes.get(trained.name):  # they began on instances of their own
            settings["training_data"] = [str(folder) for folder in (self.demonstrations.folder, *live)]
        before = (trained, self.demonstrations, self.held_out)
        stage = self.stage(f"{trained.name}_eval", "eval run", _as_text(settings), after=before)
        report = json.loads((stage.folder / "eval.json").read_text(encoding="utf-8"))
        return Scores(stage=stage, live=report["live"], replay=report["replay"])


_STAND_INS: Final[dict[str, dict[str, Any]]] = {
    "collect": {"output": "demonstrations"},
    "train grounding": {"output_dir": "grounding"},
    "train sft": {"model": "grounding/model", "data": "demonstrations"},
    "train semi-online": {"model": "warm_start/model", "data": "demonstrations"},
    "train online": {"model": "warm_start/model"},
    "eval run": {"agent.model": "model", "training_data": "demonstrations", "data": "held_out"},
}
"""Folders that only a run fills in."""


def planned_commands(
    recipe: str,
    method: str,
    settings: Mapping[str, Any] | None = None,
    *,
    evaluation: Mapping[str, Any] | None = None,
) -> dict[str, Command]:
    """The commands of a chain by name, built from the recipe as they will be.

    Args:
        recipe: name or path.
        method: the command that trains on from the warm start.
        settings: of the method, before the recipe's.
        evaluation: settings of `eval run`, before the recipe's.

    Raises:
        ConfigError: the recipe says nothing, or something impossible, to one of them.
    """
    own = {method: settings, "eval run": evaluation}
    names = dict.fromkeys(chain_sections(method))
    commands = {
        name: load_command(
            name,
            recipe=recipe,
            overrides=_STAND_INS[name] | dict(own.get(name) or {}),
            asks_models=False,
        )
        for name in names
    }
    if not getattr(commands["eval run"], "suite", ""):
        raise ConfigError(f"recipe {recipe}: 'eval run' has no suite to measure live success on; name one")
    return commands


def _as_text(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
