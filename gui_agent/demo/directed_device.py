"""The device of a directed episode: it performs what the present turn is, and never two things at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from gui_agent.actions import Action, Click, DoubleClick, LongPress, ParseError, Wait, action_points
from gui_agent.agent import Agent, DemonstratorAgent, Steerable
from gui_agent.demo.desk import HumanAct
from gui_agent.demo.events import NoticeEvent, Phase
from gui_agent.demo.marks import Mark
from gui_agent.demo.scene import Checkpoint, DeedKind, Scene
from gui_agent.device import (
    ActionResult,
    ActionSource,
    Device,
    ExpertAction,
    Outcome,
    Restorable,
    StopReason,
    Task,
)
from gui_agent.interruption import INTERRUPTED
from gui_agent.observation import Box, Observation
from gui_agent.safety.device import HALTED

HIDDEN: Final = NoticeEvent(
    level="info", code="hidden", text="this window hides its content from captures, so the picture is black"
)
_POINTED = (Click, DoubleClick, LongPress)


def can_undo(device: Device, agent: Agent) -> bool:
    """Whether both the device and the agent can be taken back."""
    return isinstance(device, Restorable) and isinstance(agent, Steerable | DemonstratorAgent)


class DirectedDevice:
    """Another device, in one directed episode (implements `gui_agent.device.Device`).

    Args:
        agent: whose memory goes back together with the device.
        scene: of the episode, with the device behind its safety rules.
        fresh: `reset` brings the device to the start of the task; else it stays as it is.
    """

    def __init__(self, agent: Agent, scene: Scene, *, fresh: bool = True) -> None:
        """Nothing is called yet."""
        self._inner = scene.device
        self._agent = agent
        self._scene = scene
        self._lock = scene.lock
        self._fresh = fresh
        found = scene.device.device
        self._restorable = found if isinstance(found, Restorable) and can_undo(found, agent) else None
        self._observation: Observation | None = None

    @property
    def action_space(self) -> frozenset[type]:
        """The types of `Action` that the device can perform."""
        return self._inner.action_space

    async def reset(self, task: Task) -> None:
        """Bring the device to the start of the task, if it is to begin there."""
        if not self._fresh:
            self._inner.begin()
            return
        async with self._lock:
            await self._inner.reset(task)

    async def observe(self) -> Observation:
        """Look, and show what is seen."""
        async with self._lock:
            self._observation = await self._inner.observe()
        was_hidden = self._scene.feed.hidden
        self._scene.feed.show(self._observation)
        if self._observation.secure and not was_hidden:
            self._scene.tell(HIDDEN)
        return self._observation

    async def execute(self, action: Action | ParseError) -> ActionResult:
        """Perform what the present turn is: the agent's action, the person's, or no step at all."""
        if action is INTERRUPTED:
            self._scene.marks.append(Mark(kept=False))
            return ActionResult(executed=None, error=INTERRUPTED.reason)
        scene, deed = self._scene, self._scene.deed
        scene.marks.append(scene.mark)
        match deed.kind:
            case DeedKind.LOOK:
                return self._no_step("looked again")
            case DeedKind.UNDO:
                return await self._undo(deed.undo)
            case DeedKind.HUMAN:
                assert deed.act is not None
                return await self._perform_human(deed.act)
            case DeedKind.OWN:
                result = await self._perform(action)
                return self._not_taken(HALTED) if result.error == HALTED else result

    async def check(self) -> Outcome:
        """Judge the task of the last `reset`."""
        async with self._lock:
            return await self._inner.check()

    async def close(self) -> None:
        """Nothing: the device is the session's."""

    async def _perform(self, action: Action | ParseError) -> ActionResult:
        self._scene.phase(Phase.ACTING)
        await self._remember()
        self._scene.taken += 1
        async with self._lock:
            waits = isinstance(action, Wait)
            return await (self._wait(action) if waits else self._inner.execute(action))

    async def _wait(self, action: Action | ParseError) -> ActionResult:
        """Waiting can be cut short without harm; a gesture is never left half done."""
        desk = self._scene.desk
        waiting = asyncio.ensure_future(self._inner.execute(action))
        try:
            while not waiting.done() and not desk.stopping:
                change = asyncio.ensure_future(desk.changed())
                try:
                    await asyncio.wait({waiting, change}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        if waiting.cancelled():
            return ActionResult(executed=None, error=HALTED)
        return waiting.result()

    async def _perform_human(self, act: HumanAct) -> ActionResult:
        self._scene.mark.kept = False  # if the device breaks, it is no step, least of all one of the agent's
        result = await self._perform(act.action)
        if result.executed is None and result.stop is not StopReason.TASK_ENDED:
            text = f"your action was not performed: {result.error}"
            self._scene.tell(NoticeEvent(level="warning", code="not_performed", text=text))
            return self._not_taken("the person's action could not be performed")
        self._scene.mark.kept = True
        if result.executed is None:
            return result
        executed = result.executed
        expert = ExpertAction(
            action=executed,
            boxes=_boxes(executed, self._observation),
            thought=act.thought or None,
        )
        return replace(result, source=ActionSource.HUMAN, expected=expert)

    async def _remember(self) -> None:
        """Note where the step begins, to come back to."""
        if self._restorable is None:
            return
        async with self._lock:
            saved = await self._restorable.snapshot()
        memory = self._agent.memory() if isinstance(self._agent, Steerable) else None
        self._scene.checkpoints.append(Checkpoint(device=saved, agent=memory))

    async def _undo(self, number: int) -> ActionResult:
        scene = self._scene
        scene.mark.kept = False
        assert self._restorable is not None
        assert number <= len(scene.checkpoints)
        place = len(scene.checkpoints) - number
        checkpoint = scene.checkpoints[place]
        async with self._lock:
            await self._restorable.restore(checkpoint.device)
        if isinstance(self._agent, Steerable):
            self._agent.recall(checkpoint.agent)
        del scene.checkpoints[place:]
        scene.taken -= number
        scene.mark.undo = number
        return self._no_step("steps were undone")

    def _not_taken(self, reason: str) -> ActionResult:
        """Nothing was performed, and what was noted to come back to is forgotten."""
        self._scene.taken -= 1
        del self._scene.checkpoints[self._scene.taken :]
        return self._no_step(reason)

    def _no_step(self, reason: str) -> ActionResult:
        self._scene.mark.kept = False
        return ActionResult(executed=None, error=reason)


def _boxes(action: Action, observation: Observation | None) -> tuple[Box, ...]:
    """The widget that a person pointed at, if the device knows its widgets: any point of it is as right."""
    if observation is None or observation.elements is None or not isinstance(action, _POINTED):
        return ()
    ((x, y),) = action_points(action)
    hit = [item.box for item in observation.elements if item.clickable and item.box.contains(x, y)]
    return (min(hit, key=lambda box: box.area_px),) if hit else ()
