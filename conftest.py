"""Options of the tests.

Tests marked `ray`, `adbd` or `androidworld` need programs that a clone does not have; they run where `-m`
names them, as `make test-ray`, `make test-adbd` and `make test-androidworld` do.

Browser tests are skipped and counted where there is no browser, or required with `--require-browser`.
`--android-serial` runs what every device promises on a connected phone, and nothing else.
"""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import settings

from gui_agent.errors import GuiAgentError

# A busy computer takes long over what is right.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")

_ON_REQUEST: Final = ("ray", "adbd", "androidworld")
_skipped_browser_tests: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--require-browser` and `--android-serial`."""
    parser.addoption(
        "--require-browser", action="store_true", help="fail if a test marked `browser` is skipped"
    )
    parser.addoption("--android-serial", default="", help="run the contract tests of a phone on this one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs Chromium where there is none; leave out what was not asked for."""
    unasked = [marker for marker in _ON_REQUEST if marker not in config.option.markexpr]
    others = [item for item in items if any(map(item.get_closest_marker, unasked))]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    if config.getoption("--android-serial"):
        others = [item for item in items if "phone_serial" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    marked = [item for item in items if item.get_closest_marker("browser")]
    if not marked or (reason := _why_no_browser()) is None:
        return
    for item in marked:
        item.add_marker(pytest.mark.skip(reason=reason))


def _why_no_browser() -> str | None:
    try:
        from devices.browser.chromium import find_chromium

        find_chromium()
    except (GuiAgentError, ImportError) as error:
        return f"no browser: {error}"
    return None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count browser tests that were skipped, for whatever reason."""
    if report.skipped and "browser" in report.keywords:
        _skipped_browser_tests.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run where browsers are required."""
    if _skipped_browser_tests and session.config.getoption("--require-browser") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many browser tests were skipped."""
    if _skipped_browser_tests:
        terminalreporter.write_line(
            f"browser tests skipped: {len(_skipped_browser_tests)}; install Chromium, or set "
            "GUI_AGENT_CHROMIUM to the path of a browser"
        )
