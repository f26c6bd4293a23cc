"""Rows of a source on their way to episodes: how they are read, recognised, and what became of each.

A row that cannot be used is a `RowProblem` that names file, line and remedy; all good rows are kept, also
where the first bad one is to stop the conversion. A row whose episode the store has already is left as it
is, so that a conversion that was broken off goes on when it is called again.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gui_agent.device import Verdict
from gui_agent.errors import DataError
from trajectories.damage import OnDamage
from trajectories.json_fields import shown
from trajectories.records import EpisodeRecord
from trajectories.rows import Row
from trajectories.store import TrajectoryStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """A row of the source that was left out, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedLine:
    """A line of a file, its number from 1, its bytes without white space around them."""

    number: int
    text: bytes

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the text."""
        return hashlib.sha256(self.text).hexdigest()


@dataclass(slots=True, kw_only=True)
class ConversionReport:
    """What became of a source.

    Attributes:
        num_rows: rows read, blank lines not counted.
        num_episodes, num_steps: converted.
        num_already_there: rows whose episode the store has from an earlier conversion.
        verdicts: how many of the converted episodes succeeded, failed, or are unscored.
        num_screenshots: steps with their picture.
        num_missing_screenshots: steps whose picture was looked for and not found.
        num_without_size: steps whose screen size nobody states.
        num_reversed_swipes: swipes whose stored path was turned round into that of the finger.
        problems: rows that were left out.
    """

    num_rows: int = 0
    num_episodes: int = 0
    num_steps: int = 0
    num_already_there: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    num_screenshots: int = 0
    num_missing_screenshots: int = 0
    num_without_size: int = 0
    num_reversed_swipes: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.num_episodes} of {self.num_rows} rows converted, {self.num_steps} steps"]
        if self.verdicts:
            lines.append(", ".join(f"{count} {verdict.value}" for verdict, count in self.verdicts.items()))
        counts = {
            "rows are in the store already and were left as they are": self.num_already_there,
            "steps with a screenshot": self.num_screenshots,
            "screenshots not found": self.num_missing_screenshots,
            "steps without a screen size": self.num_without_size,
            "swipes turned round": self.num_reversed_swipes,
        }
        lines += [f"{count} {words}" for words, count in counts.items() if count]
        return "\n".join([*lines, *(f"left out: {problem}" for problem in self.problems)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An episode of a source, read but for its pictures.

    Attributes:
        episode_id: its name in the store.
        goal: its instruction.
        num_steps: how many it has.
        sha256: of the row it stands in; None where its provenance is the row's own and so will not say.
        record: reads the pictures; `DataError` if the row cannot be used.
    """

    episode_id: str
    goal: str
    num_steps: int
    sha256: str | None
    record: Callable[[], EpisodeRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A row of a source: where it stands, and how it is read.

    Attributes:
        file, line: the place, for messages.
        draft: reads it; `DataError` if it cannot be used.
    """

    file: str
    line: int
    draft: Callable[[], Draft]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEpisode:
    """What an episode of the store is recognised by when its row comes again."""

    goal: str
    num_steps: int
    sha256: str | None

    def expect(self, draft: Draft) -> None:
        """Raise `DataError` unless the draft is of the row that this episode was made of."""
        if self.sha256 is not None and draft.sha256 is not None:
            same = draft.sha256 == self.sha256
        else:
            same = (draft.goal, draft.num_steps) == (self.goal, self.num_steps)
        if not same:
            raise DataError(
                f"id is {shown(draft.episode_id)}, which the store has from another row (goal "
                f"{shown(self.goal)}, {self.num_steps} steps); give this one another id, or convert into "
                "another store"
            )


def known_episodes(store: TrajectoryStore) -> dict[str, KnownEpisode]:
    """What the store holds, by name.

    Raises:
        DataError: it is damaged.
    """
    return {
        row["episode_id"]: KnownEpisode(goal=row["goal"], num_steps=row["num_steps"], sha256=_row_sha256(row))
        for row in store.episode_rows("episode_id", "goal", "num_steps", "source")
    }


def _row_sha256(row: Row) -> str | None:
    try:
        source = json.loads(row["source"])
        sha256: str | None = source.get("row_sha256", source.get("file_sha256"))
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"episode {row['episode_id']!r} of the store: column 'source' cannot be read ({error}); "
            "gui-agent data validate lists what is damaged"
        ) from error
    return sha256


def read_rows(
    rows: Iterable[SourceRow],
    report: ConversionReport,
    *,
    on_damage: OnDamage,
    known: Mapping[str, KnownEpisode],
    on_row: Callable[[], None] = lambda: None,
) -> Iterator[EpisodeRecord]:
    """Convert row by row; what became of every row is counted into `report`.

    Args:
        rows: of one source or several.
        report: is added to.
        on_damage: "skip" leaves a bad row out and reports it, "raise" stops there.
        known: episodes of the store, by name; their rows are counted and not converted again.
        on_row: called after each row.

    Raises:
        DataError: a row is bad (only with on_damage="raise").
    """
    place_of: dict[str, str] = {}
    for row in rows:
        report.num_rows += 1
        try:
            draft = row.draft()
            if (place := place_of.get(draft.episode_id)) is not None:
                raise DataError(f"id is {shown(draft.episode_id)}, as in {place}; expected another one")
            record = None
            if (earlier := known.get(draft.episode_id)) is None:
                record = draft.record()
            else:
                earlier.expect(draft)
                report.num_already_there += 1
            place_of[draft.episode_id] = f"{row.file}:{row.line}"
        except DataError as error:
            problem = RowProblem(file=row.file, line=row.line, reason=str(error))
            if on_damage is OnDamage.RAISE:
                raise DataError(str(problem)) from error
            report.problems.append(problem)
            record = None
        if record is not None:
            yield _counted(report, record)
        on_row()


def numbered_lines(path: Path) -> Iterator[NumberedLine]:
    """Lines of a text file that are not blank, without a byte order mark.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if text.strip():
                    yield NumberedLine(number=number, text=text.strip())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give a file of JSON lines") from error


def count_rows(source: Path) -> int:
    """Lines of a file that are not blank; `DataError` if it cannot be read."""
    return sum(1 for _ in numbered_lines(source))


def _counted(report: ConversionReport, record: EpisodeRecord) -> EpisodeRecord:
    steps = record.trajectory.steps
    report.num_episodes += 1
    report.num_steps += len(steps)
    report.verdicts[record.trajectory.outcome.verdict] += 1
    report.num_screenshots += sum(step.screenshot_sha256 is not None for step in steps)
    report.num_without_size += sum(step.width_px is None for step in steps)
    return record
