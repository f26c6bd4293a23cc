"""Write the locks from what is installed beside this interpreter: `make lock`.

`cpu.lock` holds what running needs, `dev.lock` what testing needs besides. A version is written without
its local part (`2.13.0`, not `2.13.0+cpu`), so that the lock names no build and no place to get it from.
Markers are judged for this machine; what another system needs on top, pip finds from the packages.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parent
HEADER = "# Made by `make lock` with Python {version} on {platform}; do not edit.\n"


def closure(requirements: list[str]) -> dict[str, str]:
    """Name to version of everything that these requirements need, as installed here."""
    versions: dict[str, str] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    parsed = [Requirement(line) for line in requirements]
    waiting = [(canonicalize_name(r.name), frozenset(r.extras)) for r in parsed]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        found = distribution(name)
        versions[name] = found.version.partition("+")[0]
        for line in found.requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return versions


def main() -> None:
    """Write both locks."""
    header = HEADER.format(version=".".join(map(str, sys.version_info[:3])), platform=sys.platform)
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["dependencies"]
    run, test = closure(needed), closure([*needed, *project["optional-dependencies"]["dev"]])
    for name, versions, first in (
        ("cpu.lock", run, ""),
        ("dev.lock", {name: v for name, v in test.items() if name not in run}, "-r cpu.lock\n"),
    ):
        lines = "".join(f"{package}=={versions[package]}\n" for package in sorted(versions))
        (FOLDER / name).write_text(header + first + lines, encoding="utf-8")


if __name__ == "__main__":
    main()
