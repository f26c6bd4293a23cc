"""Line charts as inline SVG, drawn without any library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gui_agent.errors import DataError

NUM_COLOURS: Final = 6
_WIDTH, _HEIGHT = 560, 300
_RIGHT, _TOP, _BOTTOM = 14, 10, 44
_AXIS_TITLE, _DIGIT = 32, 7
_MAX_POINTS: Final = 60
"""Series up to this length show their points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One curve.

    Attributes:
        name: in the legend.
        xs, ys: equally many numbers; points that are not finite interrupt the curve.
        low, high: edges of a band around it, as long as `ys`, or empty.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.xs), len(self.ys)} | {len(edge) for edge in (self.low, self.high) if edge}
        if len(lengths) != 1 or bool(self.low) != bool(self.high):
            raise DataError(
                f"series {self.name!r}: xs, ys, low and high hold {len(self.xs)}, {len(self.ys)}, "
                f"{len(self.low)} and {len(self.high)} numbers; expected equally many, or no low and high"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Several curves over one axis.

    Attributes:
        title: above the chart.
        x_label, y_label: what the axes count, with units.
        series: at least one.
        note: a sentence below the title.
        y_range: lowest and highest value of the axis; that of the data if None.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    note: str = ""
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled place on an axis, in units of the drawing."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of a curve in units of the drawing, and what it says."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A series ready to draw: SVG path data."""

    name: str
    colour: int
    line: str
    band: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart ready to draw; `x_ticks` and `y_ticks` lie within the plot's frame."""

    chart: Chart
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    curves: Sequence[Curve]


def draw_chart(chart: Chart) -> Drawing:
    """Lay a chart out.

    Raises:
        DataError: it has no finite point.
    """
    xs = [x for series in chart.series for x in series.xs if math.isfinite(x)]
    values = [y for series in chart.series for y in (*series.ys, *series.low, *series.high)]
    ys = [y for y in values if math.isfinite(y)]
    if not xs or not ys:
        raise DataError(f"chart {chart.title!r} has no finite point to draw; leave it out")
    low, high = chart.y_range or (min(ys), max(ys))
    y_scale = _Scale.of(low, high, _HEIGHT - _BOTTOM, _TOP, snap=chart.y_range is None)
    y_ticks = y_scale.ticks()
    left = _AXIS_TITLE + _DIGIT * max(len(tick.label) for tick in y_ticks)
    x_scale = _Scale.of(min(xs), max(xs), left, _WIDTH - _RIGHT, snap=False)
    return Drawing(
        chart=chart,
        width=_WIDTH,
        height=_HEIGHT,
        left=left,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        bottom=_HEIGHT - _BOTTOM,
        x_ticks=x_scale.ticks(),
        y_ticks=y_ticks,
        curves=[
            _curve(series, number % NUM_COLOURS, x_scale, y_scale)
            for number, series in enumerate(chart.series)
        ],
    )


def ticks(low: float, high: float, target: int = 5) -> list[float]:
    """Round numbers within [low, high], about `target` of them, 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    rough = (high - low) / target
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """A linear map from values to units of the drawing."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, low: float, high: float, start: float, end: float, *, snap: bool) -> _Scale:
        """Cover [low, high]; with `snap`, up to the next round numbers."""
        if not high > low:
            margin = abs(low) * 0.1 or 1.0
            low, high = low - margin, high + margin
        if snap:
            places = ticks(low, high)
            step = places[1] - places[0] if len(places) > 1 else high - low
            low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        return cls(low=low, high=high, start=start, end=end)

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        return [Tick(at=self(value), label=_label(value)) for value in ticks(self.low, self.high)]


def _curve(series: Series, colour: int, x_scale: _Scale, y_scale: _Scale) -> Curve:
    points = [
        Point(x=x_scale(x), y=y_scale(y), label=f"{series.name}: {_label(x)}, {y:.4g}")
        for x, y in zip(series.xs, series.ys, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    return Curve(
        name=series.name,
        colour=colour,
        line=_line(series, x_scale, y_scale),
        band=_band(series, x_scale, y_scale),
        points=points if len(points) <= _MAX_POINTS else (),
    )


def _line(series: Series, x_scale: _Scale, y_scale: _Scale) -> str:
    commands = []
    pen_down = False
    for x, y in zip(series.xs, series.ys, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            pen_down = False
            continue
        commands.append(f"{'L' if pen_down else 'M'}{x_scale(x)} {y_scale(y)}")
        pen_down = True
    return " ".join(commands)


def _band(series: Series, x_scale: _Scale, y_scale: _Scale) -> str:
    edges = zip(series.xs, series.low, series.high, strict=False)
    known = [edge for edge in edges if all(math.isfinite(value) for value in edge)]
    if len(known) < 2:
        return ""
    upper = [f"{x_scale(x)} {y_scale(high)}" for x, _, high in known]
    lower = [f"{x_scale(x)} {y_scale(low)}" for x, low, _ in reversed(known)]
    return f"M{' L'.join(upper + lower)} Z"


def _label(value: float) -> str:
    if value and abs(value) < 1e-3:
        return f"{value:.0e}".replace("-", "−")
    return f"{value:,.4g}".replace("-", "−") if abs(value) < 10_000 else f"{value:,.0f}".replace("-", "−")
