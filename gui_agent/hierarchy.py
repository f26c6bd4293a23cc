"""The hierarchical agent: a planner writes one subgoal for each step, an actor turns it into an action.

The planner sees the task, the steps so far and the screen; the actor sees the screen and the subgoal, in
the place of the task. One policy may speak for both (two adapters, told apart by the role of the
request, or the same weights), or each has a policy of its own.

Source: Hi-Agent, arXiv:2510.14388, for the two roles and one subgoal per step. How histories are kept
is this project's: both hold what was really executed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from enum import StrEnum

from gui_agent.actions import Action
from gui_agent.agent import Decision, EpisodeContext, PatchThought, RoleCompletion
from gui_agent.coordinates import ScreenGeometry
from gui_agent.device import ActionResult, ActionSource
from gui_agent.formats.base import ParsedResponse, PromptFormat, Turn
from gui_agent.formats.planner import ParsedSubgoal, PlannerFormat, PlannerTurn, carried_subgoal
from gui_agent.observation import Observation, Screenshot
from gui_agent.policy import AgentRole, Policy, Prompt, SampleKey, SamplingParams


class PatchSubgoal(StrEnum):
    """Whose subgoal accompanies an expert action in the planner's history."""

    FROM_DATA = "from_data"
    """The one recorded, or written by a template, for the expert's action; none where there is none that a
    planner could have handed to an actor."""
    NONE = "none"
    """None: the history says that an expert took the step, and what was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A decision whose result is awaited; without a subgoal the actor was not asked."""

    observation: Observation
    planned: RoleCompletion
    subgoal: str | None
    acted: RoleCompletion | None


class HierarchicalAgent:
    """A planner and an actor that share one episode.

    Each keeps its own words where the world did what they asked, and the patch where a replayed expert
    took over (UI-S1, algorithm 1). A planner's response without a usable subgoal is a mistake of the
    agent: the actor is not asked, and the device is given the `ParseError` in the place of an action.
    """

    def __init__(
        self,
        planner_policy: Policy,
        actor_policy: Policy,
        planner_format: PlannerFormat,
        actor_format: PromptFormat,
        *,
        planner_params: SamplingParams,
        actor_params: SamplingParams,
        patch_thought: PatchThought = PatchThought.FREE,
        patch_subgoal: PatchSubgoal = PatchSubgoal.FROM_DATA,
        actor_history: int | None = None,
    ) -> None:
        """Bind two roles to the policies and dialects that they speak.

        Args:
            planner_policy: where subgoals come from; may be the actor's too.
            actor_policy: where actions come from.
            planner_format: the planner's dialect.
            actor_format: the actor's dialect, in which subgoals stand where a flat agent has the task.
            planner_params: how subgoals are sampled.
            actor_params: how actions are sampled.
            patch_thought: whose thought goes with a patch: the recorded one is the planner's reasoning and
                the actor's thought, one written on policy is the actor's.
            patch_subgoal: whose subgoal goes with a patch.
            actor_history: earlier steps that the actor is reminded of, at most; None reminds it of as many
                as its format keeps, 0 shows it the screen and the subgoal alone.
        """
        self._planner_policy = planner_policy
        self._actor_policy = actor_policy
        self._planner_format = planner_format
        self._actor_format = actor_format
        self._planner_params = planner_params
        self._actor_params = actor_params
        self._patch_thought = patch_thought
        self._patch_subgoal = patch_subgoal
        self._actor_history = actor_history
        self._context = EpisodeContext(goal="", episode_id="")
        self._planned: list[PlannerTurn] = []
        self._acted: list[Turn] = []
        self._pending: _Pending | None = None

    def start(self, context: EpisodeContext) -> None:
        """Forget everything and begin an episode."""
        self._context = context
        self._planned = []
        self._acted = []
        self._pending = None

    def remember(
        self, screenshot: Screenshot, action: Action, thought: str | None, subgoal: str | None = None
    ) -> None:
        """Put a step that somebody else took before this episode into both histories."""
        subgoal = self._carried(subgoal)
        response = self._planner_format.render(subgoal, thought)
        words = self._actor_format.render(action, thought, self._geometry(screenshot))
        self._planned.append(
            PlannerTurn(screenshot=screenshot, response=response, executed=action, acted=words)
        )
        self._acted.append(Turn(screenshot=screenshot, response=words, goal=subgoal or ""))

    def go_on(self, context: EpisodeContext) -> None:
        """Go by this context from now on; both histories stay."""
        self._context = context

    def memory(self) -> tuple[tuple[PlannerTurn, ...], tuple[Turn, ...]]:
        """Both histories."""
        return tuple(self._planned), tuple(self._acted)

    def recall(self, memory: tuple[tuple[PlannerTurn, ...], tuple[Turn, ...]]) -> None:
        """Go back to earlier histories."""
        planned, acted = memory
        self._planned, self._acted, self._pending = list(planned), list(acted), None

    async def decide(self, observation: Observation) -> Decision:
        """Sample a subgoal, then an action for it."""
        (planned,) = await self.sample_subgoals(observation)
        subgoal = self.parse_subgoal(planned.completion.text).subgoal
        if not isinstance(subgoal, str):
            return self.take(observation, planned, None)
        (acted,) = await self.sample_actions(observation, subgoal)
        return self.take(observation, planned, acted)

    async def sample_subgoals(self, observation: Observation, *, n: int = 1) -> list[RoleCompletion]:
        """Ask the planner at the present step `n` times; changes nothing."""
        prompt = self.planner_prompt(observation)
        key = self.sample_key(AgentRole.PLANNER)
        found = await self._planner_policy.sample(prompt, n=n, params=self._planner_params, key=key)
        return [RoleCompletion.of(AgentRole.PLANNER, prompt, completion) for completion in found]

    async def sample_actions(
        self, observation: Observation, subgoal: str, *, n: int = 1, key: SampleKey | None = None
    ) -> list[RoleCompletion]:
        """Ask the actor at the present step `n` times, for any subgoal; changes nothing.

        Args:
            observation: what the actor is shown.
            subgoal: what it is asked for.
            n: samples.
            key: names the request, where it is not the one for the subgoal that is executed.
        """
        prompt = self.actor_prompt(observation, subgoal)
        key = key or self.sample_key(AgentRole.ACTOR)
        found = await self._actor_policy.sample(prompt, n=n, params=self._actor_params, key=key)
        return [RoleCompletion.of(AgentRole.ACTOR, prompt, completion) for completion in found]

    def take(
        self, observation: Observation, planned: RoleCompletion, acted: RoleCompletion | None
    ) -> Decision:
        """Make responses the decision of the present step, which `record` will write down.

        `decide` samples one of each; who samples several and chooses hands the chosen ones in here.

        Args:
            observation: what both roles were shown.
            planned: the planner's response.
            acted: the actor's response to its subgoal; None if and only if it has no usable one.
        """
        plan = self.parse_subgoal(planned.completion.text)
        if not isinstance(plan.subgoal, str):
            assert acted is None, "an actor is not asked without a subgoal"
            self._pending = _Pending(observation=observation, planned=planned, subgoal=None, acted=None)
            return Decision(action=plan.subgoal, completions=(planned,), format_ok=False)
        assert acted is not None, "a subgoal is for an actor"
        self._pending = _Pending(observation=observation, planned=planned, subgoal=plan.subgoal, acted=acted)
        parsed = self.parse_action(acted.completion.text, observation)
        return Decision(
            action=parsed.action,
            completions=(planned, acted),
            thought=parsed.thought,
            subgoal=plan.subgoal,
            format_ok=plan.format_ok and parsed.format_ok,
        )

    async def record(self, result: ActionResult) -> None:
        """Remember the own words of both roles, or the patch that replaced them."""
        pending = self._pending
        assert pending is not None, "record follows decide"
        self._pending = None
        if result.source is not ActionSource.POLICY and result.executed is not None:
            await self._record_patch(pending, result, result.executed)
            return
        screenshot = pending.observation.screenshot
        acted = "" if pending.acted is None else pending.acted.completion.text
        self._planned.append(
            PlannerTurn(
                screenshot=screenshot,
                response=pending.planned.completion.text,
                executed=result.executed,
                acted=acted,
            )
        )
        if pending.acted is not None:
            self._acted.append(Turn(screenshot=screenshot, response=acted, goal=pending.subgoal))

    def fork(self, name: str) -> HierarchicalAgent:
        """A copy that goes on from here by itself, with the most likely words; this agent is left as it is.

        Args:
            name: tells the requests of the copy from those of other copies.
        """
        twin = copy.copy(self)
        twin._context = replace(self._context, episode_id=f"{self._context.episode_id}/{name}")
        twin._planned, twin._acted = list(self._planned), list(self._acted)
        twin._planner_params = replace(self._planner_params, temperature=0.0)
        twin._actor_params = replace(self._actor_params, temperature=0.0)
        return twin

    def planner_prompt(self, observation: Observation) -> Prompt:
        """What the planner is asked at the present step; changes nothing."""
        return self._planner_format.prompt(self._context.goal, self._planned, observation.screenshot)

    def actor_prompt(self, observation: Observation, subgoal: str) -> Prompt:
        """What the actor is asked at the present step, for any subgoal; changes nothing."""
        return self._actor_format.prompt(subgoal, self._actor_turns, observation.screenshot)

    def parse_subgoal(self, text: str) -> ParsedSubgoal:
        """Read a planner's response."""
        return self._planner_format.parse(text)

    def parse_action(self, text: str, observation: Observation) -> ParsedResponse:
        """Read an actor's response; points become pixels of the screenshot shown."""
        return self._actor_format.parse(text, self._geometry(observation.screenshot))

    def sample_key(self, role: AgentRole) -> SampleKey:
        """Names the request of a role at the present step."""
        context = self._context
        return SampleKey(
            seed=context.seed,
            update=context.update,
            episode=context.episode_id,
            step=len(self._planned),
            role=role.value,
        )

    async def _record_patch(self, pending: _Pending, result: ActionResult, executed: Action) -> None:
        screenshot = pending.observation.screenshot
        expected = result.expected
        subgoal = recorded = None
        if expected is not None and self._patch_subgoal is PatchSubgoal.FROM_DATA:
            subgoal = self._carried(expected.subgoal)
        if expected is not None and self._patch_thought is PatchThought.OFF_POLICY:
            recorded = expected.thought
        thought = recorded
        # Nothing will read the history of an episode that is over.
        if result.stop is None and self._patch_thought is PatchThought.ON_POLICY:
            thought = await self._explain(screenshot, executed, subgoal or "")
        words = self._actor_format.render(executed, thought, self._geometry(screenshot))
        self._acted.append(Turn(screenshot=screenshot, response=words, goal=subgoal or ""))
        self._planned.append(
            PlannerTurn(
                screenshot=screenshot,
                response=self._planner_format.render(subgoal, recorded),
                executed=executed,
                patched=True,
                acted=words,
            )
        )

    async def _explain(self, screenshot: Screenshot, executed: Action, subgoal: str) -> str:
        """The actor's thought for an action that an expert took."""
        prompt = self._actor_format.thought_prompt(
            subgoal, self._actor_turns, screenshot, executed, self._geometry(screenshot)
        )
        key = self.sample_key(AgentRole.PATCH_THOUGHT)
        (completion,) = await self._actor_policy.sample(prompt, n=1, params=self._actor_params, key=key)
        return self._actor_format.parse_thought(completion.text)

    def _carried(self, subgoal: str | None) -> str | None:
        """A recorded subgoal, or None where no planner could have handed it to an actor."""
        read = carried_subgoal(self._planner_format, subgoal or "")
        return read if isinstance(read, str) else None

    @property
    def _actor_turns(self) -> list[Turn]:
        """What the actor is reminded of."""
        limit = self._actor_history
        return self._acted if limit is None else self._acted[max(0, len(self._acted) - limit) :]

    def _geometry(self, screenshot: Screenshot) -> ScreenGeometry:
        budget = self._actor_policy.image_budget
        return ScreenGeometry.of(screenshot.width_px, screenshot.height_px, budget)
