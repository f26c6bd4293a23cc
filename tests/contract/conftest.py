"""Fixtures of the contract tests: programs that may be missing on this computer."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.browser import find_chromium
from gui_agent.errors import DependencyError


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program; tests that need one are skipped where there is none."""
    try:
        return find_chromium()
    except DependencyError as error:
        pytest.skip(str(error))
