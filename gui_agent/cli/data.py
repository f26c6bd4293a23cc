"""`gui-agent data convert`: recorded data sets into a trajectory store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gui_agent.cli.collect import progress_bar
from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder
from gui_agent.errors import ConfigError, DataError
from trajectories.convert import ScreenSize
from trajectories.convert_aitz import AitzOptions, convert_aitz_files, read_aitz
from trajectories.convert_jsonl import JsonlOptions, convert_jsonl_file, read_jsonl
from trajectories.convert_rows import ConversionReport, KnownEpisode, count_rows, known_episodes
from trajectories.convert_ui_s1 import UiS1Options, convert_ui_s1_file, read_ui_s1
from trajectories.damage import OnDamage
from trajectories.records import EpisodeRecord
from trajectories.store import TrajectoryStore


class Dataset(StrEnum):
    """Formats that can be converted."""

    UI_S1 = "ui-s1"
    AITZ = "aitz"
    JSONL = "jsonl"


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert recordings into a trajectory store: those of a data set, or your own.

    jsonl is the form to write your own recordings in: one JSON object per episode, docs/data.md has an
    example. ui-s1 is UI-S1's AndroidControl in JSON lines, training and evaluation dialect; aitz is Android
    in the Zoo, a file or a folder of episodes. Their own words for every action are kept verbatim beside the
    canonical action. A conversion that was broken off goes on when it is called again. With --dry-run all
    rows and pictures are read, and nothing is written.

    Examples:
        gui-agent data convert jsonl recordings/episodes.jsonl --output runs/mine
        gui-agent data convert jsonl recordings/episodes.jsonl --output runs/mine --on-damage raise
        gui-agent data convert ui-s1 android_control_train.jsonl --images images --output runs/ac
        gui-agent data convert ui-s1 android_control_train.jsonl --screen 1080x2400 --output runs/ac
        gui-agent data convert aitz aitz/train/general --output runs/aitz

    Attributes:
        dataset: format of the source, jsonl, ui-s1 or aitz.
        source: a file; for aitz also a folder, which is searched for episodes.
        output: trajectory store to create or to append to.
        images: folder with the screenshots. For jsonl, paths are relative to it, by default to the file; else
            it is searched by name, and ui-s1 steps without it have no picture and cannot be replayed.
        screen: size of the screen where there is no picture to tell, such as 1080x2400; for ui-s1.
        split: label of the trajectories; the data's own by default.
        on_damage: skip leaves out what is wrong and lists it with file, line and field; raise stops there and
            keeps what came before.
    """

    dataset: Dataset = option(positional=True)
    source: Path = option(positional=True)
    output: Path
    images: Path | None = None
    screen: str = ""
    split: str = ""
    on_damage: OnDamage = OnDamage.SKIP

    def __post_init__(self) -> None:
        self._screen_size()
        if self.screen and self.dataset is not Dataset.UI_S1:
            raise ConfigError(
                f"{self.dataset} comes with its screenshots, which say the size of the screen: drop --screen"
            )

    def run(self) -> int:
        """Convert and print what became of every row.

        Raises:
            DataError: nothing could be converted.
        """
        sources = self._sources()
        make_folder(self.output, "output")
        with self._rows_shown(sources) as on_row:
            report = self._convert(sources, on_row)
        return self._said(report)

    def dry_run(self) -> int:
        """Read everything, pictures too, and print what would become of every row."""
        sources, report = self._sources(), ConversionReport()
        is_store = (self.output / "meta.json").exists()
        known = known_episodes(TrajectoryStore.open(self.output)) if is_store else {}
        with self._rows_shown(sources) as on_row:
            for _ in self._read(sources, report, known, on_row):
                pass
        print(f"nothing is written to {self.output}; without --dry-run this would be:")
        return self._said(report)

    @contextmanager
    def _rows_shown(self, sources: Sequence[Path]) -> Iterator[Callable[[], None]]:
        """A bar over what is read; what is yielded is to be called after each row."""
        total = len(sources) if self.dataset is Dataset.AITZ else count_rows(self.source)
        with progress_bar() as bar:
            task = bar.add_task("rows", total=total)
            yield lambda: bar.advance(task)

    def _said(self, report: ConversionReport) -> int:
        print(report)
        if not report.num_episodes and not report.num_already_there:
            why = "the reasons are listed above" if report.num_rows else "it has no rows"
            raise DataError(f"{self.source}: no row could be converted; {why}")
        return 0

    def _sources(self) -> list[Path]:
        if not self.source.exists():
            raise DataError(f"source {self.source} does not exist; give the file or folder to convert")
        return sorted(self.source.rglob("*.json")) if self.source.is_dir() else [self.source]

    def _convert(self, sources: Sequence[Path], on_row: Callable[[], None]) -> ConversionReport:
        match self.dataset:
            case Dataset.UI_S1:
                return convert_ui_s1_file(self.source, self.output, self._ui_s1(), on_row=on_row)
            case Dataset.AITZ:
                return convert_aitz_files(sources, self.output, self._aitz(), on_row=on_row)
            case Dataset.JSONL:
                return convert_jsonl_file(self.source, self.output, self._jsonl(), on_row=on_row)

    def _read(
        self,
        sources: Sequence[Path],
        report: ConversionReport,
        known: Mapping[str, KnownEpisode],
        on_row: Callable[[], None],
    ) -> Iterator[EpisodeRecord]:
        match self.dataset:
            case Dataset.UI_S1:
                return read_ui_s1(self.source, self._ui_s1(), report, known=known, on_row=on_row)
            case Dataset.AITZ:
                return read_aitz(sources, self._aitz(), report, known=known, on_row=on_row)
            case Dataset.JSONL:
                return read_jsonl(self.source, self._jsonl(), report, known=known, on_row=on_row)

    def _ui_s1(self) -> UiS1Options:
        return UiS1Options(
            images=self.images,
            screen=self._screen_size(),
            split=self.split or None,
            on_damage=self.on_damage,
        )

    def _aitz(self) -> AitzOptions:
        return AitzOptions(images=self.images, split=self.split or "train", on_damage=self.on_damage)

    def _jsonl(self) -> JsonlOptions:
        return JsonlOptions(images=self.images, split=self.split or None, on_damage=self.on_damage)

    def _screen_size(self) -> ScreenSize | None:
        try:
            return ScreenSize.parse(self.screen) if self.screen else None
        except DataError as error:
            raise ConfigError(f"--screen: {error}") from error
