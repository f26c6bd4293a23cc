"""What all converters share: pictures found on disk, and commits of a bounded size to the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

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
        self._files: dict[tuple[str, ...], list[Path]] = {}
        for file in sorted(path.rglob("*")):
            if file.is_file():
                for ending in (file.parts[-2:], file.parts[-1:]):
                    self._files.setdefault(ending, []).append(file)

    def find(self, name: str) -> Path | None:
        """The file whose path has the longest ending in common with `name`, or None.

        Raises:
            DataError: several files fit equally well.
        """
        wanted = PurePosixPath(name).parts
        # Every folder may have its 0.png: those that share the folder's name, too, are few.
        files = self._files.get(wanted[-2:]) or self._files.get(wanted[-1:]) or []
        fits = [_common_ending(file.parts, wanted) for file in files]
        best = [file for file, fit in zip(files, fits, strict=True) if fit == max(fits)]
        if len(best) > 1:
            raise DataError(
                f"screenshot {name!r} fits both {best[0]} and {best[1]}; give a folder that holds only one"
            )
        return best[0] if best else None

    def read(self, name: str) -> Screenshot | None:
        """The picture, or None if there is none; `DataError` if it is damaged."""
        file = self.find(name)
        return None if file is None else read_picture(file)


def read_picture(file: Path, *, remedy: str = "check its permissions") -> Screenshot:
    """A picture, decoded to its last row.

    Args:
        file: where it is.
        remedy: what to do if it cannot be read, for the message.

    Raises:
        DataError: the file cannot be read.
        ImageDecodeError: it holds no complete picture.
    """
    try:
        data = file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a character that no path can have
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{file} cannot be read ({reason}); {remedy}") from error
    return Screenshot.from_bytes(data, origin=str(file))


def convert_to_store(
    records: Iterable[EpisodeRecord], store: TrajectoryStore, *, commit_episodes: int = _COMMIT_EPISODES
) -> None:
    """Append converted episodes in commits of a bounded size.

    If reading ends with an error, what was read before it is appended, and the error says how much that is.
    """
    kept = 0
    batch: list[EpisodeRecord] = []
    waiting_bytes = 0
    try:
        for record in records:
            batch.append(record)
            waiting_bytes += sum(len(screenshot.data) for screenshot in record.screenshots.values())
            if len(batch) >= commit_episodes or waiting_bytes >= _COMMIT_BYTES:
                full, batch, waiting_bytes = batch, [], 0
                store.append(full)
                kept += len(full)
    except DataError as error:
        error.add_note(
            f"{kept + len(batch)} episodes from before it are kept in {store.path}; call it again to go on "
            "after them, when this is mended or with --on-damage skip"
        )
        raise
    finally:
        store.append(batch)  # also when the user interrupts: nothing that was read is lost


def _common_ending(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        count += 1
    return count
