"""Chains of commands whose finished stages are kept: what `pipeline` and `bench` are made of.

A stage is one command with its settings, run into a folder of its own. When it has finished, a file
beside its results says what it was made from; the same stage asked for again is taken from there, and
one that was cut off is resumed or repeated. So an experiment can be killed at any moment.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gui_agent.cli.config import load_command, to_yaml
from gui_agent.cli.stopwatch import Stopwatch
from gui_agent.errors import ConfigError, GuiAgentError


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A finished stage.

    Attributes:
        name: such as "grounding".
        folder: its results.
        fingerprint: of the command, its settings and the stages before it.
        cpu_s: CPU seconds that it took.
        wall_s: seconds of wall clock that it took.
        reused: it had been finished by an earlier run.
    """

    name: str
    folder: Path
    fingerprint: str
    cpu_s: float
    wall_s: float
    reused: bool


class Experiment:
    """One recipe, one seed, one folder."""

    def __init__(self, recipe: str, *, root: Path, seed: int, say: Callable[[str], None] = print) -> None:
        """Keep the stages of `recipe` with this seed below `root`."""
        self.recipe = recipe
        self.root = root
        self.seed = seed
        self._say = say
        self._stages: dict[str, Stage] = {}

    @property
    def stages(self) -> list[Stage]:
        """What was asked for so far, in that order."""
        return list(self._stages.values())

    def folder(self, name: str) -> Path:
        """Where the results of a stage are, or will be."""
        return self.root / name

    def stage(
        self,
        name: str,
        command: str,
        settings: Mapping[str, Any],
        *,
        folder_option: str = "output_dir",
        after: Sequence[Stage] = (),
    ) -> Stage:
        """Run a command, or take its results from an earlier run, of this object or of another.

        Args:
            name: of the stage and its folder.
            command: such as "train sft".
            settings: go before the recipe's; the folder and, where the command has one, the seed are
                filled in.
            folder_option: the command's option that names its folder.
            after: stages whose results it uses; when they change, so does this one.

        Raises:
            GuiAgentError: the command failed.
        """
        if name in self._stages:
            return self._stages[name]
        stage = self._run_stage(name, command, settings, folder_option, after)
        self._stages[name] = stage
        return stage

    def _run_stage(
        self,
        name: str,
        command: str,
        settings: Mapping[str, Any],
        folder_option: str,
        after: Sequence[Stage],
    ) -> Stage:
        folder = self.folder(name)
        wanted = {"seed": self.seed, folder_option: folder, **settings}
        built = load_command(command, recipe=self.recipe, overrides=wanted)
        fingerprint = _fingerprint(to_yaml(command, built), str(self.root), after)
        record = _read_record(folder)
        if record is None and folder.exists():
            raise ConfigError(f"{folder} exists and is no stage of an experiment; move it away")
        if record is not None and record["fingerprint"] == fingerprint and "cpu_s" in record:
            self._say(f"{name}: finished before ({record['cpu_s']:.0f} CPU-s)")
            return Stage(name=name, folder=folder, reused=True, **record)
        if record is not None and record["fingerprint"] != fingerprint and folder.exists():
            shutil.rmtree(folder)  # made with other settings: nothing of it can be used
        _write_record(folder, {"fingerprint": fingerprint})
        if hasattr(built, "resume_from_checkpoint") and any(folder.glob("checkpoint-*")):
            built = load_command(
                command, recipe=self.recipe, overrides=wanted | {"resume_from_checkpoint": True}
            )
        self._say(f"{name}: gui-agent {command}")
        watch = Stopwatch()
        code = built.run()
        if code != 0:
            raise GuiAgentError(f"stage {name} (gui-agent {command}) ended with code {code}")
        record = {
            "fingerprint": fingerprint,
            "cpu_s": round(watch.cpu_s, 2),
            "wall_s": round(watch.wall_s, 2),
        }
        _write_record(folder, record)
        return Stage(name=name, folder=folder, reused=False, **record)


def _fingerprint(settings: str, root: str, after: Sequence[Stage]) -> str:
    parts = [settings.replace(root, ""), *(stage.fingerprint for stage in after)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _record_path(folder: Path) -> Path:
    """Beside the folder, which belongs to its command."""
    return folder.with_name(f"{folder.name}.stage.json")


def _read_record(folder: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(_record_path(folder).read_text())
    except (OSError, ValueError):
        return None
    return record


def _write_record(folder: Path, data: Mapping[str, Any]) -> None:
    path = _record_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(data) + "\n")
    temporary.replace(path)
