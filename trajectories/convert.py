"""What all converters share: options, pictures found on disk, and the report of what became of every row.

A row that cannot be used is a `RowProblem` that names file, line and remedy; all good rows are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gui_agent.device import Verdict
from gui_agent.errors import DataError
from gui_agent.observation import Screenshot
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore

_COMMIT_EPISODES = 64
_COMMIT_BYTES = 128 * 2**20
"""Of pictures, which wait in memory for their commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenSize:
    """Width and height of a screen in pixels."""

    width_px: int
    height_px: int

    @classmethod
    def parse(cls, text: str) -> ScreenSize:
        """Read "1080x2400"; `DataError` if it is not of that form."""
        width, _, height = text.lower().partition("x")
        if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise DataError(f"screen size {text!r}: expected WIDTHxHEIGHT in pixels, for instance 1080x2400")
        return cls(width_px=int(width), height_px=int(height))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProblem:
    """A row of the source that was left out, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


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
        lines = [
            f"{self.num_episodes} of {self.num_rows} rows converted, {self.num_steps} steps, "
            f"{self.num_reversed_swipes} swipes turned round",
            f"{self.num_screenshots} steps with a screenshot, {self.num_missing_screenshots} screenshots not "
            f"found, {self.num_without_size} steps without a screen size",
        ]
        if self.verdicts:
            lines.append(", ".join(f"{count} {verdict.value}" for verdict, count in self.verdicts.items()))
        if self.num_already_there:
            lines.append(f"{self.num_already_there} rows are in the store already")
        return "\n".join([*lines, *(f"left out: {problem}" for problem in self.problems)])


class ImageFolder:
    """Finds the pictures that a data set names, wherever its folders were put.

    A name such as `/datasets/AndroidControl/images/8193_0.png` is looked up by its last part, and by as
    many further parts as it takes to be unique.
    """

    def __init__(self, path: Path) -> None:
        """List a folder.

        Raises:
            DataError: there is no such folder.
        """
        if not path.is_dir():
            raise DataError(f"{path} is no folder; give the folder that holds the screenshots (--images DIR)")
        self.path = path
        self._files: dict[str, list[Path]] = {}
        for file in sorted(path.rglob("*")):
            if file.is_file():
                self._files.setdefault(file.name, []).append(file)

    def find(self, name: str) -> Path | None:
        """The file whose path has the longest ending in common with `name`, or None.

        Raises:
            DataError: several files fit equally well.
        """
        wanted = PurePosixPath(name).parts
        files = self._files.get(wanted[-1], []) if wanted else []
        fits = {file: _common_ending(file.parts, wanted) for file in files}
        best = [file for file in files if fits[file] == max(fits.values())]
        if len(best) > 1:
            raise DataError(
                f"screenshot {name!r} fits both {best[0]} and {best[1]}; give a folder that holds only one"
            )
        return best[0] if best else None

    def read(self, name: str) -> Screenshot | None:
        """The picture, or None if there is none; `ImageDecodeError` if it is damaged."""
        file = self.find(name)
        return None if file is None else Screenshot.from_bytes(file.read_bytes(), origin=str(file))


def convert_to_store(
    records: Iterable[EpisodeRecord], store: TrajectoryStore, *, commit_episodes: int = _COMMIT_EPISODES
) -> int:
    """Append converted episodes in commits of a bounded size; returns how many there were."""
    count = 0
    batch: list[EpisodeRecord] = []
    waiting_bytes = 0
    for record in records:
        batch.append(record)
        count += 1
        waiting_bytes += sum(len(screenshot.data) for screenshot in record.screenshots.values())
        if len(batch) >= commit_episodes or waiting_bytes >= _COMMIT_BYTES:
            store.append(batch)
            batch, waiting_bytes = [], 0
    store.append(batch)
    return count


def count_episode(report: ConversionReport, record: EpisodeRecord) -> EpisodeRecord:
    """Add a converted episode to the report."""
    steps = record.trajectory.steps
    report.num_episodes += 1
    report.num_steps += len(steps)
    report.verdicts[record.trajectory.outcome.verdict] += 1
    report.num_screenshots += sum(step.screenshot_sha256 is not None for step in steps)
    report.num_without_size += sum(step.width_px is None for step in steps)
    return record


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file that are not blank, with their numbers from 1.

    Raises:
        DataError: the file cannot be read, or is not UTF-8 text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error


def _common_ending(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        count += 1
    return count
