"""Chains of commands whose finished stages are kept: what `pipeline` and `bench` are made of.

A stage is one command with its settings, run into a folder of its own. When it has finished, a file
beside its results says what it was made from; the same stage asked for again is taken from there, and
one that was cut off is resumed or repeated. So an experiment can be killed at any moment. Results of
other settings are put aside, never deleted. Processes that share a folder wait for each other's stages.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from gui_agent.cli.agents import AgentOptions
from gui_agent.cli.commands import Command
from gui_agent.cli.config import load_command, to_yaml
from gui_agent.cli.folders import make_folder
from gui_agent.cli.stopwatch import Stopwatch
from gui_agent.errors import ConfigError, GuiAgentError
from trainers.checkpoint import Checkpoints, load_state
from trainers.grounding.config import GroundingConfig


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A finished stage.

    Attributes:
        name: such as "grounding".
        folder: its results.
        fingerprint: of the command, its settings and the stages before it.
        cpu_s: CPU seconds that it took; of a training that was resumed, those before the checkpoint too.
        wall_s: seconds of wall clock that the run took which finished it.
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
        with self._alone_with(name):
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
        built = computed_alike(self._command(command, wanted))
        fingerprint = _fingerprint(to_yaml(command, built), str(self.root), after)
        record = _read_record(folder)
        if record is None and folder.exists():
            raise ConfigError(f"{folder} exists and is no stage of an experiment; move it away")
        if record is not None and record["fingerprint"] == fingerprint and "cpu_s" in record:
            self._say(f"{name}: finished before ({record['cpu_s']:.0f} CPU-s)")
            return Stage(name=name, folder=folder, reused=True, **record)
        if record is not None and record["fingerprint"] != fingerprint:
            self._put_aside(folder)
            record = None
        _write_record(folder, {"fingerprint": fingerprint})
        spent_s = 0.0
        if record is not None and hasattr(built, "resume_from_checkpoint"):  # it was cut off
            spent_s = _cpu_s_of_newest_checkpoint(folder)
            built = self._command(command, wanted | {"resume_from_checkpoint": True})
        self._say(f"{name}: gui-agent {command}")
        watch = Stopwatch()
        code = built.run()
        if code != 0:
            raise GuiAgentError(f"stage {name} (gui-agent {command}) ended with code {code}")
        record = {
            "fingerprint": fingerprint,
            "cpu_s": round(spent_s + watch.cpu_s, 2),
            "wall_s": round(watch.wall_s, 2),
        }
        _write_record(folder, record)
        return Stage(name=name, folder=folder, reused=False, **record)

    def _command(self, name: str, settings: Mapping[str, Any]) -> Command:
        """As the recipe says, whatever the models of earlier stages say of themselves."""
        return load_command(name, recipe=self.recipe, overrides=settings, asks_models=False)

    def _put_aside(self, folder: Path) -> None:
        """Keep what other settings made: it may have taken days."""
        if not folder.exists():
            return
        names = (folder.with_name(f"{folder.name}.old-{number}") for number in count(1))
        kept = next(name for name in names if not name.exists())
        folder.rename(kept)
        self._say(f"{folder.name}: its settings changed; what they made before is now in {kept}")

    @contextlib.contextmanager
    def _alone_with(self, name: str) -> Iterator[None]:
        """Hold the lock of a stage; the system lets go of it when a process dies."""
        make_folder(self.root, "the folder of the experiment")
        lock = FileLock(self.root / f".{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            self._say(f"{name}: another process is working on it; waiting for it to end")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def computed_alike(command: Command) -> Command:
    """A stage as it is computed on every machine: what is given no device on the CPU, and in float32.

    Its fingerprint and its figures then say the same wherever they were made. Trainings of a warm start or
    a method are left alone: accelerate gives them their device, and their settings their number format.
    """
    if isinstance(command, GroundingConfig):
        return cast("Command", replace(command, device=command.device or "cpu"))
    agent = getattr(command, "agent", None)
    if not isinstance(agent, AgentOptions):
        return command
    dtype = "float32" if agent.dtype == "auto" else agent.dtype
    placed = replace(agent, device=agent.device or "cpu", dtype=dtype)
    return cast("Command", replace(cast("Any", command), agent=placed))


def _cpu_s_of_newest_checkpoint(folder: Path) -> float:
    """What a training spent before it was cut off; what came after its last checkpoint is done again."""
    checkpoints = Checkpoints(folder).complete()
    return load_state(checkpoints[-1]).cpu_s if checkpoints else 0.0


def _fingerprint(settings: str, root: str, after: Sequence[Stage]) -> str:
    # Without the root, so that an experiment may be moved.
    parts = [settings.replace(f"{root}/", "/"), *(stage.fingerprint for stage in after)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _record_path(folder: Path) -> Path:
    """Beside the folder, which belongs to its command."""
    return folder.with_name(f"{folder.name}.stage.json")


def _read_record(folder: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(_record_path(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


def _write_record(folder: Path, data: Mapping[str, Any]) -> None:
    path = _record_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(data) + "\n", encoding="utf-8")
    temporary.replace(path)
