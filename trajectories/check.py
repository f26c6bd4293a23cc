"""What is wrong with a store, or keeps its recordings from being replayed.

All files are read, pictures are decoded to the last row, and every step is held to what a replay needs of
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gui_agent.actions import action_name, action_points
from gui_agent.errors import DataError
from trajectories.damage import Damage
from trajectories.records import Step, Trajectory
from trajectories.store import TrajectoryStore


class FindingKind(StrEnum):
    """What can be found."""

    UNREADABLE = "unreadable"
    """A file, or an episode in it, that is truncated, changed, or holds what is no value of its column."""
    NEWER_SCHEMA = "newer schema"
    """Written by a newer program."""
    MISSING_PICTURE = "missing picture"
    """A step or a prompt shows a picture that the store does not have."""
    BROKEN_PICTURE = "broken picture"
    """Its bytes are not those of its name, or do not decode."""
    PICTURE_SIZE = "picture size"
    """A step says another size than its picture has, so that its actions point elsewhere."""
    POINT_OUTSIDE = "point outside"
    """What was done, or what the expert did, lies outside the screen."""
    NO_ACTION = "no action"
    """A step at which nothing was executed, and that does not say why."""
    NO_STEPS = "no steps"
    """An episode without steps that was not ended by a fault."""
    NO_PICTURE = "without picture"
    """A step recorded without its picture: it cannot be replayed."""
    NO_SIZE = "without size"
    """A step that does not say how large its screen is: its points cannot be checked."""
    UNFINISHED = "unfinished append"
    """Files of an append that was broken off; the next one removes them."""

    @property
    def is_damage(self) -> bool:
        """Whether it is wrong, and not just less than a replay needs."""
        return self not in _NOTES


_NOTES: Final = frozenset({FindingKind.NO_PICTURE, FindingKind.NO_SIZE, FindingKind.UNFINISHED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: what it is.
        where: the episode and step, or the file.
        message: the value, and what was expected.
    """

    kind: FindingKind
    where: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """What `check_store` looked at, and found.

    Attributes:
        num_episodes, num_steps: that could be read.
        num_pictures: in the store.
        num_unreferenced: pictures that no episode shows, as after a truncation; they do no harm.
        findings: in the order of the store, pictures last.
    """

    num_episodes: int
    num_steps: int
    num_pictures: int
    num_unreferenced: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not any(finding.kind.is_damage for finding in self.findings)

    @property
    def counts(self) -> Counter[FindingKind]:
        """How often each kind was found."""
        return Counter(finding.kind for finding in self.findings)


def check_store(store: TrajectoryStore, *, on_progress: Callable[[], None] = lambda: None) -> StoreCheck:
    """Read everything, decode every picture, and say what is wrong.

    Args:
        store: opened with on_damage="skip", so that nothing ends the check.
        on_progress: called after each episode and each picture.
    """
    shown: dict[str, _Shown] = {}
    findings: list[Finding] = []
    num_episodes = num_steps = 0
    for trajectory in store:
        num_episodes += 1
        num_steps += len(trajectory.steps)
        findings += _findings_in(trajectory)
        _note_pictures(trajectory, shown)
        on_progress()
    files = [_damage_finding(damage) for damage in store.damage]
    if store.num_torn_files:
        message = f"{store.num_torn_files} files, which the next append removes"
        files.append(Finding(kind=FindingKind.UNFINISHED, where=str(store.path), message=message))
    stored = list(store.screenshots)
    for sha256 in dict.fromkeys([*shown, *stored]):
        findings += _picture_findings(store, sha256, shown.get(sha256, _Shown(where="no episode")))
        on_progress()
    return StoreCheck(
        num_episodes=num_episodes,
        num_steps=num_steps,
        num_pictures=len(stored),
        num_unreferenced=len(set(stored) - set(shown)),
        findings=(*files, *findings),
    )


@dataclass(slots=True)
class _Shown:
    """Where a picture is shown first, and where first with each of the sizes that steps give it."""

    where: str
    sizes: dict[tuple[int, int], str] = field(default_factory=dict)


def _note_pictures(trajectory: Trajectory, shown: dict[str, _Shown]) -> None:
    for step in trajectory.steps:
        if step.screenshot_sha256 is not None:
            picture = shown.setdefault(step.screenshot_sha256, _Shown(where=_place(trajectory, step)))
            if step.width_px is not None and step.height_px is not None:
                picture.sizes.setdefault((step.width_px, step.height_px), _place(trajectory, step))
    for sha256 in trajectory.screenshot_sha256s:  # prompts, and the screen at the end
        shown.setdefault(sha256, _Shown(where=f"episode {trajectory.episode_id!r}"))


def _damage_finding(damage: Damage) -> Finding:
    kind = FindingKind.NEWER_SCHEMA if damage.newer_schema else FindingKind.UNREADABLE
    where = damage.file if damage.episode_id is None else f"episode {damage.episode_id!r}"
    return Finding(kind=kind, where=where, message=damage.message)


def _findings_in(trajectory: Trajectory) -> Iterator[Finding]:
    if not trajectory.steps and not trajectory.stop.is_fault and trajectory.fault is None:
        yield Finding(
            kind=FindingKind.NO_STEPS,
            where=f"episode {trajectory.episode_id!r}",
            message=f"it ended ({trajectory.stop.value}) before its first step",
        )
    for step in trajectory.steps:
        for kind, message in _step_findings(step):
            yield Finding(kind=kind, where=_place(trajectory, step), message=message)


def _step_findings(step: Step) -> Iterator[tuple[FindingKind, str]]:
    if step.screenshot_sha256 is None:
        yield FindingKind.NO_PICTURE, "it cannot be replayed; convert the data with its pictures"
    if step.executed is None and step.error is None:
        yield FindingKind.NO_ACTION, "nothing was executed, and no error says why"
    if step.width_px is None or step.height_px is None:
        yield FindingKind.NO_SIZE, "its points cannot be checked; state the size when converting"
        return
    expected = None if step.expected is None else step.expected.action
    actions = [action for action in dict.fromkeys((step.executed, expected)) if action is not None]
    for action in actions:
        for x, y in action_points(action):
            if not (0 <= x < step.width_px and 0 <= y < step.height_px):
                size = f"{step.width_px}x{step.height_px} pixels"
                yield (
                    FindingKind.POINT_OUTSIDE,
                    f"{action_name(action)} at ({x}, {y}); expected within {size}",
                )


def _picture_findings(store: TrajectoryStore, sha256: str, shown: _Shown) -> Iterator[Finding]:
    try:
        screenshot = store.screenshot(sha256)
        screenshot.image()
    except DataError as error:
        there = sha256 in store.screenshots
        kind = FindingKind.BROKEN_PICTURE if there else FindingKind.MISSING_PICTURE
        yield Finding(kind=kind, where=shown.where, message=str(error))
        return
    found = screenshot.width_px, screenshot.height_px
    for size, where in shown.sizes.items():
        if size != found:
            message = f"{size[0]}x{size[1]} is stated; expected {found[0]}x{found[1]}, as {sha256[:12]}… has"
            yield Finding(kind=FindingKind.PICTURE_SIZE, where=where, message=message)


def _place(trajectory: Trajectory, step: Step) -> str:
    return f"episode {trajectory.episode_id!r}, step {step.index}"
