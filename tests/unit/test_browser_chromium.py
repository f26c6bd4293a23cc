from __future__ import annotations

from pathlib import Path

import pytest

from devices.browser.chromium import CHROMIUM_VARIABLE, find_chromium, launch_arguments
from devices.browser.keys import dom_key
from gui_agent.errors import ConfigError, DependencyError


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_chosen_browser_wins(tmp_path: Path) -> None:
    chosen = program(tmp_path / "my-chrome")
    program(tmp_path / "bin" / "chromium")
    found = find_chromium({CHROMIUM_VARIABLE: str(chosen), "PATH": str(tmp_path / "bin")})
    assert found == chosen


def test_a_chosen_browser_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        find_chromium({CHROMIUM_VARIABLE: str(tmp_path / "nowhere")})


def test_the_headless_shell_comes_before_the_full_browser(tmp_path: Path) -> None:
    program(tmp_path / "chromium")
    shell = program(tmp_path / "chromium-headless-shell")
    assert find_chromium({"PATH": str(tmp_path)}) == shell


def test_a_browser_fetched_by_playwright_is_found(tmp_path: Path) -> None:
    program(tmp_path / "chromium-1000" / "chrome-linux" / "chrome")
    newest = program(tmp_path / "chromium-1200" / "chrome-linux" / "chrome")
    assert find_chromium({"PATH": "", "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}) == newest


def test_a_missing_browser_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"apt-get install chromium.*playwright install chromium"):
        find_chromium({"PATH": str(tmp_path), "HOME": str(tmp_path)})


def test_other_hosts_are_reachable_only_when_allowed() -> None:
    assert any("NOTFOUND" in argument for argument in launch_arguments(allow_network=False))
    assert not any("NOTFOUND" in argument for argument in launch_arguments(allow_network=True))


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Enter", "Enter"),
        ("enter", "Enter"),
        ("return", "Enter"),
        ("page_down", "PageDown"),
        ("Page Down", "PageDown"),
        ("esc", "Escape"),
        ("ctrl+a", "Control+a"),
        ("Control+Shift+Tab", "Control+Shift+Tab"),
        ("ctrl++", "Control++"),
        ("+", "+"),
        ("a", "a"),
        (" ", "Space"),
        ("f5", "F5"),
        ("volume_up", None),
        ("", None),
        ("enter+a", None),
        ("é", None),
    ],
)
def test_names_of_keys(written: str, key: str | None) -> None:
    assert dom_key(written) == key
