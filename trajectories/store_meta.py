"""meta.json of a store: which schema, written by which version, and where its episodes come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from gui_agent import __version__
from gui_agent.errors import DataError, SchemaVersionError
from trajectories.records import SCHEMA_VERSION
from trajectories.screenshots import write_file

FORMAT: Final = "gui-agent-trajectories"


def write_meta(path: Path, source: dict[str, Any]) -> dict[str, Any]:
    """Make the folder `path` a store; the contents of the file are returned.

    Args:
        path: an empty folder.
        source: provenance, JSON-ready.
    """
    meta = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "code_version": __version__,
        "source": source,
    }
    write_file(path / "meta.json", json.dumps(meta, indent=2, ensure_ascii=False).encode())
    return meta


def read_meta(path: Path) -> dict[str, Any]:
    """What `write_meta` wrote into a store.

    Raises:
        DataError: there is no store, or the file is damaged.
        SchemaVersionError: a newer program wrote it.
    """
    file = path / "meta.json"
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path} is no trajectory store: it has no meta.json; check the path") from error
    except ValueError as error:
        raise DataError(f"{file} is damaged ({error}); restore it from a copy") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DataError(f"{file} does not say format {FORMAT!r}; {path} is no trajectory store")
    version_found = meta.get("schema_version")
    if not isinstance(version_found, int):
        raise DataError(
            f"{file} is damaged: schema_version is {version_found!r}, not a number; restore it from a copy"
        )
    if version_found > SCHEMA_VERSION:
        raise too_new(file, version_found)
    return meta


def too_new(file: Path, found: int) -> SchemaVersionError:
    """The error of a file that was written with a newer schema."""
    return SchemaVersionError(
        f"{file} was written with schema {found}, this program reads up to {SCHEMA_VERSION}; upgrade "
        "gui-agent to read it (nothing was changed)"
    )
