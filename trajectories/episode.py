"""The one episode loop, for demonstrations, evaluation, collection and training alike.

    reset -> (observe -> agent.decide -> device.execute -> agent.record)* -> check

What the agent does wrong is data. What the device does wrong (`DeviceError`) ends the episode with
`StopReason.DEVICE_FAULT` and an unscored outcome. What the model or its server does wrong (`PolicyError`),
or this program, is raised: another device would not help. The steps until then are not lost to who asks for
them (`on_broken_off`); that episode is unscored, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from gui_agent.actions import Action, Finish
from gui_agent.agent import Agent, Decision, EpisodeContext
from gui_agent.device import ActionResult, Device, JudgedAtEnd, Outcome, StopReason, Task, Verdict
from gui_agent.errors import ConfigError, DeviceError, PolicyError
from gui_agent.observation import Observation, Screenshot, UiElement
from trajectories.records import EpisodeRecord, Step, StepTimings, Trajectory

StepCallback = Callable[[Step, Observation], None]

_NOTHING_FOLLOWS = frozenset({StopReason.EXPERT_END, StopReason.PATCH_BUDGET_SPENT})
"""Ends of a recording: there is no later screen to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStep:
    """A step that somebody else took before the episode begins."""

    screenshot: Screenshot
    action: Action
    thought: str | None = None
    subgoal: str | None = None


@runtime_checkable
class HasPast(Protocol):
    """A task that begins in the middle: its agent is to remember the steps before."""

    @property
    def past(self) -> Sequence[PastStep]:
        """Earlier steps, in time order."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """An agent whose history can be given to it."""

    def remember(
        self, screenshot: Screenshot, action: Action, thought: str | None, subgoal: str | None = None
    ) -> None:
        """Append one earlier step to the history."""
        ...


async def run_episode(
    device: Device,
    agent: Agent,
    task: Task,
    *,
    context: EpisodeContext,
    max_steps: int | None = None,
    time_limit_s: float | None = None,
    suite: str = "",
    group_id: str = "",
    split: str = "",
    policy_name: str = "",
    device_name: str = "",
    source: dict[str, Any] | None = None,
    record_elements: bool = False,
    track_progress: bool = True,
    observe_end: bool = True,
    on_step: StepCallback | None = None,
    should_stop: Callable[[], bool | StopReason] | None = None,
    on_broken_off: Callable[[EpisodeRecord], None] | None = None,
) -> EpisodeRecord:
    """Run one episode and return everything that happened in it.

    Args:
        device: the world; it is reset first and never closed.
        agent: who acts.
        task: what is to be done.
        context: goal and names of this episode.
        max_steps: decisions at most; the task's own limit if None.
        time_limit_s: no step begins later than this many seconds after the reset began.
        suite, group_id, split, policy_name, device_name, source: labels, stored as given.
        record_elements: keep the labelled widgets of every screen.
        track_progress: ask the task's check after every step; turn off where checking is slow. Tasks whose
            check disturbs the world (`JudgedAtEnd`) are asked at the end alone.
        observe_end: look once more after the last step, so that its effect is known.
        on_step: called after every step, for live views.
        should_stop: asked before every step; true ends the episode with `StopReason.USER`, a reason with
            that one.
        on_broken_off: called with the steps so far when anything but the device fails after the first look;
            they are UNSCORED, `stop` is MODEL_FAULT or PROGRAM_FAULT, `fault` says what failed, and the last
            picture is the one that the agent was to decide on. The error is raised afterwards.

    Returns:
        The trajectory and the pictures it names. After a device fault the steps up to the fault are
        there, the outcome is UNSCORED and `fault` says what broke.

    Raises:
        ConfigError: the task begins in the middle and the agent cannot take over a history.
        PolicyError: the model failed.
    """
    disturbs = isinstance(task, JudgedAtEnd) and task.judged_at_end
    episode = _Episode(record_elements=record_elements, track_progress=track_progress and not disturbs)
    limit = task.max_steps if max_steps is None else max_steps
    started = time.perf_counter()
    deadline = None if time_limit_s is None else started + time_limit_s
    final: Observation | None = None

    def ended(
        stop: StopReason, outcome: Outcome, *, wall_s: float, fault: str | None = None
    ) -> EpisodeRecord:
        if final is not None:
            episode.look_back(final)
        trajectory = Trajectory(
            episode_id=context.episode_id,
            task_id=task.task_id,
            template=task.template,
            suite=suite,
            goal=context.goal,
            steps=tuple(episode.steps),
            stop=stop,
            outcome=outcome,
            group_id=group_id,
            seed=task.seed,
            update=context.update,
            policy=policy_name,
            split=split,
            device=device_name,
            source=source or {},
            fault=fault,
            wall_s=wall_s,
            final_screenshot_sha256=None if final is None else final.screenshot.sha256,
        )
        return EpisodeRecord(trajectory=trajectory, screenshots=episode.screenshots)

    def broken(stop: StopReason, error: Exception) -> EpisodeRecord:
        fault, wall_s = f"{type(error).__name__}: {error}", time.perf_counter() - started
        return ended(stop, Outcome(verdict=Verdict.UNSCORED, detail=fault), wall_s=wall_s, fault=fault)

    try:
        await device.reset(task)
        if not context.goal:  # A live page writes its goal only when it starts.
            context = replace(context, goal=task.goal)
        agent.start(context)
        episode.preload(agent, task)
        stop = await episode.run(device, agent, limit, deadline, on_step, should_stop)
        looks = observe_end and stop not in _NOTHING_FOLLOWS
        if looks and disturbs:
            final = await _last_look(device)
        outcome = await device.check()
        episode.settle(outcome.progress)
        wall_s = time.perf_counter() - started
        if looks and not disturbs:
            final = await _last_look(device)
    except DeviceError as error:
        return broken(StopReason.DEVICE_FAULT, error)
    except Exception as error:
        if on_broken_off is not None and episode.has_begun:
            is_model = isinstance(error, PolicyError)
            final = final or episode.undecided
            on_broken_off(broken(StopReason.MODEL_FAULT if is_model else StopReason.PROGRAM_FAULT, error))
        raise
    return ended(stop, outcome, wall_s=wall_s)


async def _last_look(device: Device) -> Observation | None:
    try:
        return await device.observe()
    except DeviceError:
        return None  # the verdict was reached and stands; only the last picture is missing


@dataclass(slots=True)
class _Episode:
    """The growing record; `undecided` is the last look, until there is a step for it."""

    record_elements: bool
    track_progress: bool
    steps: list[Step] = field(default_factory=list)
    screenshots: dict[str, Screenshot] = field(default_factory=dict)
    undecided: Observation | None = None

    @property
    def has_begun(self) -> bool:
        """Whether anything was seen or done."""
        return bool(self.steps) or self.undecided is not None

    def preload(self, agent: Agent, task: Task) -> None:
        past = task.past if isinstance(task, HasPast) else ()
        if not past:
            return
        if not isinstance(agent, Remembers):
            raise ConfigError(
                f"task {task.task_id!r} begins after {len(past)} steps, but {type(agent).__name__} has no "
                "`remember` to take over a history; use a FlatAgent, or replay whole trajectories"
            )
        for step in past:
            self.screenshots[step.screenshot.sha256] = step.screenshot
            agent.remember(step.screenshot, step.action, step.thought, step.subgoal)

    async def run(
        self,
        device: Device,
        agent: Agent,
        limit: int,
        deadline: float | None,
        on_step: StepCallback | None,
        should_stop: Callable[[], bool | StopReason] | None,
    ) -> StopReason:
        while True:
            if should_stop is not None and (wanted := should_stop()):
                return wanted if isinstance(wanted, StopReason) else StopReason.USER
            if len(self.steps) >= limit:
                return StopReason.STEP_LIMIT
            if deadline is not None and time.perf_counter() >= deadline:
                return StopReason.TIME_LIMIT
            stop = await self._step(device, agent, limit, on_step)
            if stop is not None:
                return stop

    async def _step(
        self, device: Device, agent: Agent, limit: int, on_step: StepCallback | None
    ) -> StopReason | None:
        clock = time.perf_counter
        began = clock()
        observation = await device.observe()
        self.look_back(observation)
        self.undecided = observation
        observed = clock()
        decision = await agent.decide(observation)
        decided = clock()
        try:
            result = await device.execute(decision.action)
        except Exception as error:
            # What was sampled is kept, for the log; the episode will be unscored.
            lost = ActionResult(executed=None, error=f"{type(error).__name__}: {error}")
            timings = StepTimings(observe_s=observed - began, decide_s=decided - observed)
            self._add(self._record(observation, decision, lost, timings))
            raise
        executed = clock()
        result = _with_stop(result, last=len(self.steps) + 1 >= limit)
        timings = StepTimings(
            observe_s=observed - began, decide_s=decided - observed, execute_s=executed - decided
        )
        self._add(self._record(observation, decision, result, timings))
        await agent.record(result)
        if self.track_progress and result.stop is None:
            self.settle((await device.check()).progress)
        if on_step is not None:
            on_step(self.steps[-1], observation)
        return result.stop

    def look_back(self, observation: Observation) -> None:
        """Keep the picture, and tell the step before what state it led to."""
        self.screenshots[observation.screenshot.sha256] = observation.screenshot
        if self.steps:
            self.steps[-1] = replace(self.steps[-1], state_key_after=observation.state_key)

    def _add(self, step: Step) -> None:
        self.steps.append(step)
        self.undecided = None

    def settle(self, progress: float | None) -> None:
        """Tell the last step how far the task is."""
        if self.steps:
            self.steps[-1] = replace(self.steps[-1], progress=progress)

    def _record(
        self, observation: Observation, decision: Decision, result: ActionResult, timings: StepTimings
    ) -> Step:
        elements = observation.elements if self.record_elements else None
        return Step(
            index=len(self.steps),
            screenshot_sha256=observation.screenshot.sha256,
            width_px=observation.screenshot.width_px,
            height_px=observation.screenshot.height_px,
            requested=decision.action,
            executed=result.executed,
            source=result.source,
            error=result.error,
            expected=result.expected or decision.expert,
            match=result.match,
            thought=decision.thought,
            subgoal=decision.subgoal,
            format_ok=decision.format_ok,
            completions=decision.completions,
            candidates=decision.candidates,
            state_key_before=observation.state_key,
            foreground_app=observation.foreground_app,
            elements=None if elements is None else tuple(element_to_dict(element) for element in elements),
            timings=timings,
        )


def _with_stop(result: ActionResult, *, last: bool) -> ActionResult:
    """Say that the episode is over before the agent writes its history, so that it writes no more."""
    if result.stop is not None:
        return result
    if isinstance(result.executed, Finish):
        return replace(result, stop=StopReason.FINISHED)
    return replace(result, stop=StopReason.STEP_LIMIT) if last else result


def element_to_dict(element: UiElement) -> dict[str, Any]:
    """A widget as it is stored: the box as [left, top, right, bottom] in pixels."""
    box = element.box
    return {
        "name": element.name,
        "role": element.role,
        "box": [box.left, box.top, box.right, box.bottom],
        "clickable": element.clickable,
    }
