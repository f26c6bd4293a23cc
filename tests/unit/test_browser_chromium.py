from __future__ import annotations

from pathlib import Path

import pytest

from devices.browser.chromium import CHROMIUM_VARIABLE, find_chromium, launch_arguments
from devices.browser.keys import dom_key
from devices.browser.miniwob import miniwob_suite, suite_names
from devices.browser.miniwob import suite as suite_module
from devices.browser.site import SiteSuite, site_suite
from devices.registry import resolve_devices, resolve_suite
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


def test_an_address_that_is_not_whole_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"example\.org"):
        site_suite("example.org")


def test_a_site_on_this_computer_needs_no_network() -> None:
    assert not SiteSuite(url="http://127.0.0.1:8000/").settings.allow_network
    assert not SiteSuite(url="file:///tmp/page.html").settings.allow_network
    assert SiteSuite(url="https://example.org/").settings.allow_network


def test_suites_and_pages_are_found_by_name() -> None:
    pytest.importorskip("miniwob")
    for name in suite_names():
        source = resolve_suite(name)
        assert source.suite == name
        assert len(source.templates) >= 6
    task = resolve_suite("miniwob/click-test-2").task("click-test-2", 7)
    assert task.task_id == "miniwob/click-test-2/7"
    assert resolve_devices("browser:3", resolve_suite("miniwob/quickstart")).capacity == 3


def test_every_page_for_a_quick_start_has_an_expert() -> None:
    pytest.importorskip("miniwob")
    quickstart, experts = miniwob_suite("miniwob/quickstart"), miniwob_suite("miniwob/experts")
    assert set(quickstart.templates) < set(experts.templates) < set(miniwob_suite("miniwob/all").templates)
    assert all(quickstart.task(page, 0).has_expert for page in quickstart.templates)


def test_unknown_suites_and_pages_are_refused() -> None:
    pytest.importorskip("miniwob")
    with pytest.raises(ConfigError, match="no-such-page"):
        miniwob_suite("miniwob/no-such-page")
    with pytest.raises(ConfigError, match="hover-shape"):
        miniwob_suite("miniwob/hover-shape")  # never gives a reward
    with pytest.raises(ConfigError, match="click-pie"):
        miniwob_suite("miniwob/quickstart").task("click-pie", 0)


def test_missing_pages_name_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_module, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="browser-tasks"):
        miniwob_suite("miniwob/quickstart")
