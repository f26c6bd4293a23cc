"""Checkpoints: whole or not there at all.

A checkpoint is a folder `checkpoint-N` in the output folder, N being the number of updates made. It is
written under another name, flushed to disk and renamed, so that a folder of that name is complete
whenever the process or the machine died. Tensors are safetensors, the rest is JSON; nothing is pickled.

    checkpoint-20/
      model/                  Hugging Face folder, or one folder per adapter
      optimizer.safetensors   moments by parameter name
      base_weights.json       fingerprint of a local model that was trained, where a resumed run needs it
                              again: below its adapters, or as the reference of the KL term
      rng.safetensors         states of torch's generators
      trainer_state.json      counters, position of the source, marks of store and metrics
      config.json             the settings, for people and for comparing on resume
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from gui_agent.errors import ConfigError, DataError

STATE_VERSION: Final = 1
_NAME: Final = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState:
    """What continues a training besides weights and optimiser.

    Attributes:
        update: updates made.
        optimizer_steps: optimiser steps made.
        skipped_steps: of these, steps left out because the gradient was not finite.
        rows_trained: rows in all updates, each as often as it was in one; None where that was not counted
            from the beginning, as in checkpoints that know no such field.
        position: of the group source, as it wants it back.
        store_mark: high-water mark of the trajectory store; None where nothing is stored.
        rapo: what `trainers.rapo` remembers; empty where it is off.
        metrics_bytes: length of metrics.jsonl.
        cpu_s: CPU seconds used so far.
        version: of this record.
    """

    update: int
    optimizer_steps: int
    skipped_steps: int = 0
    rows_trained: int | None = None
    position: dict[str, Any] = field(default_factory=dict)
    store_mark: Any = None
    rapo: dict[str, Any] = field(default_factory=dict)
    metrics_bytes: int = 0
    cpu_s: float = 0.0
    version: int = STATE_VERSION


class Checkpoints:
    """The checkpoints of one output folder."""

    def __init__(self, output_dir: Path, *, keep: int = 0) -> None:
        """Look after `output_dir`; keep the newest `keep` checkpoints, 0 for all."""
        self._output_dir = output_dir
        self._keep = keep

    def save(
        self, state: TrainerState, config: dict[str, Any], write_tensors: Callable[[Path], None]
    ) -> Path:
        """Write one checkpoint and delete those that are too many.

        Args:
            state: goes to trainer_state.json.
            config: goes to config.json.
            write_tensors: writes weights, optimiser and generators into the folder it is given.

        Returns:
            The complete folder.
        """
        self._output_dir.mkdir(parents=True, exist_ok=True)
        final = self._output_dir / f"checkpoint-{state.update}"
        partial = self._output_dir / f".partial-checkpoint-{state.update}"
        _remove(partial)
        partial.mkdir()
        write_tensors(partial)
        _write_json(partial / "config.json", config)
        _write_json(partial / "trainer_state.json", asdict(state))
        _flush_folder(partial)
        _remove(final)
        partial.rename(final)
        _flush(self._output_dir)
        self._prune()
        return final

    def complete(self) -> list[Path]:
        """The checkpoints that are whole, oldest first."""
        if not self._output_dir.is_dir():
            return []
        found = [path for path in self._output_dir.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=_update_of)

    def resolve(self, resume: bool | Path) -> Path | None:
        """The checkpoint that `resume_from_checkpoint` asks for, or None to begin anew.

        Raises:
            ConfigError: a path was given and is no complete checkpoint.
        """
        if resume is False:
            return None
        if resume is True:
            checkpoints = self.complete()
            return checkpoints[-1] if checkpoints else None
        path = Path(resume)
        if not (path / "trainer_state.json").is_file():
            raise ConfigError(
                f"resume_from_checkpoint is {path}, which holds no trainer_state.json; give a folder named "
                "checkpoint-N, or True for the newest one in output_dir"
            )
        return path

    def discard_after(self, update: int) -> None:
        """Delete what a run that goes on from `update` is going to write again, and unfinished writes."""
        for path in self.complete():
            if _update_of(path) > update:
                _remove(path)
        for path in self._output_dir.glob(".partial-*"):
            _remove(path)

    def _prune(self) -> None:
        if self._keep > 0:
            for path in self.complete()[: -self._keep]:
                _remove(path)


def load_state(path: Path) -> TrainerState:
    """Read a checkpoint's trainer_state.json.

    Raises:
        DataError: it is damaged, was written by a newer version or lacks a field.
    """
    data = _read_json(path / "trainer_state.json")
    if data.get("version", 0) > STATE_VERSION:
        raise DataError(
            f"{path} has state version {data['version']}, this program reads up to {STATE_VERSION}; "
            "update gui-agent"
        )
    try:
        return TrainerState(**data)
    except TypeError as error:
        raise DataError(f"{path}/trainer_state.json cannot be read: {error}") from error


def load_config(path: Path) -> dict[str, Any]:
    """The settings that a checkpoint was written with."""
    return _read_json(path / "config.json")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} is missing or damaged ({error}); set resume_from_checkpoint to an earlier checkpoint"
        ) from error
    return data


def _update_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match.group(1))


def _remove(folder: Path) -> None:
    """Delete a folder; it loses its name first, so that no half of it looks complete."""
    if not folder.exists():
        return
    doomed = folder.with_name(f".partial-doomed-{folder.name.lstrip('.')}")
    if doomed.exists():
        shutil.rmtree(doomed)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _flush_folder(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        _flush(path)
    _flush(folder)


def _flush(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return  # which has no such call for folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
