"""What a user gets who installs the wheel: all packages, their data, and the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gui_agent", "devices", "trajectories", "trainers", "eval")
_NOT_COPIED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "tests", "docs", "benchmarks"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that no build folder is left in the source tree."""
    folder = tmp_path_factory.mktemp("wheel") / "source"
    shutil.copytree(ROOT, folder, ignore=_NOT_COPIED)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """A wheel, built without a network."""
    folder = source.parent
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    _run([sys.executable, "-m", "pip", "wheel", *options, str(source)])
    [built] = folder.glob("*.whl")
    return built


def _run(command: list[str], **settings: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


def test_the_wheel_holds_all_files_of_the_packages(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    files = [
        path.relative_to(source).as_posix()
        for folder in (*PACKAGES, "recipes")
        for path in (source / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert set(files) <= packed
    assert {"gui_agent/py.typed", "eval/py.typed"} <= packed
    assert not [name for name in packed if name.startswith(("tests/", "docs/", "benchmarks/"))]


def test_the_installed_command_works_from_another_folder(source: Path, wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    binaries = environment / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / ("python.exe" if os.name == "nt" else "python")
    options = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    _run([sys.executable, "-m", "pip", *options, str(wheel)])
    site = Path(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    # Its dependencies are those of this environment; a path file does not follow the editable install.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    elsewhere = {"cwd": tmp_path, "env": {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}}
    command = str(binaries / "gui-agent")
    assert "commands:" in _run([command, "--help"], **elsewhere)
    report = json.loads(_run([command, "env", "--json", "--no-adb"], **elsewhere))
    assert report["gui_agent"] == version("gui-agent")
    where = _run([str(python), "-c", "import gui_agent; print(gui_agent.__file__)"], **elsewhere)
    assert Path(where.strip()).is_relative_to(environment)
    script = "from gui_agent.cli.recipes import recipe_names; print(*recipe_names())"
    assert set(_run([str(python), "-c", script], **elsewhere).split()) == {
        path.stem for path in (source / "recipes").glob("*.yaml")
    }
