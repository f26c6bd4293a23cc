"""farm.json: how a running farm is doing, for `gui-agent farm status` and other programs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import psutil

from gui_agent.errors import ConfigError, DataError

STATUS_FILE: Final = "farm.json"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmStatus:
    """A farm at one moment.

    Attributes:
        started_at_s: seconds since 1970.
        written_at_s: seconds since 1970.
        is_running: false in the last status of a farm that was closed.
        capacity: devices that are not given up.
        num_healthy: devices that are lent or could be.
        num_waiting: episodes that wait for a device.
        devices: see `Member.to_json`.
        events: see `FarmEvent`; the newest last.
        pid: of the process that runs the farm.
        schema_version: of this record.
    """

    started_at_s: float
    written_at_s: float
    is_running: bool
    capacity: int
    num_healthy: int
    num_waiting: int
    devices: tuple[Mapping[str, Any], ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    pid: int = field(default_factory=os.getpid)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """As in farm.json."""
        return asdict(self)


def write_status(path: Path, status: FarmStatus) -> None:
    """Put a status in the place of the one before; readers see one or the other, whole.

    Raises:
        OSError: the file cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(status.to_json()) + "\n", encoding="utf-8")
    unfinished.replace(path)


def status_beside(path: Path) -> Path:
    """Where the status of a run stands whose output is a folder that may hold nothing else."""
    return path.with_name(f"{path.name}.{STATUS_FILE}")


def read_status(path: Path) -> FarmStatus:
    """The status in a file, or in the folder of a run, or beside it.

    Raises:
        ConfigError: there is none.
        DataError: it cannot be read.
    """
    file = next((one for one in (path / STATUS_FILE, status_beside(path)) if one.is_file()), path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{file} holds no {STATUS_FILE} and is none ({error.strerror}); give the output folder of a run "
            "that uses devices: train online, eval run or collect"
        ) from error
    try:
        found = json.loads(text)
        if found["schema_version"] != SCHEMA_VERSION:
            raise DataError(
                f"{file} has schema {found['schema_version']}, this program reads {SCHEMA_VERSION}; use the "
                "version that wrote it"
            )
        return FarmStatus(**{**found, "devices": tuple(found["devices"]), "events": tuple(found["events"])})
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        names = ", ".join(one.name for one in fields(FarmStatus))
        raise DataError(f"{file} is no status of a farm with {names} ({error})") from error


def is_alive(status: FarmStatus) -> bool:
    """Whether the process that wrote a status still runs, on this computer."""
    return bool(psutil.pid_exists(status.pid))
