"""A report of a run as one HTML file: tables, curves, settings, and episodes to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore
from trajectories.viewer.charts import Chart, draw_chart
from trajectories.viewer.page import MAX_SIDE_PX, records_of, write_page
from trajectories.viewer.payload import Annotations, page_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share in [0, 1] with its interval, if one was computed, and what it was measured on."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One task before and after; None where it was not scored."""

    task: str
    before: Rate | None
    after: Rate | None
    total: bool = False
    """Set apart, as a sum of the other rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What training changed, task by task."""

    title: str
    rows: Sequence[ComparisonRow]
    before_name: str = "before"
    after_name: str = "after"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Any other figures: cells are shown as given, numbers to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int | None]]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a report shows, in this order; what is empty is left out.

    Attributes:
        title: of the page.
        summary: the result in a few sentences, plain text.
        comparisons: success before and after.
        charts: curves over training.
        tables: other figures.
        settings: configuration, by name.
        environment: machine, versions, commit, by name.
        episodes: a store, or records, to look at step by step.
        num_episodes: at most so many are embedded.
        annotations: rewards and advantages of the episodes, by episode id.
    """

    title: str
    summary: str = ""
    comparisons: Sequence[Comparison] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    episodes: TrajectoryStore | Iterable[EpisodeRecord] = ()
    num_episodes: int = 24
    annotations: Annotations = field(default_factory=dict)


def write_report(path: str | Path, report: RunReport, *, max_side_px: int = MAX_SIDE_PX) -> Path:
    """Write a self-contained page and return its path.

    Raises:
        DataError: a chart has nothing to draw.
    """
    records = list(islice(records_of(report.episodes), report.num_episodes))
    return write_page(
        "report.html.jinja",
        path,
        title=report.title,
        report=report,
        drawings=[draw_chart(chart) for chart in report.charts],
        data=page_data(records, report.annotations, max_side_px=max_side_px),
        percent=_percent,
        cell=_cell,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".rstrip("0").rstrip(".")


def _cell(value: str | float | int | None) -> str:
    match value:
        case None:
            return "–"
        case float():
            return f"{value:.4g}".replace("-", "−")
        case _:
            return str(value)
