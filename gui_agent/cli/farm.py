"""`gui-agent farm status`: how the devices of a running command are doing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from devices.farm.status import FarmStatus, is_alive, read_status
from gui_agent.cli.config import option
from gui_agent.cli.option_tables import list_console
from gui_agent.errors import ConfigError

_NUM_EVENTS: Final = 8
_STYLES: Final = {
    "ready": "green", "leased": "bold green", "checking": "yellow", "quarantined": "red",
    "duplicate": "dim", "lost": "bold red",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FarmStatusCommand:
    """Show the devices of a running training, evaluation or collection: what each does, and its faults.

    The table is drawn anew until the run ends, or Ctrl-C. Commands write farm.json into their output folder
    every second; collect writes it beside its output, as OUTPUT.farm.json.

    Examples:
        gui-agent farm status runs/online
        gui-agent farm status runs/online --json

    Attributes:
        path: the output folder of the run, or its farm.json.
        json: print the status once as one JSON object, with all counts and times, instead of a table.
        interval_s: seconds between two looks.
    """

    path: Path = option(positional=True)
    json: bool = False
    interval_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.interval_s > 0:
            raise ConfigError(f"interval_s is {self.interval_s}; expected more than 0 seconds")

    def run(self) -> int:
        """Show the status.

        Raises:
            ConfigError: no run wrote a status there.
            DataError: it cannot be read.
        """
        status = read_status(self.path)
        if self.json:
            print(json.dumps(status.to_json() | {"is_alive": is_alive(status)}))
            return 0
        console = list_console()
        if not console.is_terminal:
            console.print(status_table(status))
            return 0
        with Live(status_table(status), console=console, auto_refresh=False) as live:
            while status.is_running and is_alive(status):
                time.sleep(self.interval_s)
                status = read_status(self.path)
                live.update(status_table(status), refresh=True)
        return 0


def status_table(status: FarmStatus) -> RenderableType:
    """The devices as a table, the newest events below."""
    table = Table(title=_headline(status), title_justify="left", title_style="bold")
    for name in ("device", "state", "for", "leases", "episodes", "faults", "again", "rested", "look", "act"):
        justify: JustifyMethod = "left" if name in ("device", "state", "faults") else "right"
        table.add_column(name, justify=justify, no_wrap=name == "device", overflow="fold")
    for device in status.devices:
        table.add_row(*_cells(device))
    parts: list[RenderableType] = [table]
    for event in status.events[-_NUM_EVENTS:]:
        at = time.strftime("%H:%M:%S", time.localtime(event["at_s"]))
        words = " ".join(filter(None, (at, event["device"], event["what"], event["detail"])))
        parts.append(Text(words, overflow="ellipsis", no_wrap=True, style="dim"))
    return Group(*parts)


def _headline(status: FarmStatus) -> str:
    age_s = max(0.0, time.time() - status.written_at_s)
    if not status.is_running:
        state = f"ended {_duration(age_s)} ago"
    elif not is_alive(status):
        state = f"process {status.pid} is gone, {_duration(age_s)} after its last word"
    else:
        state = f"running for {_duration(time.time() - status.started_at_s)}"
    waiting = f", {status.num_waiting} episodes wait" if status.num_waiting else ""
    return f"{status.num_healthy} of {status.capacity} devices healthy{waiting}; {state}"


def _cells(device: Mapping[str, Any]) -> list[RenderableType]:
    faults = ", ".join(f"{number} {kind}" for kind, number in device["faults"].items())
    again = device["reconnects"] + device["restarts"]
    return [
        device["name"],
        Text(device["state"], style=_STYLES.get(device["state"], "")),
        _duration(device["for_s"]),
        str(device["leases"]),
        str(device["episodes"]),
        faults or "-",
        str(again) if again else "-",
        _duration(device["quarantined_s"]) if device["quarantined_s"] else "-",
        _mean(device, "observe"),
        _mean(device, "execute"),
    ]


def _mean(device: Mapping[str, Any], call: str) -> str:
    times = device["calls"].get(call)
    return f"{times['mean_ms']:.0f} ms" if times else "-"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
