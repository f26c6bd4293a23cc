"""`gui-agent env`: what is installed and connected, for bug reports and before long runs.

Nothing that is missing is an error here: it is reported as missing.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from gui_agent import __version__
from gui_agent.errors import GuiAgentError

PACKAGES: Final = (
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "accelerate",
    "safetensors",
    "qwen-vl-utils",
    "numpy",
    "pyarrow",
    "pillow",
    "playwright",
    "adbutils",
    "miniwob",
    "httpx",
    "starlette",
    "uvicorn",
    "tensorboard",
    "trackio",
    "wandb",
)

_BROWSERS: Final = (
    "chromium",
    "chromium-browser",
    "chromium-headless-shell",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """Report versions, devices, browsers, GPUs and the machine.

    Use it before a long run, and paste it into a bug report. Nothing is started or changed, but for the adb
    server, which is started if none runs (--no-adb leaves it out).

    Attributes:
        json: print one JSON object instead of lines.
        adb: ask adb for connected devices.

    Examples:
        gui-agent env
        gui-agent env --json
        gui-agent env --no-adb
    """

    json: bool = False
    adb: bool = True

    def run(self) -> int:
        """Print the report."""
        report = collect_environment(ask_adb=self.adb)
        print(json.dumps(report, indent=2) if self.json else _as_lines(report))
        return 0

    def dry_run(self) -> int:
        """The report changes nothing, so that a dry run prints it too."""
        return self.run()


def collect_environment(*, ask_adb: bool = True) -> dict[str, Any]:
    """Everything that the report says, as plain values; None stands for what was not found."""
    return {
        "gui_agent": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": _machine(),
        "gpus": _gpus(),
        "browsers": _browsers(),
        **({"adb": _adb()} if ask_adb else {}),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    return {
        "os": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        size_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    return round(size_bytes / 2**30, 1)


def _gpus() -> dict[str, Any] | None:
    """What torch sees; None where torch is not installed or does not load."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:  # a library that torch needs is missing
        return {"error": f"torch does not load: {error}"}
    from gui_agent.policies.transformers_placement import AUTO, place

    default = place("", AUTO)
    return {
        "models_run_on": f"{default.device} in {default.dtype}",
        "cuda": torch.version.cuda,
        "bf16": bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported()),
        "mps": bool(torch.backends.mps.is_available()),
        "devices": [
            {
                "name": properties.name,
                "memory_gib": round(properties.total_memory / 2**30, 1),
                "capability": f"{properties.major}.{properties.minor}",
            }
            for properties in (
                torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())
            )
        ],
    }


def _browsers() -> dict[str, Any]:
    found = {name: path for name in _BROWSERS if (path := shutil.which(name)) is not None}
    for program in (
        Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
        Path("C:/Program Files/Google/Chrome/Application/chrome.exe"),
    ):
        if program.is_file():
            found[program.stem] = str(program)
    return {"used": _used_browser(), "system": found, "playwright": _playwright_browsers()}


def _used_browser() -> str | None:
    """The browser that a browser device would start."""
    try:
        from devices.browser.chromium import find_chromium

        return str(find_chromium())
    except (GuiAgentError, ImportError):  # none found, or playwright is not installed
        return None


def _playwright_browsers() -> list[str]:
    """Browsers that `playwright install` has downloaded, by the names of their folders."""
    chosen = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    home = Path.home()
    folders = [
        *([Path(chosen)] if chosen and chosen != "0" else []),
        home / ".cache" / "ms-playwright",
        home / "Library" / "Caches" / "ms-playwright",
        home / "AppData" / "Local" / "ms-playwright",
    ]
    return sorted({entry.name for folder in folders if folder.is_dir() for entry in folder.glob("chromium*")})


def _adb() -> dict[str, Any]:
    """The adb program, its server, and the devices that it knows; asked as runs ask it."""
    from devices.android.server import AdbServer, find_adb

    report: dict[str, Any] = {"program": None, "server": None}
    try:
        server = AdbServer.from_environment()
        report["server"] = f"{server.host}:{server.port}"
        report["program"] = str(find_adb())
        entries = server.devices()
    except GuiAgentError as error:
        return {**report, "error": str(error), "devices": []}
    devices = [{"serial": entry.serial, "state": entry.state, "model": entry.model} for entry in entries]
    return {**report, "devices": devices}


def _as_lines(report: dict[str, Any]) -> str:
    lines: list[str] = []
    for key, value in report.items():
        if isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {name}: {_shown(item)}" for name, item in value.items()]
        else:
            lines.append(f"{key}: {_shown(value)}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return "not found"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(_shown(item) for item in value) or "none"
    return str(value)
