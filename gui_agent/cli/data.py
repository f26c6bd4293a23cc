"""`gui-agent data convert`: recorded data sets into a trajectory store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gui_agent.cli.collect import progress_bar
from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder
from gui_agent.errors import ConfigError, DataError
from trajectories.convert import ScreenSize
from trajectories.convert_aitz import AitzOptions, convert_aitz_files
from trajectories.convert_jsonl import JsonlOptions, convert_jsonl_file
from trajectories.convert_rows import ConversionReport, count_rows
from trajectories.convert_ui_s1 import UiS1Options, convert_ui_s1_file
from trajectories.damage import OnDamage


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
    canonical action. A conversion that was broken off goes on when it is called again.

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

    def run(self) -> int:
        """Convert and print what became of every row.

        Raises:
            DataError: nothing could be converted.
        """
        if not self.source.exists():
            raise DataError(f"source {self.source} does not exist; give the file or folder to convert")
        make_folder(self.output, "output")
        report = self._convert()
        print(report)
        if not report.num_episodes and not report.num_already_there:
            raise DataError(
                f"{self.source}: no row could be converted; the reasons are listed above, and if there are "
                "none the source has no rows"
            )
        return 0

    def _screen_size(self) -> ScreenSize | None:
        try:
            return ScreenSize.parse(self.screen) if self.screen else None
        except DataError as error:
            raise ConfigError(f"--screen: {error}") from error

    def _convert(self) -> ConversionReport:
        if self.dataset is Dataset.UI_S1:
            screen = self._screen_size()
            ui_s1 = UiS1Options(
                images=self.images, screen=screen, split=self.split or None, on_damage=self.on_damage
            )
            return convert_ui_s1_file(self.source, self.output, ui_s1)
        if self.screen:
            raise ConfigError(
                f"{self.dataset} comes with its screenshots, which say the size of the screen: drop --screen"
            )
        if self.dataset is Dataset.JSONL:
            return self._convert_jsonl()
        sources = sorted(self.source.rglob("*.json")) if self.source.is_dir() else [self.source]
        aitz = AitzOptions(images=self.images, split=self.split or "train", on_damage=self.on_damage)
        return convert_aitz_files(sources, self.output, aitz)

    def _convert_jsonl(self) -> ConversionReport:
        jsonl = JsonlOptions(images=self.images, split=self.split or None, on_damage=self.on_damage)
        with progress_bar() as bar:
            task = bar.add_task("episodes", total=count_rows(self.source))
            return convert_jsonl_file(self.source, self.output, jsonl, on_row=lambda: bar.advance(task))
