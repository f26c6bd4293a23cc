"""One directed episode: the one episode loop, with the person's part in the objects handed to it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from gui_agent.actions import Action, ParseError, action_points, action_to_dict
from gui_agent.agent import Agent, EpisodeContext
from gui_agent.demo.budget import Spent
from gui_agent.demo.directed import DirectedAgent
from gui_agent.demo.directed_device import DirectedDevice
from gui_agent.demo.events import EpisodeEvent, Seconds, StepEvent, UndoneEvent
from gui_agent.demo.marks import Chain, Mark, chain_of, with_chain
from gui_agent.demo.scene import Scene
from gui_agent.demo.world import Errand, SessionSettings, World
from gui_agent.device import EVALUATION_SEED_START, ActionSource, StopReason, Task
from gui_agent.interruption import InterruptibleAgent
from gui_agent.observation import Observation, Screenshot
from trajectories.episode import run_episode
from trajectories.loops import LoopDetector
from trajectories.masking import masked_record, masked_step
from trajectories.records import EpisodeRecord, Step, Trajectory
from trajectories.viewer.shown import action_label

_NO_LIMIT: Final = 10**9
"""Turns of the loop that are no steps would count: the session keeps the budget."""
_REASONS: Final = {
    StopReason.FINISHED: "finished",
    StopReason.TASK_ENDED: "the world ended the task",
    StopReason.STEP_LIMIT: "stopped at the step limit",
    StopReason.TIME_LIMIT: "stopped at the time limit",
    StopReason.BUDGET: "stopped: the tokens or the money are spent",
    StopReason.SAFETY: "stopped by a safety rule",
    StopReason.LOOP: "stopped: the agent goes round in circles",
    StopReason.USER: "stopped by you",
    StopReason.DEVICE_FAULT: "the device broke",
    StopReason.MODEL_FAULT: "the model failed",
    StopReason.PROGRAM_FAULT: "this program failed",
}


class DirectedEpisode:
    """One episode that a person directs.

    Attributes:
        scene: what its agent and its device share.
        agent: the directed one.
        steps: the chain so far, as the page shows it.
        pictures: its screens, by hash.
        spent: what it has used.
        ended: nothing more is decided in it.
    """

    def __init__(
        self,
        scene: Scene,
        inner: Agent,
        errand: Errand,
        world: World,
        settings: SessionSettings,
        *,
        numbers: count[int],
        fresh: bool,
        after: str,
    ) -> None:
        """Get ready; `after` is the id of the episode that this one goes on from where it is not fresh."""
        began = datetime.now(UTC)
        self.scene = scene
        self.episode_id = f"demo-{began:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self.agent = DirectedAgent(inner, scene, numbers=numbers)
        self.steps: list[StepEvent] = []
        self.pictures: dict[str, Screenshot] = {}
        self._device = DirectedDevice(inner, scene, fresh=fresh)
        self._stoppable = InterruptibleAgent(self.agent)
        self._errand = errand
        self._world = world
        self._settings = settings
        self._began = began
        self._task: Task = errand.task if fresh else _Continued(errand.task, after)
        world.meter.start()
        self.spent = Spent(
            meter=world.meter,
            max_steps=settings.max_steps or errand.task.max_steps,
            time_limit_s=settings.time_limit_s,
        )
        self._loops = LoopDetector(limit=settings.loop_limit)
        self.ended = False
        self._chain = Chain()
        self._hints: list[dict[str, Any]] = []

    @property
    def goal(self) -> str:
        """What is to be done."""
        return self._errand.task.goal

    def stop(self) -> None:
        """End it now: nothing more is performed."""
        self.scene.desk.stopping = True
        self._stoppable.interrupt()
        self.scene.desk.touch()

    def note_hint(self, text: str) -> None:
        """Write down that the agent was told something."""
        self._hints.append({"step": self.scene.taken, "text": self._settings.secrets.mask(text)})

    def calm(self) -> None:
        """A person has looked after the agent: circles are counted anew."""
        self.scene.repeats = ""
        self._loops = LoopDetector(limit=self._settings.loop_limit)

    async def run(self, *, on_broken_off: Callable[[EpisodeRecord], None]) -> EpisodeRecord:
        """Run it to its end.

        Args:
            on_broken_off: called with what there is of it before anything is raised.

        Raises:
            PolicyError: the model failed, and nobody is there to ask it again.
            ConfigError: the task does not run on this device.
        """
        world, settings = self._world, self._settings
        if world.policy is not None:
            world.policy.on_request = self.spent.answered
        try:
            record = await run_episode(
                self._device,
                self._stoppable,
                self._task,
                context=EpisodeContext(goal=self.goal, episode_id=self.episode_id, seed=settings.seed),
                max_steps=_NO_LIMIT,
                suite=self._errand.suite,
                split="eval" if self._task.seed >= EVALUATION_SEED_START else "train",
                policy_name=world.policy_name,
                device_name=world.device,
                source={**world.source, "began": self._began.isoformat(timespec="seconds")},
                track_progress=self._errand.is_checked,
                on_step=self._on_step,
                should_stop=self._should_stop,
                on_broken_off=lambda record: on_broken_off(self._as_kept(record)),
            )
        finally:
            self.ended = True
        return self._as_kept(record)

    def _as_kept(self, record: EpisodeRecord) -> EpisodeRecord:
        settings = self._settings
        chain = chain_of(record.trajectory, self.scene.marks)
        source: dict[str, Any] = {"mode": self.scene.desk.mode.value}
        if self._hints:
            source["hints"] = self._hints
        if events := self.scene.device.events:
            source["safety"] = [event.to_dict() for event in events]
        return masked_record(with_chain(record, chain, source), settings.secrets)

    def _should_stop(self) -> bool | StopReason:
        if self._stoppable.interrupted:
            return StopReason.USER
        if self.scene.repeats and not self.scene.desk.attended:
            return StopReason.LOOP
        return self.spent.ended_by or False

    def _on_step(self, step: Step, observation: Observation) -> None:
        self.pictures[observation.screenshot.sha256] = observation.screenshot
        mark, before = self.scene.marks[-1], len(self._chain.steps)
        found = self._chain.add(step, mark)
        performed_s = step.timings.execute_s - mark.late_s
        self.spent.agent_s += step.timings.observe_s + performed_s + mark.plan_s + mark.act_s
        if mark.undo:
            undone = before - len(self._chain.steps)
            del self.steps[len(self._chain.steps) :]
            self.calm()
            self.scene.tell(UndoneEvent(undone=undone, steps=len(self._chain.steps)))
        if found is not None:
            self.spent.steps += 1
            event = step_event(masked_step(found, self._settings.secrets), mark)
            self.steps.append(event)
            self.scene.tell(event)
            self._watch_for_loops(found)
        self.scene.tell(self.spent.event)

    def _watch_for_loops(self, step: Step) -> None:
        if step.source is not ActionSource.POLICY:
            self.calm()
        elif self._loops.closes(step):
            self.scene.repeats = "the agent does the same in the same state again and again"


class _Continued:
    """A task that begins where the device was left: no other one has its start."""

    def __init__(self, task: Task, after: str) -> None:
        self._task = task
        self.task_id = f"{task.task_id}/after/{after or 'nothing'}"
        self.template = task.template
        self.seed = task.seed
        self.goal = task.goal
        self.max_steps = task.max_steps


def step_event(step: Step, mark: Mark) -> StepEvent:
    """A step of the chain as the page shows it."""
    asked = step.executed if step.executed is not None else step.requested
    timings = step.timings
    rejected = (decision.action for decision in mark.rejected)
    return StepEvent(
        index=step.index,
        source=step.source.value,
        requested=None if isinstance(step.requested, ParseError | None) else action_to_dict(step.requested),
        executed=None if step.executed is None else action_to_dict(step.executed),
        label=_label(asked),
        points=() if isinstance(asked, ParseError | None) else action_points(asked),
        width_px=step.width_px or 0,
        height_px=step.height_px or 0,
        picture=f"/pictures/{step.screenshot_sha256}",
        seconds=Seconds(
            observe=round(timings.observe_s, 4),
            plan=round(mark.plan_s, 4),
            act=round(mark.act_s, 4),
            preview=round(mark.preview_s, 4),
            person=round(mark.person_s + mark.late_s, 4),
            execute=round(timings.execute_s, 4),
        ),
        error=step.error,
        thought=step.thought,
        subgoal=step.subgoal,
        progress=step.progress,
        rejected=tuple(_label(action) for action in rejected),
    )


def episode_event(trajectory: Trajectory, *, stored: bool) -> EpisodeEvent:
    """An ended episode as the page shows it."""
    final = trajectory.final_screenshot_sha256
    return EpisodeEvent(
        episode_id=trajectory.episode_id,
        goal=trajectory.goal,
        stop=trajectory.stop.value,
        reason=_REASONS.get(trajectory.stop, trajectory.stop.value),
        verdict=trajectory.outcome.verdict.value,
        detail=trajectory.outcome.detail,
        steps=len(trajectory.steps),
        human_steps=sum(step.source is ActionSource.HUMAN for step in trajectory.steps),
        wall_s=round(trajectory.wall_s, 3),
        answer=trajectory.answer,
        picture=f"/pictures/{final}" if final else "",
        stored=stored,
    )


def _label(asked: Action | ParseError | None) -> str:
    if asked is None or isinstance(asked, ParseError):
        return "no action" if asked is None else f"no action: {asked.reason}"
    return action_label(asked)
