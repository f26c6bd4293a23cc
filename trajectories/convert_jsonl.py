"""Files of episodes in JSON lines, the neutral form: one object per line, pictures beside the file.

`json_episode` reads an object, `export_jsonl` writes the same form, and `docs/data.md` describes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from gui_agent.observation import Screenshot
from trajectories.convert import convert_to_store, read_picture
from trajectories.convert_rows import (
    ConversionReport,
    Draft,
    KnownEpisode,
    NumberedLine,
    SourceRow,
    known_episodes,
    numbered_lines,
    read_rows,
)
from trajectories.damage import OnDamage
from trajectories.json_episode import Pictures, episode_from_json
from trajectories.json_fields import Fields, load_object
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore

CONVERTER: Final = "convert_jsonl@1"
_PATHS: Final = "expected a path relative to the file, or to --images"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonlOptions:
    """How to convert.

    Attributes:
        images: folder that paths of pictures are relative to; that of the file if None.
        split: label of all episodes; what each says, or "train", if None.
        on_damage: "skip" leaves a bad line out and reports it, "raise" stops there.
    """

    images: Path | None = None
    split: str | None = None
    on_damage: OnDamage = OnDamage.SKIP


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
        DataError: the file or the store cannot be read; a line is bad (only with on_damage="raise").
    """
    report = ConversionReport()
    provenance = {"dataset": Path(source).name, "converter": CONVERTER}
    store = TrajectoryStore.open_or_create(target, source=provenance)
    records = read_jsonl(source, options, report, known=known_episodes(store), on_row=on_row)
    convert_to_store(records, store)
    return report


def read_jsonl(
    source: str | Path,
    options: JsonlOptions,
    report: ConversionReport | None = None,
    *,
    known: Mapping[str, KnownEpisode] | None = None,
    on_row: Callable[[], None] = lambda: None,
) -> Iterator[EpisodeRecord]:
    """Convert line by line; what became of every line is counted into `report`.

    Raises:
        DataError: as `convert_jsonl_file`.
    """
    source = Path(source)
    report = ConversionReport() if report is None else report
    folder = options.images or source.parent
    draft = partial(_draft, file=source.name, folder=folder, split=options.split)
    rows = (
        SourceRow(file=str(source), line=line.number, draft=partial(draft, line))
        for line in numbered_lines(source)
    )
    return read_rows(rows, report, on_damage=options.on_damage, known=known or {}, on_row=on_row)


def _draft(line: NumberedLine, *, file: str, folder: Path, split: str | None) -> Draft:
    data = load_object(line.text)
    fields = Fields(data)
    origin = {"converter": CONVERTER, "file": file, "line": line.number, "row_sha256": line.sha256}
    steps = fields.any("steps")
    return Draft(
        episode_id=fields.text("id"),
        goal=fields.text("goal"),
        num_steps=len(steps) if isinstance(steps, list) else 0,
        sha256=None if fields.has("source") else line.sha256,
        record=partial(episode_from_json, data, picture_reader(folder), source=origin, split=split),
    )


def picture_reader(folder: Path) -> Pictures:
    """Reads pictures of a folder, each once, and decodes them to the last row."""
    read: dict[str, Screenshot] = {}

    def picture(name: str) -> Screenshot:
        if name not in read:
            read[name] = read_picture(folder / name, remedy=_PATHS)
        return read[name]

    return picture
