"""Who erred, and what each half of a hierarchical agent is worth with a perfect partner: tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

_HISTORIES: Final = {
    "expert_history": "every step, expert's history",
    "until_first_error": "own history, until the first error",
}
_AGENTS: Final = {"planner": "execution alone", "actor": "planning alone"}
_MEANING: Final = {
    "planner": "execution alone: given the expert's subgoals",
    "actor": "planning alone: its subgoals are taken at their word",
}


def print_errors(console: Console, replay: Mapping[str, Any]) -> None:
    """Show the errors of a hierarchical agent by role; nothing for others."""
    errors = replay.get("errors")
    if not errors:
        return
    table = Table("share of steps", *(_HISTORIES[name] for name in errors), title="whose errors")
    for key, words in (
        ("right", "right"),
        ("planner", "planner's error"),
        ("actor", "actor's error"),
        ("unread", "error, subgoal not understood"),
        ("rescued", "right despite the subgoal"),
        ("plan_accuracy", "right subgoals"),
        ("action_accuracy", "right actions, of right subgoals"),
    ):
        table.add_row(words, *(_share(split[key]) for split in errors.values()))
    table.add_section()
    for key, words in (("planner", "planner"), ("actor", "actor"), ("unread", "nobody can tell")):
        counts = (f"{split['first_errors'][key]} of {split['num_trajectories']}" for split in errors.values())
        table.add_row(f"first error: {words}", *counts)
    console.print(table)


def print_oracles(console: Console, report: Mapping[str, Any]) -> None:
    """Show the agent beside itself with an oracle in the place of one half."""
    oracles: Mapping[str, Mapping[str, Any]] = report.get("oracles", {})
    if not oracles:
        return
    caption = "; ".join(_MEANING[name] for name in oracles)
    table = Table(
        "agent", "live success", "SOP score", "step accuracy", title="with oracles", caption=caption
    )
    table.add_row("as it is", *_figures(report))
    for name, sections in oracles.items():
        table.add_row(_AGENTS[name], *_figures(sections))
    console.print(table)
    if effect := oracles.get("planner", {}).get("replay", {}).get("effect_of_subgoals"):
        changed = Table("step", "share of steps", title="the expert's subgoals in the place of its own")
        for key, words in (
            ("right", "right with both"),
            ("planner", "planner's error: right with the expert's subgoal"),
            ("actor", "actor's error: wrong with both"),
            ("lost", "right, but wrong with the expert's subgoal"),
        ):
            changed.add_row(words, _share(effect[key]))
        console.print(changed)
    for name, sections in oracles.items():
        if unknown := sections.get("replay", {}).get("unknown_to_oracle"):
            reason = next(iter(unknown.values()))
            console.print(
                f"oracle {name}: {len(unknown)} recordings left out, the first because {reason}", markup=False
            )


def _figures(sections: Mapping[str, Any]) -> tuple[str, str, str]:
    live, replay = sections.get("live"), sections.get("replay")
    success = None
    if live and live["success"] is not None:
        success = {"value": live["success"], "low": live["success_low"], "high": live["success_high"]}
    score = replay["sop"]["score"] if replay else None
    return _share(success), _share(score), _share(replay["steps"]["success"] if replay else None)


def _share(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "–"
    return f"{interval['value']:.1%} ({interval['low']:.1%} to {interval['high']:.1%})"
