"""What the documentation points to exists: files, headings, modules, make targets, names in code."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = "gui_agent|devices|trajectories|trainers|eval|tests|recipes|docs|benchmarks"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", text_of(page), flags=re.DOTALL):
            yield page.name, block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text_of(page))
    dead = []
    for link in (first or second for first, second in links):
        name, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_modules_and_targets_that_are_named_exist(page: Path) -> None:
    text = text_of(page)
    files = re.findall(rf"`((?:{FOLDERS})/[\w/.*-]+(?:\.\w+|/))`", text)
    assert not [name for name in files if not list(ROOT.glob(name.rstrip("/")))]
    modules = re.findall(rf"python -m ((?:{FOLDERS})\.[\w.]+)", text)
    assert not [name for name in modules if not list(ROOT.glob(f"{name.replace('.', '/')}*"))]
    scripts = re.findall(r"python ((?:benchmarks|docs)/[\w/]+\.py)", text)
    assert not [name for name in scripts if not (ROOT / name).is_file()]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize(("page", "code"), list(code_blocks()))
def test_code_imports_what_there_is(page: str, code: str) -> None:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for node in ast.walk(compile(code, page, "exec", flags)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)], node.module
