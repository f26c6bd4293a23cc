"""`gui-agent data convert`: recorded data sets into a trajectory store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder
from gui_agent.errors import ConfigError, DataError
from trajectories.convert import ConversionReport, ScreenSize
from trajectories.convert_aitz import AitzOptions, convert_aitz_files
from trajectories.convert_ui_s1 import UiS1Options, convert_ui_s1_file
from trajectories.damage import OnDamage


class Dataset(StrEnum):
    """Formats that can be converted."""

    UI_S1 = "ui-s1"
    AITZ = "aitz"


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert a recorded data set into a trajectory store.

    ui-s1 is UI-S1's AndroidControl in JSON lines, training and evaluation dialect; aitz is Android in
    the Zoo, a file or a folder of episodes. The source's own words for every action are kept verbatim
    beside the canonical action. A bad row is left out and reported; with --strict it stops the command.

    Examples:
        gui-agent data convert ui-s1 --source android_control_train.jsonl --images images --output runs/ac
        gui-agent data convert ui-s1 --source android_control_train.jsonl --screen 1080x2400 --output runs/ac
        gui-agent data convert aitz --source aitz/train/general --output runs/aitz

    Attributes:
        dataset: format of the source, ui-s1 or aitz.
        source: a file; for aitz also a folder, which is searched for episodes.
        output: trajectory store to create or to append to.
        images: folder with the screenshots, searched by name; without it ui-s1 steps have no picture and
            cannot be replayed.
        screen: size of the screen where there is no picture to tell, such as 1080x2400.
        split: label of the trajectories; the data set's own by default.
        strict: stop at the first bad row.
    """

    dataset: Dataset = option(positional=True)
    source: Path
    output: Path
    images: Path | None = None
    screen: str = ""
    split: str = ""
    strict: bool = False

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
        if not report.num_episodes:
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
        on_problem: OnDamage = "raise" if self.strict else "skip"
        if self.dataset is Dataset.UI_S1:
            screen = self._screen_size()
            ui_s1 = UiS1Options(
                images=self.images, screen=screen, split=self.split or None, on_problem=on_problem
            )
            return convert_ui_s1_file(self.source, self.output, ui_s1)
        if self.screen:
            raise ConfigError(
                "aitz comes with its screenshots, which say the size of the screen: drop --screen"
            )
        sources = sorted(self.source.rglob("*.json")) if self.source.is_dir() else [self.source]
        aitz = AitzOptions(images=self.images, split=self.split or "train", on_problem=on_problem)
        return convert_aitz_files(sources, self.output, aitz)
