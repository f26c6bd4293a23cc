"""A hierarchical agent that samples several subgoals and actions at each state, to compare them.

    at each state      G subgoals                     the first is executed
    for each subgoal   K probes: what would the actor do?
    for the executed   G actions                      the first is executed

The episode is the one that the agent would have played alone: its first samples are the same. All that
was sampled stands in `Decision.candidates`. On a device that can be restored the probes and actions are
tried and taken back, and the progress that each made is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from gui_agent.actions import Action, ParseError
from gui_agent.agent import Candidate, CandidateKind, Decision, EpisodeContext, RoleCompletion
from gui_agent.device import ActionResult
from gui_agent.hierarchy import HierarchicalAgent
from gui_agent.judge import JudgeQuestion, SubgoalJudge
from gui_agent.observation import Observation, Screenshot
from gui_agent.policy import AgentRole

GAIN: Final = "gain"
"""Measured at a probe or an action that was tried: the progress of the task that it made."""
JUDGE: Final = "judge"
"""Measured at a subgoal: the judge's word, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """How much is sampled at each state.

    Attributes:
        subgoals: of the planner.
        probes: of the actor under each of them.
        actions: of the actor under the subgoal that is executed.
    """

    subgoals: int = 1
    probes: int = 0
    actions: int = 1

    @property
    def num_samples(self) -> int:
        """At one state, if every subgoal can be read."""
        return self.subgoals + self.subgoals * self.probes + self.actions


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What came of an action that was tried and taken back.

    Attributes:
        gain: progress of the task that it made, negative where it undid some.
        after: the screen behind it; None if nobody looked.
    """

    gain: float
    after: Screenshot | None = None


class Trial(Protocol):
    """Tries actions at the present state and takes them back."""

    async def try_all(
        self,
        agent: HierarchicalAgent,
        observation: Observation,
        planned: Sequence[RoleCompletion],
        candidates: Sequence[Candidate],
    ) -> list[TrialResult]:
        """One result per candidate, in order; the world is afterwards as it was."""
        ...


class ForesightAgent:
    """Samples candidates around the decisions of a hierarchical agent."""

    def __init__(
        self,
        agent: HierarchicalAgent,
        *,
        fan_at: Callable[[int], Fan],
        trial: Trial | None = None,
        judge: SubgoalJudge | None = None,
    ) -> None:
        """Sample around `agent`.

        Args:
            agent: whose decisions are executed and remembered.
            fan_at: how much to sample in an update, by its number.
            trial: tries probes and actions; None where a recorded expert tells what they achieve.
            judge: judges subgoals; None for nobody.
        """
        self._agent = agent
        self._fan_at = fan_at
        self._trial = trial
        self._judge = judge
        self._context = EpisodeContext(goal="", episode_id="")

    def start(self, context: EpisodeContext) -> None:
        """Forget everything and begin an episode."""
        self._context = context
        self._agent.start(context)

    def remember(
        self, screenshot: Screenshot, action: Action, thought: str | None, subgoal: str | None = None
    ) -> None:
        """Put a step that somebody else took before this episode into the history."""
        self._agent.remember(screenshot, action, thought, subgoal)

    async def record(self, result: ActionResult) -> None:
        """Remember what was really executed."""
        await self._agent.record(result)

    async def decide(self, observation: Observation) -> Decision:
        """Sample subgoals, then probes and actions at once; decide for the first of each."""
        fan = self._fan_at(self._context.update)
        planned = await self._agent.sample_subgoals(observation, n=fan.subgoals)
        subgoals = [self._subgoal(branch, each) for branch, each in enumerate(planned)]
        sampled = await asyncio.gather(
            self._actions(observation, subgoals[0], fan.actions, CandidateKind.ACTION),
            *(self._actions(observation, each, fan.probes, CandidateKind.PROBE) for each in subgoals),
        )
        actions, probes = sampled[0], [probe for found in sampled[1:] for probe in found]
        decision = self._agent.take(observation, planned[0], actions[0].completion if actions else None)
        screens: dict[int, Screenshot] = {}
        if self._trial is not None:
            every = [*probes, *actions]
            results = await self._trial.try_all(self._agent, observation, planned, every)
            every = [
                replace(each, measured={GAIN: result.gain})
                for each, result in zip(every, results, strict=True)
            ]
            for each, result in zip(probes, results, strict=False):
                if result.after is not None:
                    screens.setdefault(each.branch, result.after)
            probes, actions = every[: len(probes)], every[len(probes) :]
        if self._judge is not None and fan.subgoals > 1:
            judged = (self._judged(observation, each, probes, screens) for each in subgoals)
            subgoals = list(await asyncio.gather(*judged))
        return replace(decision, candidates=(*subgoals, *probes, *actions))

    def _subgoal(self, branch: int, planned: RoleCompletion) -> Candidate:
        plan = self._agent.parse_subgoal(planned.completion.text)
        return Candidate(
            kind=CandidateKind.SUBGOAL,
            completion=planned,
            branch=branch,
            subgoal=plan.subgoal if isinstance(plan.subgoal, str) else None,
            format_ok=plan.format_ok,
        )

    async def _actions(
        self, observation: Observation, subgoal: Candidate, n: int, kind: CandidateKind
    ) -> list[Candidate]:
        """What the actor does under a subgoal; nobody is asked where there is none."""
        if subgoal.subgoal is None or n == 0:
            return []
        key = self._agent.sample_key(AgentRole.ACTOR)
        if kind is CandidateKind.PROBE:
            key = replace(key, episode=f"{key.episode}/subgoal-{subgoal.branch:03d}")
        acted = await self._agent.sample_actions(observation, subgoal.subgoal, n=n, key=key)
        return [self._action(observation, subgoal, sample, each, kind) for sample, each in enumerate(acted)]

    def _action(
        self,
        observation: Observation,
        subgoal: Candidate,
        sample: int,
        acted: RoleCompletion,
        kind: CandidateKind,
    ) -> Candidate:
        parsed = self._agent.parse_action(acted.completion.text, observation)
        action: Action | ParseError = parsed.action
        return Candidate(
            kind=kind,
            completion=acted,
            branch=subgoal.branch,
            sample=sample,
            subgoal=subgoal.subgoal,
            action=action,
            format_ok=parsed.format_ok,
        )

    async def _judged(
        self,
        observation: Observation,
        subgoal: Candidate,
        probes: Sequence[Candidate],
        screens: dict[int, Screenshot],
    ) -> Candidate:
        """The subgoal with the judge's word, if there is a subgoal and the judge can tell."""
        assert self._judge is not None
        if subgoal.subgoal is None:
            return subgoal
        question = JudgeQuestion(
            goal=self._context.goal,
            screenshot=observation.screenshot,
            subgoal=subgoal.subgoal,
            gains=tuple(
                probe.measured[GAIN]
                for probe in probes
                if probe.branch == subgoal.branch and GAIN in probe.measured
            ),
            after=screens.get(subgoal.branch),
        )
        key = self._agent.sample_key(AgentRole.PLANNER)
        key = replace(key, episode=f"{key.episode}/judge-{subgoal.branch:03d}")
        word = await self._judge.judge(question, key)
        return subgoal if word is None else replace(subgoal, measured={JUDGE: word})
