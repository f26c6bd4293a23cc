"""Who imports what: heavy packages stay where they belong, and every module can be imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("gui_agent", "devices", "trajectories", "trainers", "eval")
TORCH = frozenset({"torch", "transformers", "peft", "accelerate"})


def _modules() -> list[str]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return [name.removesuffix(".__init__") for name in names]


def _may_import_torch(module: str) -> bool:
    return module.startswith(("trainers", "gui_agent.policies.transformers_"))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_only_trainers_and_the_local_policy_import_torch() -> None:
    heavy = {
        module: imported
        for module in _modules()
        if not _may_import_torch(module) and (imported := TORCH & set(_imported(_path_of(module))))
    }
    # A converter may read a file of torch's; it is the one exception, and imports it where it reads.
    assert not {m for m, found in heavy.items() if m != "trajectories.convert_ui_s1" or found != {"torch"}}


def test_everything_but_training_works_without_torch() -> None:
    """One process with torch, transformers and their like blocked imports all other modules."""
    without = [name for name in _modules() if not _may_import_torch(name)]
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(TORCH)!r}: sys.modules[name] = None\n"
        f"for name in {without!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_front_starts_nothing_heavy() -> None:
    script = (
        "import sys, gui_agent.cli.main, gui_agent.policies.server\n"
        "print(sorted({'torch', 'transformers', 'playwright', 'pyarrow', 'rich'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_packages_are_typed() -> None:
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


def test_nothing_is_imported_by_the_name_of_a_builtin() -> None:
    """`import eval` would hide the builtin; `from eval.x import y` does not."""
    for module in _modules():
        for node in ast.walk(ast.parse(_path_of(module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert all(alias.name.partition(".")[0] != "eval" for alias in node.names), module
