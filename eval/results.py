"""Result rows of comparisons: one per suite, method and seed, appended as they finish.

The file is a JSON list, so that anything can read it; it is replaced atomically at every append, so
that a killed run loses at most the row it was computing. `docs/results.md` is generated from it.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

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
        device_steps: steps taken in live environments for training (replay needs none).
        cpu_s: CPU seconds of the method itself, after the stages that all methods share.
        command: what reproduces the row.
        sop_score: SOP score of the same model on held-out trajectories, in [0, 1], if measured.
        episodes: number of scored episodes behind `success`.
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

    @property
    def key(self) -> tuple[str, str, int]:
        """What a row is about; a file holds one row of each."""
        return self.suite, self.method, self.seed


def read_results(path: Path) -> list[ResultRow]:
    """All rows of a file; none if it does not exist.

    Raises:
        DataError: the file is no list of such rows; names the row.
    """
    if not path.exists():
        return []
    try:
        data = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not JSON ({error}); restore it, or move it away to start afresh"
        ) from error
    if not isinstance(data, list):
        raise DataError(f"{path} must hold a JSON list of result rows, not {type(data).__name__}")
    return [_row(path, index, entry) for index, entry in enumerate(data)]


def append_result(path: Path, row: ResultRow) -> None:
    """Add a row, or replace the one with the same suite, method and seed."""
    rows = [other for other in read_results(path) if other.key != row.key] + [row]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        json.dump([asdict(each) for each in sorted(rows, key=lambda each: each.key)], file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def results_table(rows: Sequence[ResultRow], *, titles: Mapping[str, str] | None = None) -> str:
    """A Markdown table per suite: each method's mean over seeds, its range, and every seed."""
    sections = []
    for suite in sorted({row.suite for row in rows}):
        of_suite = [row for row in rows if row.suite == suite]
        by_method: dict[str, list[ResultRow]] = {}
        for row in of_suite:
            by_method.setdefault(row.method, []).append(row)
        lines = [
            f"### {suite}",
            "",
            "| method | seeds | success, mean | range over seeds | per seed with 95 % interval | SOP score "
            "| training CPU-s | device steps |",
            "|---|---|---|---|---|---|---|---|",
        ]
        order = sorted(by_method.items(), key=lambda item: statistics.fmean(row.success for row in item[1]))
        lines += [_line((titles or {}).get(method, method), group) for method, group in order]
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def _line(title: str, group: Sequence[ResultRow]) -> str:
    successes = [row.success for row in group]
    scores = [row.sop_score for row in group if row.sop_score is not None]
    seeds = "; ".join(
        f"{row.seed}: {row.success:.0%} ({row.success_low:.0%}–{row.success_high:.0%})"
        for row in sorted(group, key=lambda row: row.seed)
    )
    score = f"{statistics.fmean(scores):.3f}" if scores else "–"
    return (
        f"| {title} | {len(group)} | {statistics.fmean(successes):.1%} "
        f"| {min(successes):.0%}–{max(successes):.0%} | {seeds} | {score} "
        f"| {statistics.fmean(row.cpu_s for row in group):.0f} "
        f"| {statistics.fmean(row.device_steps for row in group):.0f} |"
    )


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
