"""`gui-agent suites`: what `--suite` can be, what each needs and how many templates it has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from devices.listing import LISTED_SUITES, ListedSuite, num_templates
from devices.registry import resolve_suite
from gui_agent.cli.config import option
from gui_agent.cli.devices import default_devices
from gui_agent.cli.option_tables import list_console


@dataclass(frozen=True, slots=True, kw_only=True)
class Suites:
    """List the suites of tasks, or the templates of one.

    Every name can be given as --suite to collect, train online and eval run, and as --eval-suite to a
    training. A template is a family of tasks, with an instance for every seed. The devices named here are
    those that a suite runs on unless --devices says otherwise.

    Examples:
        gui-agent suites
        gui-agent suites phone/quickstart
        gui-agent suites miniwob/all --json

    Attributes:
        name: the suite to show with its templates; empty lists all.
        json: print one JSON object instead of a table.
    """

    name: str = option("", positional=True)
    json: bool = False

    def run(self) -> int:
        """Print what is known."""
        if self.name:
            shown = _details(self.name)
            print(json.dumps(shown, indent=2) if self.json else _text(shown))
            return 0
        listed = {suite.name: _facts(suite) for suite in LISTED_SUITES}
        if self.json:
            print(json.dumps(listed, indent=2))
        else:
            list_console().print(_table(listed))
        return 0

    def dry_run(self) -> int:
        """The list changes nothing, so that a dry run prints it too."""
        return self.run()


def _facts(suite: ListedSuite) -> dict[str, Any]:
    return {
        "templates": num_templates(suite),
        "needs": suite.needs,
        "devices": default_devices(suite.name),
        "summary": suite.summary,
    }


def _details(name: str) -> dict[str, Any]:
    """A suite with the names of its templates.

    Raises:
        ConfigError: there is no such suite.
        DependencyError: it needs something that is not installed.
    """
    suite = resolve_suite(name)
    listed = next((one for one in LISTED_SUITES if one.name == suite.suite), None)
    return {
        "name": suite.suite,
        "summary": "" if listed is None else listed.summary,
        "devices": default_devices(suite.suite),
        "templates": list(suite.templates),
    }


def _text(shown: dict[str, Any]) -> str:
    about = f": {shown['summary']}" if shown["summary"] else ""
    lines = [f"{shown['name']}{about}", f"  devices    {shown['devices']}"]
    lines.append(f"  templates  {len(shown['templates'])}")
    return "\n".join([*lines, *(f"    {template}" for template in shown["templates"])])


def _table(listed: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE, caption="gui-agent suites NAME shows the templates")
    table.add_column("suite", no_wrap=True)
    table.add_column("templates", no_wrap=True, justify="right")
    table.add_column("what it is", ratio=3)
    table.add_column("needs", ratio=2)
    table.add_column("devices", no_wrap=True)
    for name, facts in listed.items():
        number = "?" if facts["templates"] is None else str(facts["templates"])
        table.add_row(name, number, facts["summary"], facts["needs"], facts["devices"])
    return table
