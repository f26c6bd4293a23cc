"""Tries actions on a device that can be restored, and takes them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from gui_agent.actions import Action, Finish, ParseError
from gui_agent.agent import Candidate, RoleCompletion
from gui_agent.device import ActionResult, Device, Outcome, Restorable, StopReason, Verdict
from gui_agent.errors import ConfigError
from gui_agent.foresight import TrialResult
from gui_agent.hierarchy import HierarchicalAgent
from gui_agent.observation import Observation


class RestorableDevice(Device, Restorable, Protocol):
    """A device whose state can be saved."""


class DeviceTrial:
    """Tries every action at the present state of a device, one after the other.

    The gain of an action is the rise of a potential: the progress of the task, plus 1 where the episode
    ended in success. With a lookahead of h steps the agent then goes on by itself, with the most likely
    words, and each later rise counts too, discounted:

        gain = sum over j = 0 … h of discount**j * (potential after step j - potential before it)

    Restoring means that the same state shows the same pixels, so that nothing of a trial is seen later.
    """

    def __init__(
        self, device: RestorableDevice, *, lookahead: int = 0, discount: float = 0.9, look: bool = False
    ) -> None:
        """Try on `device`.

        Args:
            device: where the episode takes place.
            lookahead: steps that the agent goes on for.
            discount: of the progress of each of them, in [0, 1].
            look: take a picture after each action, for a judge.
        """
        self._device = device
        self._lookahead = lookahead
        self._discount = discount
        self._look = look

    async def try_all(
        self,
        agent: HierarchicalAgent,
        observation: Observation,
        planned: Sequence[RoleCompletion],
        candidates: Sequence[Candidate],
    ) -> list[TrialResult]:
        """One result per candidate, in order; the device is afterwards as it was.

        Args:
            agent: goes on where there is a lookahead; it is left as it is.
            observation: of the present state.
            planned: the planner's responses, by branch.
            candidates: probes and actions.

        Raises:
            DeviceError: the device broke.
            ConfigError: the task's check tells neither success nor progress.
        """
        start = await self._device.snapshot()
        before = potential(await self._device.check(), None)
        tried: dict[Action | ParseError | None, TrialResult] = {}
        results = []
        for candidate in candidates:
            result = tried.get(candidate.action)
            if result is None:
                result = await self._try(agent, observation, planned[candidate.branch], candidate, before)
                await self._device.restore(start)
                if not self._lookahead:  # else it matters, too, under which subgoal the action was chosen
                    tried[candidate.action] = result
            results.append(result)
        return results

    async def _try(
        self,
        agent: HierarchicalAgent,
        observation: Observation,
        planned: RoleCompletion,
        candidate: Candidate,
        before: float,
    ) -> TrialResult:
        assert candidate.action is not None, "a subgoal is not tried by itself"
        result = await self._device.execute(candidate.action)
        reached = potential(await self._device.check(), _end(result))
        after = (await self._device.observe()).screenshot if self._look else None
        gain = reached - before
        if self._lookahead and _end(result) is None:
            twin = agent.fork(f"ahead-{candidate.kind.value}-{candidate.branch:03d}-{candidate.sample:03d}")
            twin.take(observation, planned, candidate.completion)
            await twin.record(result)
            gain += await self._go_on(twin, reached)
        return TrialResult(gain=gain, after=after)

    async def _go_on(self, agent: HierarchicalAgent, reached: float) -> float:
        """The discounted gain of the steps that the agent takes by itself."""
        gain = 0.0
        for number in range(1, self._lookahead + 1):
            decision = await agent.decide(await self._device.observe())
            result = await self._device.execute(decision.action)
            now = potential(await self._device.check(), _end(result))
            gain += self._discount**number * (now - reached)
            reached = now
            if _end(result) is not None:
                break
            await agent.record(result)
        return gain


def restorable(device: Device) -> RestorableDevice:
    """The same device.

    Raises:
        ConfigError: its state cannot be saved.
    """
    if not isinstance(device, Restorable):
        raise ConfigError(
            f"foresight tries actions on live devices and takes them back, and a {type(device).__name__} "
            "cannot be restored; use the virtual phone, or train semi-online on recordings"
        )
    return cast(RestorableDevice, device)


def potential(outcome: Outcome, end: StopReason | None) -> float:
    """How good a state is: the progress of its task, plus 1 if the episode ended there in success.

    Args:
        outcome: of the task's check at that state.
        end: why the episode ended there; None if it goes on.

    Raises:
        ConfigError: the check tells neither progress nor success.
    """
    succeeded = outcome.verdict is Verdict.SUCCESS
    if outcome.progress is None and outcome.verdict is Verdict.UNSCORED:
        raise ConfigError(
            f"the task's check says nothing ({outcome.detail or 'no reason given'}), so that nobody knows "
            "what an action achieves; foresight needs tasks whose check tells success or progress"
        )
    progress = float(succeeded) if outcome.progress is None else outcome.progress
    ended = end in (StopReason.FINISHED, StopReason.TASK_ENDED)
    return progress + float(succeeded and ended)


def _end(result: ActionResult) -> StopReason | None:
    if result.stop is None and isinstance(result.executed, Finish):
        return StopReason.FINISHED
    return result.stop
