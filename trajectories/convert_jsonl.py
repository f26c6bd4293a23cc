"""Files of episodes in JSON lines, the neutral form: one object per line, pictures beside the file.

`json_episode` reads an object, `export_jsonl` writes the same form, and `docs/data.md` describes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gui_agent.errors import DataError
from gui_agent.observation import Screenshot
from trajectories.convert import ConversionReport, RowProblem, convert_to_store, count_episode
from trajectories.damage import OnDamage
from trajectories.json_episode import Pictures, episode_from_json
from trajectories.json_fields import Fields, load_object, shown
from trajectories.records import EpisodeRecord, Trajectory
from trajectories.store import TrajectoryStore

CONVERTER: Final = "convert_jsonl@1"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonlOptions:
    """How to convert.

    Attributes:
        images: folder that paths of pictures are relative to; that of the file if None.
        split: label of all episodes; what each says, or "train", if None.
        on_problem: "skip" leaves a bad line out and reports it, "raise" stops there.
    """

    images: Path | None = None
    split: str | None = None
    on_problem: OnDamage = OnDamage.SKIP


def convert_jsonl_file(
    source: str | Path,
    target: str | Path,
    options: JsonlOptions,
    *,
    on_row: Callable[[], None] = lambda: None,
) -> ConversionReport:
    """Append the episodes of a file to the store at `target`, made if it is not there.

    Episodes that the store has already are left as they are and counted, so that a conversion that was
    broken off goes on when it is called again.

    Args:
        source: a file of JSON lines in UTF-8.
        target: folder of the store.
        options: how.
        on_row: called after each line.

    Raises:
        DataError: the file or the store cannot be read; a line is bad (only with on_problem="raise").
    """
    report = ConversionReport()
    provenance = {"dataset": Path(source).name, "converter": CONVERTER}
    store = TrajectoryStore.open_or_create(target, source=provenance)
    known = {trajectory.episode_id: _Known.of(trajectory) for trajectory in store}
    convert_to_store(read_jsonl(source, options, report, known=known, on_row=on_row), store)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What an episode of the store is recognised by when its line comes again."""

    goal: str
    num_steps: int
    row_sha256: str | None

    @classmethod
    def of(cls, trajectory: Trajectory) -> _Known:
        row_sha256 = trajectory.source.get("row_sha256")
        return cls(goal=trajectory.goal, num_steps=len(trajectory.steps), row_sha256=row_sha256)

    def is_line(self, data: Mapping[str, Any], row_sha256: str) -> bool:
        if self.row_sha256 is not None and "source" not in data:
            return self.row_sha256 == row_sha256
        steps = data.get("steps")
        return data.get("goal") == self.goal and isinstance(steps, list) and len(steps) == self.num_steps


def read_jsonl(
    source: str | Path,
    options: JsonlOptions,
    report: ConversionReport | None = None,
    *,
    known: Mapping[str, _Known] | None = None,
    on_row: Callable[[], None] = lambda: None,
) -> Iterator[EpisodeRecord]:
    """Convert line by line; what became of every line is counted into `report`.

    Raises:
        DataError: as `convert_jsonl_file`.
    """
    source = Path(source)
    report = ConversionReport() if report is None else report
    known = {} if known is None else known
    line_of: dict[str, int] = {}
    folder = options.images or source.parent
    for line, text in _numbered(source):
        report.num_rows += 1
        try:
            data = load_object(text)
            row_sha256 = hashlib.sha256(text.strip()).hexdigest()
            name = Fields(data).text("id")
            if name in line_of:
                raise DataError(f"id is {shown(name)}, as in line {line_of[name]}; expected another one")
            if (earlier := known.get(name)) is not None:
                if not earlier.is_line(data, row_sha256):
                    raise DataError(
                        f"id is {shown(name)}, which another episode of the store has (goal "
                        f"{shown(earlier.goal)}, {earlier.num_steps} steps); give this one another id, or "
                        "convert into another store"
                    )
                report.num_already_there += 1
                record = None
            else:
                origin = {"converter": CONVERTER, "file": source.name, "line": line, "row_sha256": row_sha256}
                record = episode_from_json(data, picture_reader(folder), source=origin, split=options.split)
            line_of[name] = line
        except DataError as error:
            problem = RowProblem(file=str(source), line=line, reason=str(error))
            if options.on_problem is OnDamage.RAISE:
                raise DataError(str(problem)) from error
            report.problems.append(problem)
            record = None
        if record is not None:
            yield count_episode(report, record)
        on_row()


def count_rows(source: Path) -> int:
    """Lines of a file that are not blank; `DataError` if it cannot be read."""
    return sum(1 for _ in _numbered(source))


def _numbered(source: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with source.open("rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text.strip():
                    yield number, text
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}); check the path") from error


def picture_reader(folder: Path) -> Pictures:
    """Reads pictures of a folder, each once, and decodes them to the last row."""
    read: dict[str, Screenshot] = {}

    def picture(name: str) -> Screenshot:
        if name not in read:
            try:
                data = (folder / name).read_bytes()
            except (OSError, ValueError) as error:  # ValueError: a character that no path can have
                reason = getattr(error, "strerror", None) or str(error)
                raise DataError(
                    f"{folder / name} cannot be read ({reason}); expected a path relative to the file, or to "
                    "--images"
                ) from error
            read[name] = Screenshot.from_bytes(data, origin=str(folder / name))
        return read[name]

    return picture
