"""Result rows of comparisons: one per suite, method and seed, appended as they finish.

The file is a JSON list, so that anything can read it; it is replaced atomically at every append, so
that a killed run loses at most the row it was computing. `docs/results.md` is generated from it.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from gui_agent.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One method, trained with one seed, scored on one suite.

    Attributes:
        suite: name of the task suite.
        method: name of the method in its grid file.
        seed: of the whole chain: demonstrations, model, training.
        success: live success on held-out instances, in [0, 1].
        success_low, success_high: 95 % interval of `success` over episodes.
        device_steps: steps taken in live environments for training, that of the model it started from
            included (replay needs none).
        cpu_s: CPU seconds of the method's own training, without that of the model it started from.
        command: what reproduces the row.
        sop_score: SOP score of the same model on held-out trajectories, in [0, 1], if measured.
        episodes: number of scored episodes behind `success`.
        trained_rows: rows that the model was trained on since it was the base that all methods share; None
            if a training on the way did not count them.
        planner_errors, actor_errors, unread_errors: shares of the steps of held-out trajectories, after the
            expert's history, that are the planner's error, the actor's, or wrong for a reason that nobody
            can tell (see `eval.blame`); None for agents without a planner.
        grid: name of the grid file; its rows share demonstrations, warm starts and evaluated instances, and
            are compared with each other.
    """

    suite: str
    method: str
    seed: int
    success: float
    success_low: float
    success_high: float
    device_steps: int
    cpu_s: float
    command: str
    sop_score: float | None = None
    episodes: int | None = None
    trained_rows: int | None = None
    planner_errors: float | None = None
    actor_errors: float | None = None
    unread_errors: float | None = None
    grid: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What a row is about; a file holds one row of each."""
        return self.suite, self.grid, self.method, self.seed


def read_results(path: Path) -> list[ResultRow]:
    """All rows of a file; none if it does not exist.

    Raises:
        DataError: the file is no list of such rows; names the row.
    """
    if not path.exists():
        return []
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not JSON ({error}); restore it, or move it away to start afresh"
        ) from error
    if not isinstance(data, list):
        raise DataError(f"{path} must hold a JSON list of result rows, not {type(data).__name__}")
    return [_row(path, index, entry) for index, entry in enumerate(data)]


def append_result(path: Path, row: ResultRow) -> None:
    """Add a row, or replace the one with the same suite, grid, method and seed.

    Processes may append to one file at the same time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        _write(path, [other for other in read_results(path) if other.key != row.key] + [row])


def _write(path: Path, rows: Sequence[ResultRow]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump([asdict(each) for each in sorted(rows, key=lambda each: each.key)], file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def results_table(rows: Sequence[ResultRow], *, titles: Mapping[str, str] | None = None) -> str:
    """A Markdown table per suite and grid: each method's mean over seeds, its range, and every seed.

    Columns that only some comparisons have are shown where a row of the table has them.
    """
    sections = []
    for suite, grid in sorted({(row.suite, row.grid) for row in rows}):
        compared = [row for row in rows if (row.suite, row.grid) == (suite, grid)]
        by_method: dict[str, list[ResultRow]] = {}
        for row in compared:
            by_method.setdefault(row.method, []).append(row)
        more = [column for column in _COLUMNS if any(column.value(row) is not None for row in compared)]
        titles_of_columns = [*_ALWAYS, *(column.title for column in more)]
        lines = [
            f"### {suite}" + (f", grid `{grid}`" if grid else ""),
            "",
            f"| {' | '.join(titles_of_columns)} |",
            f"|{'---|' * len(titles_of_columns)}",
        ]
        order = sorted(by_method.items(), key=lambda item: statistics.fmean(row.success for row in item[1]))
        lines += [_line((titles or {}).get(method, method), group, more) for method, group in order]
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    title: str
    value: Callable[[ResultRow], float | None]
    form: str

    def mean(self, group: Sequence[ResultRow]) -> str:
        values = [value for value in map(self.value, group) if value is not None]
        return format(statistics.fmean(values), self.form) if values else "–"


_ALWAYS = ("method", "seeds", "success, mean", "range over seeds", "per seed with 95 % interval")
_COLUMNS = (
    _Column(title="SOP score", value=lambda row: row.sop_score, form=".3f"),
    _Column(title="planner's errors", value=lambda row: row.planner_errors, form=".1%"),
    _Column(title="actor's errors", value=lambda row: row.actor_errors, form=".1%"),
    _Column(title="unread errors", value=lambda row: row.unread_errors, form=".1%"),
    _Column(title="trained rows", value=lambda row: row.trained_rows, form=",.0f"),
    _Column(title="training CPU-s", value=lambda row: row.cpu_s, form=".0f"),
    _Column(title="device steps", value=lambda row: row.device_steps, form=".0f"),
)


def _line(title: str, group: Sequence[ResultRow], columns: Sequence[_Column]) -> str:
    successes = [row.success for row in group]
    seeds = "; ".join(
        f"{row.seed}: {row.success:.0%} ({row.success_low:.0%}–{row.success_high:.0%})"
        for row in sorted(group, key=lambda row: row.seed)
    )
    cells = [
        title,
        str(len(group)),
        f"{statistics.fmean(successes):.1%}",
        f"{min(successes):.0%}–{max(successes):.0%}",
        seeds,
        *(column.mean(group) for column in columns),
    ]
    return f"| {' | '.join(cells)} |"


def _row(path: Path, index: int, entry: Any) -> ResultRow:
    names = {field.name for field in fields(ResultRow)}
    if not isinstance(entry, dict) or (unknown := set(entry) - names):
        raise DataError(
            f"{path}, row {index}: expected an object with the keys {sorted(names)}"
            + (f", found the unknown keys {sorted(unknown)}" if isinstance(entry, dict) else "")
        )
    try:
        return ResultRow(**entry)
    except TypeError as error:
        raise DataError(f"{path}, row {index}: {error}") from error
