"""Long-horizon figures of an evaluation, as tables on the terminal and as a page with curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table as TerminalTable

from trajectories.viewer import Chart, RunReport, Series, Table, write_report

HISTORY_NAMES: Final = {"expert_history": "expert's history", "own_history": "own history"}
"""What the agent remembered: the expert's steps, or its own with an expert's patch for each wrong one."""

_DEPTH: Final = "depth: steps of the recording"


def has_horizon(report: Mapping[str, Any]) -> bool:
    """Whether an evaluation holds any of these figures."""
    replay = report.get("replay", {})
    return bool(replay.get("horizon") or replay.get("history_errors"))


def print_horizon(console: Console, replay: Mapping[str, Any]) -> None:
    """Show accuracy by depth, horizons, and accuracy by the errors in the history."""
    for name, metrics in replay.get("horizon", {}).items():
        console.print(_depth_table(f"accuracy by depth, {HISTORY_NAMES[name]}", metrics))
    if points := replay.get("history_errors"):
        title = f"history made wrong, {points[0]['num_steps']} steps that have one"
        table = TerminalTable("error rate", "wrong steps", "step accuracy", "change in points", title=title)
        for point in points:
            low, value, high = (f"{100 * point['change'][key]:+.1f}" for key in ("low", "value", "high"))
            words = f"{value} ({low} to {high})"
            table.add_row(
                f"{point['rate']:g}", _percent(point["wrong_share"]), _share(point["accuracy"]), words
            )
        console.print(table)


def write_horizon_page(path: Path, report: Mapping[str, Any], *, model: str) -> Path:
    """Write a self-contained page with curves and tables, and return its path.

    Args:
        path: of the page.
        report: the contents of eval.json; its replay holds such figures.
        model: name of the agent's model.
    """
    replay = report["replay"]
    agents = {"": replay} | {
        f", oracle {oracle}": sections["replay"] for oracle, sections in report.get("oracles", {}).items()
    }
    metrics = {
        HISTORY_NAMES[name] + suffix: found
        for suffix, figures in agents.items()
        for name, found in figures.get("horizon", {}).items()
    }
    charts = []
    if metrics:
        charts = [_step_chart(metrics), _prefix_chart(metrics)]
    if replay.get("history_errors"):
        charts.append(
            _history_chart({suffix: figures["history_errors"] for suffix, figures in agents.items()})
        )
    page = RunReport(
        title=f"How long it stays right: {model}",
        summary=f"Replay of {replay['trajectories']} recordings, matcher {replay['matcher']}.",
        charts=charts,
        tables=[
            table
            for name, found in metrics.items()
            for table in (_horizons(name, found), _horizons_by_depth(name, found))
        ],
    )
    return write_report(path, page)


def horizon_words(horizon: Mapping[str, Any]) -> str:
    """A horizon as text, "6.6 (4.1 to 9.8)"; what has no bound is ∞."""
    steps, low, high = (_steps(horizon[key]) for key in ("steps", "low", "high"))
    return f"{steps} ({low} to {high})"


def _depth_table(title: str, metrics: Mapping[str, Any]) -> TerminalTable:
    horizons = ", ".join(f"{one['success']:.0%}: {horizon_words(one)}" for one in metrics["horizons"])
    words = f"all steps {_share(metrics['step_accuracy'])}\nhorizon in steps, by success {horizons}"
    success = metrics["depths"][0]["horizon"]["success"]
    columns = (
        "depth",
        "recordings",
        "step accuracy",
        f"horizon ({success:.0%})",
        "prefix accuracy",
        "if constant",
    )
    table = TerminalTable(*columns, title=title, caption=words)
    for depth in metrics["depths"]:
        table.add_row(
            str(depth["depth"]),
            str(depth["step"]["count"]),
            _share(depth["step"]),
            horizon_words(depth["horizon"]),
            _share(depth["prefix"]),
            _percent(depth["if_constant"]),
        )
    return table


def _step_chart(metrics: Mapping[str, Mapping[str, Any]]) -> Chart:
    return Chart(
        title="Step accuracy",
        x_label=_DEPTH,
        y_label="step accuracy",
        series=[_by_depth(name, found, "step") for name, found in metrics.items()],
        note="Right steps among the recordings that are so long.",
        y_range=(0.0, 1.0),
    )


def _prefix_chart(metrics: Mapping[str, Mapping[str, Any]]) -> Chart:
    series = [_by_depth(name, found, "prefix") for name, found in metrics.items()]
    own = HISTORY_NAMES["own_history"]
    xs = [depth["depth"] for depth in metrics[own]["depths"]]
    constant = [depth["if_constant"] for depth in metrics[own]["depths"]]
    return Chart(
        title="Prefix accuracy",
        x_label=_DEPTH,
        y_label="prefix accuracy",
        series=[*series, Series(name=f"{own}, if constant", xs=xs, ys=constant)],
        note=(
            "Recordings without a wrong step so far; shorter ones count with their last step. If constant: "
            "what the mean step accuracy gives if errors come independently."
        ),
        y_range=(0.0, 1.0),
    )


def _by_depth(name: str, metrics: Mapping[str, Any], figure: str) -> Series:
    depths = metrics["depths"]
    return _series(name, [depth["depth"] for depth in depths], [depth[figure] for depth in depths])


def _series(name: str, xs: Sequence[float], intervals: Sequence[Mapping[str, float]]) -> Series:
    low, value, high = ([one[key] for one in intervals] for key in ("low", "value", "high"))
    return Series(name=name, xs=xs, ys=value, low=low, high=high)


def _history_chart(points_of: Mapping[str, Sequence[Mapping[str, Any]]]) -> Chart:
    return Chart(
        title="Step accuracy with errors in the history",
        x_label="share of remembered steps that are wrong",
        y_label="step accuracy",
        series=[
            _series(
                f"steps that have a history{suffix}",
                [point["wrong_share"] for point in points],
                [point["accuracy"] for point in points],
            )
            for suffix, points in points_of.items()
        ],
        note="The screen is right; remembered steps are made wrong.",
        y_range=(0.0, 1.0),
    )


def _horizons(name: str, metrics: Mapping[str, Any]) -> Table:
    rows = [(f"{one['success']:.0%}", horizon_words(one)) for one in metrics["horizons"]]
    return Table(
        title=f"Horizon, {name}",
        columns=("success", "steps (95 % interval)"),
        rows=rows,
        note=(
            f"ln s / ln p for a step accuracy p of {_share(metrics['step_accuracy'])} over "
            f"{metrics['num_steps']} steps of {metrics['num_trajectories']} recordings."
        ),
    )


def _horizons_by_depth(name: str, metrics: Mapping[str, Any]) -> Table:
    depths = metrics["depths"]
    rows = [
        (str(one["depth"]), str(one["step"]["count"]), _share(one["step"]), horizon_words(one["horizon"]))
        for one in depths
    ]
    return Table(
        title=f"Horizon by depth, {name}",
        columns=("depth", "recordings", "step accuracy", "steps (95 % interval)"),
        rows=rows,
        note=f"For a success of {depths[0]['horizon']['success']:.0%}, from the step accuracy at that depth.",
    )


def _steps(value: float | None) -> str:
    return "∞" if value is None else f"{value:.1f}"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _share(interval: Mapping[str, float]) -> str:
    """A share with its interval: "28.0% (23.4% to 33.1%)"."""
    return f"{_percent(interval['value'])} ({_percent(interval['low'])} to {_percent(interval['high'])})"
