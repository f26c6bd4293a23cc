"""The table of commands. A command is looked up here and imported only when it is called.

A command is a dataclass: its docstring is its help (the first line is the summary, an `Examples:` block
is shown at the end), its fields are its options, nested dataclasses are sections of options, and
`run() -> int` does the work. `dry_run() -> int`, if there, says what `run` would do and changes nothing.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, is_dataclass
from typing import Final, Protocol, cast

from gui_agent.errors import DependencyError


class Command(Protocol):
    """What an instance of a command's dataclass can do."""

    def run(self) -> int:
        """Do the work and return the exit code."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a command lives, and its line in `gui-agent --help`."""

    target: str
    summary: str


COMMANDS: Final[dict[str, Entry]] = {
    "run": Entry(
        target="gui_agent.cli.run:Run",
        summary="do one thing on one device, watched in the terminal",
    ),
    "demo": Entry(
        target="gui_agent.cli.demo:Demo",
        summary="watch an agent work on a device, correct it, and keep that to learn from",
    ),
    "collect": Entry(
        target="gui_agent.cli.collect:Collect",
        summary="run an agent or an oracle on devices and store the trajectories",
    ),
    "data convert": Entry(
        target="gui_agent.cli.data:Convert",
        summary="convert recordings, of data sets or your own, into a trajectory store",
    ),
    "data export": Entry(
        target="gui_agent.cli.data_export:Export",
        summary="write a trajectory store as JSON lines and pictures",
    ),
    "data validate": Entry(
        target="gui_agent.cli.data_validate:Validate",
        summary="check a trajectory store: files, pictures, points, actions",
    ),
    "data stats": Entry(
        target="gui_agent.cli.data_stats:Stats",
        summary="count what a trajectory store holds",
    ),
    "data subgoals": Entry(
        target="gui_agent.cli.subgoals:Subgoals",
        summary="write an instruction to every step of recorded trajectories",
    ),
    "data preferences": Entry(
        target="gui_agent.cli.preferences:Preferences",
        summary="write what people rejected in a demo beside what was done instead",
    ),
    "train grounding": Entry(
        target="gui_agent.cli.train:Grounding",
        summary="teach a model to point at what an instruction names",
    ),
    "train sft": Entry(
        target="gui_agent.cli.train:Sft",
        summary="imitate the expert actions of recorded trajectories",
    ),
    "train semi-online": Entry(
        target="gui_agent.cli.train:SemiOnline",
        summary="reinforcement learning on recorded trajectories replayed as if live",
    ),
    "train online": Entry(
        target="gui_agent.cli.train:Online",
        summary="reinforcement learning on live devices",
    ),
    "suites": Entry(
        target="gui_agent.cli.suites:Suites",
        summary="list the suites of tasks, and the templates of one",
    ),
    "formats": Entry(
        target="gui_agent.cli.formats:Formats",
        summary="list the prompt formats of agents and planners, and their options",
    ),
    "algorithms": Entry(
        target="gui_agent.cli.algorithms:Algorithms",
        summary="list the algorithms of step-level credit and their options",
    ),
    "eval run": Entry(
        target="gui_agent.cli.evaluate:EvalRun",
        summary="score a model offline or on live tasks, with intervals",
    ),
    "rewards": Entry(
        target="gui_agent.cli.rewards:Rewards",
        summary="list the rewards of steps, and the parts to compose one of",
    ),
    "score": Entry(
        target="gui_agent.cli.score:Score",
        summary="compute the rewards of stored episodes again, under any reward",
    ),
    "bench": Entry(
        target="gui_agent.cli.bench:Bench",
        summary="compare methods on the same demonstrations, warm starts and seeds",
    ),
    "pipeline": Entry(
        target="gui_agent.cli.pipeline:Pipeline",
        summary="run the whole chain of a recipe, from demonstrations to a report",
    ),
    "view": Entry(
        target="gui_agent.cli.view:View",
        summary="show stored episodes in a browser: one HTML file, or served",
    ),
    "serve": Entry(
        target="gui_agent.cli.serve:Serve",
        summary="serve a model over an OpenAI-compatible HTTP endpoint",
    ),
    "devices list": Entry(
        target="gui_agent.cli.devices_command:DevicesList",
        summary="list connected phones and emulators",
    ),
    "devices doctor": Entry(
        target="gui_agent.cli.devices_command:DevicesDoctor",
        summary="check what a phone needs for an agent to use it",
    ),
    "farm status": Entry(
        target="gui_agent.cli.farm:FarmStatusCommand",
        summary="show how the devices of a running command are doing",
    ),
    "phone serve": Entry(
        target="gui_agent.cli.phone:PhoneServe",
        summary="serve virtual phones that the real adb server lists as devices",
    ),
    "env": Entry(
        target="gui_agent.cli.env:Env",
        summary="report versions, devices, browsers, GPUs and the machine",
    ),
}


def command_class(name: str) -> type[Command]:
    """Import the dataclass behind a name of `COMMANDS`.

    Raises:
        DependencyError: the command's module, or a package it needs, is not installed.
    """
    module_name, _, class_name = COMMANDS[name].target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name == module_name:
            raise DependencyError(
                f"gui-agent {name}: this installation has no module {module_name}; "
                "reinstall gui-agent, or use a version that has this command"
            ) from error
        raise DependencyError(
            f"gui-agent {name}: the Python package {error.name!r} is missing; "
            "install it, for instance with: pip install 'gui-agent[dev]'"
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        raise DependencyError(
            f"gui-agent {name}: {module_name} has no {class_name}; "
            "use a version of gui-agent that has this command"
        )
    assert is_dataclass(found), f"{module_name}:{class_name} is not a dataclass"
    return cast("type[Command]", found)
