"""The pictures of the documentation, and what is measured of the demo's page, can be made again."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
LARGEST_BYTES = 250_000

pytestmark = pytest.mark.browser


def script(path: str) -> Any:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(f"script_{Path(path).stem}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


async def test_the_pictures_can_be_made_again(tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    made = await script("docs/images/make.py").make(["demo-phone", "viewer"], tmp_path)
    assert [file.name for file in made] == ["demo-phone.png", "viewer.png"]
    for file, width in zip(made, (585, 1280), strict=True):
        with Image.open(file) as image:
            assert image.width == width
            assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 50  # it shows something


@pytest.mark.parametrize("name", ["demo", "demo-dark", "demo-phone", "viewer"])
def test_the_pictures_that_are_shown_are_small(name: str) -> None:
    file = ROOT / "docs" / "images" / f"{name}.png"
    assert file.stat().st_size < LARGEST_BYTES
    assert f"images/{name}.png" in "".join(
        (ROOT / page).read_text("utf-8") for page in ("README.md", "docs/demo.md", "docs/viewer.md")
    )


async def test_how_old_a_drawn_screen_is_can_be_measured() -> None:
    pytest.importorskip("playwright")
    found = await script("benchmarks/demo.py").measure(2, 500, rounds=1)
    assert set(found) == {"live", "by itself", "polling"}
    for latency in found.values():
        assert latency.changes == 2
        assert 0 < latency.median_ms <= latency.p90_ms <= latency.worst_ms
