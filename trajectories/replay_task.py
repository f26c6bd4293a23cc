"""What is replayed: the frames of a recording, checked before anybody acts in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gui_agent.actions import action_name, action_points
from gui_agent.device import ActionSource, ExpertAction
from gui_agent.errors import ImageDecodeError, ReplayError
from gui_agent.observation import Box, Screenshot, UiElement
from trajectories.episode import PastStep
from trajectories.records import Step, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFrame:
    """One state of the recording: what to show, and what the expert did there."""

    sha256: str
    width_px: int
    height_px: int
    expert: ExpertAction
    state_key: str
    foreground_app: str | None = None
    elements: tuple[UiElement, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTask:
    """Do what the expert did.

    Attributes:
        task_id: names the recording, and the step if it is a single-step task.
        template: the family of the recorded task.
        goal: the instruction.
        frames: the states to go through, at least one.
        screenshots: pictures by SHA-256, read when shown.
        seed: of the recorded task instance.
        earlier: frames before the first; the agent is given them as its own history.
        trajectory_id: episode id of the recording.
    """

    task_id: str
    template: str
    goal: str
    frames: tuple[ReplayFrame, ...]
    screenshots: Mapping[str, Screenshot] = field(repr=False, compare=False)
    seed: int = 0
    earlier: tuple[ReplayFrame, ...] = ()
    trajectory_id: str = ""

    @property
    def max_steps(self) -> int:
        """One decision per frame."""
        return len(self.frames)

    @property
    def past(self) -> Sequence[PastStep]:
        """The expert's steps before the first frame."""
        return [
            PastStep(
                screenshot=self.picture(frame),
                action=frame.expert.action,
                thought=frame.expert.thought,
                subgoal=frame.expert.subgoal,
            )
            for frame in self.earlier
        ]

    def picture(self, frame: ReplayFrame) -> Screenshot:
        """The screenshot of a frame.

        Raises:
            ReplayError: it is missing, or of another size than the recording says.
        """
        where = f"trajectory {self.trajectory_id!r}, screenshot {frame.sha256[:12]}"
        try:
            screenshot = self.screenshots[frame.sha256]
        except KeyError as error:
            raise ReplayError(
                f"{where}: the picture is missing; restore it, or leave the trajectory out"
            ) from error
        if (screenshot.width_px, screenshot.height_px) != (frame.width_px, frame.height_px):
            raise ReplayError(
                f"{where} has {screenshot.width_px}x{screenshot.height_px} pixels, the step says "
                f"{frame.width_px}x{frame.height_px}; the actions would point elsewhere: convert the data "
                "again with the size of the pictures"
            )
        return screenshot

    def check_pictures(self) -> None:
        """Decode every picture once; `ReplayError` at the first that is missing or damaged."""
        for frame in self.earlier + self.frames:
            try:
                self.picture(frame).image()
            except ImageDecodeError as error:
                raise ReplayError(f"trajectory {self.trajectory_id!r}: {error}") from error

    @classmethod
    def from_trajectory(cls, trajectory: Trajectory, screenshots: Mapping[str, Screenshot]) -> ReplayTask:
        """Make a task of a recording.

        Raises:
            ReplayError: a step lacks picture, size or action, or points outside the screen, or there are
                no steps.
        """
        if not trajectory.steps:
            raise ReplayError(
                f"trajectory {trajectory.episode_id!r} has no steps; leave it out of the replay"
            )
        return cls(
            task_id=trajectory.task_id,
            template=trajectory.template,
            goal=trajectory.goal,
            frames=tuple(_frame(trajectory, step, screenshots) for step in trajectory.steps),
            screenshots=screenshots,
            seed=trajectory.seed,
            trajectory_id=trajectory.episode_id,
        )

    def single_steps(self) -> list[ReplayTask]:
        """One task per step, each with the expert's earlier steps as history (offline RL).

        This is the baseline that UI-S1 calls offline RL: every step is its own episode, and the agent
        never sees what its own choices would have led to.
        """
        frames = self.earlier + self.frames
        return [
            ReplayTask(
                task_id=f"{self.task_id}/step-{t}",
                template=self.template,
                goal=self.goal,
                frames=(frames[t],),
                screenshots=self.screenshots,
                seed=self.seed,
                earlier=frames[:t],
                trajectory_id=self.trajectory_id,
            )
            for t in range(len(self.earlier), len(frames))
        ]


def _frame(trajectory: Trajectory, step: Step, screenshots: Mapping[str, Screenshot]) -> ReplayFrame:
    where = f"trajectory {trajectory.episode_id!r}, step {step.index}"
    if step.screenshot_sha256 is None or step.screenshot_sha256 not in screenshots:
        named = f"screenshot {step.screenshot_sha256[:12]}" if step.screenshot_sha256 else "a screenshot"
        raise ReplayError(
            f"{where}: {named} is missing; convert the data with its pictures (--images DIR), or leave the "
            "trajectory out"
        )
    if step.width_px is None or step.height_px is None:
        raise ReplayError(
            f"{where}: the size of the screen is not recorded; state it when converting (--screen 1080x2400)"
        )
    expert = _expert(step)
    if expert is None:
        raise ReplayError(
            f"{where}: nothing was executed ({step.error or 'no reason recorded'}), so there is nothing to "
            "match; leave the trajectory out"
        )
    for x, y in action_points(expert.action):
        if not (0 <= x < step.width_px and 0 <= y < step.height_px):
            raise ReplayError(
                f"{where}: {action_name(expert.action)} at ({x}, {y}) lies outside the screen of "
                f"{step.width_px}x{step.height_px} pixels; check the size given when converting, or leave "
                "the trajectory out"
            )
    return ReplayFrame(
        sha256=step.screenshot_sha256,
        width_px=step.width_px,
        height_px=step.height_px,
        expert=expert,
        state_key=step.state_key_before or step.screenshot_sha256,
        foreground_app=step.foreground_app,
        elements=None if step.elements is None else tuple(_element(data) for data in step.elements),
    )


def _expert(step: Step) -> ExpertAction | None:
    """What was done at a step, with the labels of the expert where it is the expert's deed."""
    if step.executed is None:
        return None
    # What a planner asked for is no name for what somebody else did instead.
    subgoal = step.subgoal if step.source is ActionSource.POLICY else None
    if step.expected is not None and step.expected.action == step.executed:
        return replace(step.expected, subgoal=step.expected.subgoal or subgoal)
    return ExpertAction(action=step.executed, thought=step.thought, subgoal=subgoal)


def _element(data: Mapping[str, Any]) -> UiElement:
    left, top, right, bottom = data["box"]
    return UiElement(
        name=data["name"],
        role=data["role"],
        box=Box(left=left, top=top, right=right, bottom=bottom),
        clickable=data.get("clickable", True),
    )
