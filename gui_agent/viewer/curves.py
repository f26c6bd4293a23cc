"""Curves of a training from its metrics.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from trajectories.viewer import Chart, Series
from trajectories.viewer.charts import Drawing, draw_chart

METRICS_FILE: Final = "metrics.jsonl"
_FIRST: Final = ("reward", "reward_std", "live/success", "loss", "entropy", "grad_norm", "kl")
"""What people look for first; a name that begins with one of these counts as well."""
_MAX_POINTS: Final = 400


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; the last may be half written, by a training that runs."""
    lines = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                lines.append(found)
    return lines


def draw_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Drawing]:
    """One chart for every figure that changes, what people look for first before the rest.

    Args:
        runs: lines of metrics by name of the run; each is a curve of its own in every chart.
    """
    names: dict[str, None] = {}
    for lines in runs.values():
        for line in lines:
            names.update(dict.fromkeys(line))
    charts = []
    for name in sorted(names, key=_rank):
        series = [found for run, lines in runs.items() if (found := _series(run, name, lines)) is not None]
        if name not in ("update", "step") and any(len(set(each.ys)) > 1 for each in series):
            charts.append(Chart(title=name, x_label="update", y_label=name, series=series))
    return [draw_chart(chart) for chart in charts]


def _rank(name: str) -> tuple[int, str]:
    first = next((place for place, wanted in enumerate(_FIRST) if name.startswith(wanted)), len(_FIRST))
    return (first + (100 if name.startswith("time/") else 0), name)


def _series(run: str, name: str, lines: Sequence[Mapping[str, Any]]) -> Series | None:
    points = [
        (float(line.get("update", line.get("step", number + 1))), float(line[name]))
        for number, line in enumerate(lines)
        if isinstance(line.get(name), int | float) and not isinstance(line.get(name), bool)
    ]
    if not points:
        return None
    every = -(-len(points) // _MAX_POINTS)
    points = points[::every]
    return Series(name=run, xs=[x for x, _ in points], ys=[y for _, y in points])
