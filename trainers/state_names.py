"""Names of the states that recorded episodes went through, for estimators to compare.

States are the same if their names are equal, or close enough where an option says so
(`trainers.advantages.anchors`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from PIL import Image

from gui_agent.agent import RoleCompletion
from gui_agent.errors import ConfigError, DataError
from gui_agent.policy import AgentRole
from trainers.advantages.anchors import Anchor, AnchorOptions
from trainers.perceptual import perceptual_hash
from trajectories.records import EpisodeRecord, Step, Trajectory

_MOST_PICTURES: Final = 65_536
_SHOWN_DIGITS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class StateNames:
    """Names of the states of one episode, one per step; None where the state is not known.

    Attributes:
        before: of the states that steps were decided in.
        after: of the states that they led to.
    """

    before: tuple[str | None, ...]
    after: tuple[str | None, ...]

    @classmethod
    def recorded(cls, trajectory: Trajectory) -> Self:
        """The device's own keys."""
        return cls(
            before=tuple(step.state_key_before for step in trajectory.steps),
            after=tuple(step.state_key_after for step in trajectory.steps),
        )


class StateNamer:
    """Names the states of recorded episodes.

    What has to be computed from a picture is computed once for each distinct picture.
    """

    def __init__(self, options: AnchorOptions | None = None) -> None:
        """Name states as the options say; by the device's own keys without."""
        self._options = options or AnchorOptions()
        self._pictures: dict[str, str] = {}

    def names(self, record: EpisodeRecord) -> StateNames:
        """The names of all states of an episode.

        Args:
            record: with the pictures, where states are named by what they look like.

        Raises:
            DataError: a picture that is needed is not in the record.
        """
        steps = record.trajectory.steps
        if self._options.anchor is Anchor.STATE_KEY:
            return StateNames.recorded(record.trajectory)
        name = self._namer(record)
        before = [name(step) for step in steps]
        last = self._last(record) if steps else None
        return StateNames(before=tuple(before), after=(*before[1:], last) if steps else ())

    def _namer(self, record: EpisodeRecord) -> Callable[[Step], str | None]:
        match self._options.anchor:
            case Anchor.UI_TREE:
                return tree_of_elements
            case Anchor.UI_TEXT:
                return text_of_elements
            case _:
                return lambda step: self._picture(record, step.screenshot_sha256)

    def _last(self, record: EpisodeRecord) -> str | None:
        """The state after the last step; its widgets are not recorded, its picture may be."""
        if self._options.anchor.needs_elements:
            return None
        return self._picture(record, record.trajectory.final_screenshot_sha256)

    def _picture(self, record: EpisodeRecord, sha256: str | None) -> str | None:
        options = self._options
        if sha256 is None or (options.anchor is Anchor.SCREENSHOT and not options.ignored_top_px):
            return sha256
        if sha256 not in self._pictures:
            if len(self._pictures) >= _MOST_PICTURES:
                self._pictures.clear()
            self._pictures[sha256] = self._look(record, sha256)
        return self._pictures[sha256]

    def _look(self, record: EpisodeRecord, sha256: str) -> str:
        options = self._options
        where = f"trajectory {record.trajectory.episode_id!r}"
        screenshot = record.screenshots.get(sha256)
        if screenshot is None:
            raise DataError(
                f"{where}: screenshot {sha256[:_SHOWN_DIGITS]} is not at hand, and anchor="
                f"{options.anchor.value} names states by their pictures; give the record its screenshots, or "
                "use anchor=screenshot"
            )
        if options.ignored_top_px >= screenshot.height_px:
            raise ConfigError(
                f"{where}: ignored_top_px is {options.ignored_top_px}, but its screenshots are only "
                f"{screenshot.height_px} pixels high"
            )
        image = screenshot.image()
        if options.anchor is Anchor.PERCEPTUAL:
            return perceptual_hash(image, cells=options.hash_cells, ignored_top_px=options.ignored_top_px)
        return _pixel_hash(image.crop((0, options.ignored_top_px, image.width, image.height)))


def action_key(step: Step, sampled: RoleCompletion) -> str | None:
    """Equal for equal decisions of one role at a step: an actor's request, a planner's subgoal.

    The thought beside it does not count, and neither does the expert's action that a replay patched in.
    """
    if sampled.role is AgentRole.PLANNER:
        return sampled.completion.text if step.subgoal is None else step.subgoal
    requested = step.executed if step.requested is None else step.requested
    return None if requested is None else repr(requested)


def tree_of_elements(step: Step) -> str | None:
    """The recorded widgets with their places, one on a line; None if none were recorded."""
    if step.elements is None:
        return None
    return "\n".join(
        f"{element['role']} {element['name']} {element['box']} {element.get('clickable')}"
        for element in step.elements
    )


def text_of_elements(step: Step) -> str | None:
    """The recorded widgets in words, one on a line; None if none were recorded."""
    if step.elements is None:
        return None
    return "\n".join(f"{element['role']} {element['name']}" for element in step.elements)


def _pixel_hash(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
