"""Where Chromium is on this computer, and how it is started.

Nothing is downloaded here: a missing browser is an error that says how to get one.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gui_agent.errors import ConfigError, DependencyError

CHROMIUM_VARIABLE: Final = "GUI_AGENT_CHROMIUM"
"""Environment variable with the path of the browser to use; it wins over everything found."""

# The headless shell first: it starts faster and takes half the memory of the full browser.
_COMMANDS: Final = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
)
_MAC_APPS: Final = (
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Chromium.app/Contents/MacOS/Chromium",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_WINDOWS_PROGRAMS: Final = (
    "Google/Chrome/Application/chrome.exe",
    "Chromium/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)
_PLAYWRIGHT_PATTERNS: Final = (
    "chromium_headless_shell-*/*/headless_shell*",
    "chromium_headless_shell-*/*/chrome-headless-shell*",
    "chromium-*/*/chrome",
    "chromium-*/*/chrome.exe",
    "chromium-*/*/*.app/Contents/MacOS/*",
)
_ARGUMENTS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    # Repainting only a part of a tile leaves rounded corners off by one grey level now and then, so that
    # the same page would not always show the same pixels.
    "--disable-partial-raster",
    # A wheel event moves the content at once, so that one settled frame shows the result.
    "--disable-smooth-scrolling",
)


def find_chromium(environ: Mapping[str, str] | None = None) -> Path:
    """The browser to drive.

    Looked for in this order: the environment variable GUI_AGENT_CHROMIUM; a headless shell,
    Chromium, Chrome or Edge on the PATH or in the usual folder of the operating system; the browsers
    that `playwright install` fetched.

    Args:
        environ: environment variables; those of this process by default.

    Raises:
        ConfigError: GUI_AGENT_CHROMIUM is set but names no executable file.
        DependencyError: there is no browser; the message says how to install one.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get(CHROMIUM_VARIABLE):
        path = Path(chosen).expanduser()
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise ConfigError(
                f"{CHROMIUM_VARIABLE}={chosen!r} is no executable file; "
                "set it to the path of a Chromium or Chrome program, or unset it to search for one"
            )
        return path
    for path in _candidates(environ):
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise DependencyError(
        "no Chromium, Chrome or Edge was found; on Debian or Ubuntu run `apt-get install chromium`, "
        f"elsewhere `playwright install chromium`, or set {CHROMIUM_VARIABLE} to the browser's path"
    )


def launch_arguments(*, allow_network: bool) -> list[str]:
    """Command-line arguments for Chromium.

    Args:
        allow_network: let pages reach other hosts than this computer.
    """
    arguments = list(_ARGUMENTS)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to start as root with its sandbox.
    if not allow_network:
        arguments.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1")
    return arguments


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    for command in _COMMANDS:
        if found := shutil.which(command, path=environ.get("PATH")):
            yield Path(found)
    match platform.system():
        case "Darwin":
            for folder in (Path("/Applications"), _home(environ) / "Applications"):
                yield from (folder / app for app in _MAC_APPS)
        case "Windows":
            for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
                if folder_name := environ.get(variable):
                    yield from (Path(folder_name) / program for program in _WINDOWS_PROGRAMS)
        case _:
            yield Path("/snap/bin/chromium")
    for pattern in _PLAYWRIGHT_PATTERNS:
        # The highest revision last in name order is the newest that playwright installed.
        yield from sorted(_playwright_folder(environ).glob(pattern), reverse=True)


def _playwright_folder(environ: Mapping[str, str]) -> Path:
    if (chosen := environ.get("PLAYWRIGHT_BROWSERS_PATH")) and chosen != "0":
        return Path(chosen)
    match platform.system():
        case "Darwin":
            return _home(environ) / "Library/Caches/ms-playwright"
        case "Windows":
            return Path(environ.get("LOCALAPPDATA", _home(environ) / "AppData/Local")) / "ms-playwright"
        case _:
            return Path(environ.get("XDG_CACHE_HOME", _home(environ) / ".cache")) / "ms-playwright"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
