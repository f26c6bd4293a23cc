"""Agents: what turns an observation into an action and remembers what really happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from gui_agent.actions import Action, ParseError
from gui_agent.coordinates import ScreenGeometry
from gui_agent.device import ActionResult, ActionSource, Demonstrator, ExpertAction
from gui_agent.errors import DeviceError
from gui_agent.formats.base import PromptFormat, Turn
from gui_agent.observation import Observation, Screenshot
from gui_agent.policy import AgentRole, Completion, ImagePart, Policy, Prompt, SampleKey, SamplingParams


class PatchThought(StrEnum):
    """Whose thought accompanies an expert action in the history (UI-S1, table 1)."""

    FREE = "thought_free"
    """None."""
    OFF_POLICY = "off_policy"
    """The one stored with the trajectory."""
    ON_POLICY = "on_policy"
    """One that the current policy writes, with the expert action as a hint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeContext:
    """What distinguishes one episode: the goal, and the names that key its sampling noise."""

    goal: str
    episode_id: str
    seed: int = 0
    update: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCompletion:
    """A completion and the part of the agent that it speaks for; `image_sha256s` in prompt order."""

    role: AgentRole
    completion: Completion
    image_sha256s: tuple[str, ...]

    @classmethod
    def of(cls, role: AgentRole, prompt: Prompt, completion: Completion) -> RoleCompletion:
        """Name the pictures of the prompt beside the completion."""
        images = [part for message in prompt for part in message.parts if isinstance(part, ImagePart)]
        hashes = tuple(image.screenshot.sha256 for image in images)
        return cls(role=role, completion=completion, image_sha256s=hashes)


class CandidateKind(StrEnum):
    """What a candidate was sampled for."""

    SUBGOAL = "subgoal"
    """A subgoal of the planner, to be compared with the others at the same state."""
    PROBE = "probe"
    """An action of the actor that shows what a subgoal leads to."""
    ACTION = "action"
    """An action of the actor under the executed subgoal, to be compared with the others there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One of several samples at one decision state.

    Of the subgoals, and of the actions under the executed subgoal, number 0 is the one that was executed;
    its completion also stands among those of the decision.

    Attributes:
        kind: what it was sampled for.
        branch: number of the subgoal that it is, or that it was sampled under; 0 was executed.
        sample: number of the action among those sampled alike; 0 for a subgoal.
        completion: the tokens.
        subgoal: the instruction that it gives or follows; None if the planner's response has none.
        action: what the actor asked for; None for a subgoal.
        format_ok: the response has the form its format asks for.
        measured: what was found out by trying it or asking about it, by name; nothing else can tell later.
    """

    kind: CandidateKind
    completion: RoleCompletion
    branch: int = 0
    sample: int = 0
    subgoal: str | None = None
    action: Action | ParseError | None = None
    format_ok: bool = True
    measured: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the agent wants to do, and everything sampled on the way.

    Attributes:
        action: the request, or why the response is none.
        completions: in the order in which they were sampled.
        thought: the actor's reasoning, if any.
        subgoal: the planner's instruction, if there is a planner.
        format_ok: the response has the form its format asks for.
        expert: what lies behind a demonstrator's action: its boxes are labels.
        candidates: everything sampled at this state, where several samples are compared.
    """

    action: Action | ParseError
    completions: tuple[RoleCompletion, ...] = ()
    thought: str | None = None
    subgoal: str | None = None
    format_ok: bool = True
    expert: ExpertAction | None = None
    candidates: tuple[Candidate, ...] = ()


class Agent(Protocol):
    """One agent in one episode at a time."""

    def start(self, context: EpisodeContext) -> None:
        """Forget everything and begin an episode."""
        ...

    async def decide(self, observation: Observation) -> Decision:
        """Choose the next action."""
        ...

    async def record(self, result: ActionResult) -> None:
        """Write what was really executed into the agent's own history."""
        ...


@runtime_checkable
class Steerable(Protocol):
    """An agent that a person can direct: told more on the way, and taken back to an earlier step."""

    def go_on(self, context: EpisodeContext) -> None:
        """Go by this context from now on; what was done so far is still remembered."""
        ...

    def memory(self) -> Any:
        """What the agent remembers now, as an opaque value."""
        ...

    def recall(self, memory: Any) -> None:
        """Remember what `memory` returned, and no more."""
        ...


class FlatAgent:
    """One model that looks, thinks and acts.

    Its history holds its own words where the world did what it asked, and the patch where a replayed
    expert took over (UI-S1, algorithm 1).
    """

    def __init__(
        self,
        policy: Policy,
        prompt_format: PromptFormat,
        *,
        params: SamplingParams,
        patch_thought: PatchThought = PatchThought.FREE,
    ) -> None:
        """Bind a policy to the dialect it speaks.

        Args:
            policy: where completions come from.
            prompt_format: the dialect.
            params: how to sample.
            patch_thought: whose thought goes with a patch.
        """
        self._policy = policy
        self._format = prompt_format
        self._params = params
        self._patch_thought = patch_thought
        self._context = EpisodeContext(goal="", episode_id="")
        self._history: list[Turn] = []
        self._observation: Observation | None = None
        self._response = ""

    def start(self, context: EpisodeContext) -> None:
        """Forget everything and begin an episode."""
        self._context = context
        self._history = []
        self._observation = None

    def remember(
        self, screenshot: Screenshot, action: Action, thought: str | None, subgoal: str | None = None
    ) -> None:
        """Put a step that somebody else took before this episode into the history; subgoals have no place."""
        words = self._format.render(action, thought, self._geometry(screenshot))
        self._history.append(Turn(screenshot=screenshot, response=words))

    def go_on(self, context: EpisodeContext) -> None:
        """Go by this context from now on; the history stays."""
        self._context = context

    def memory(self) -> tuple[Turn, ...]:
        """The history."""
        return tuple(self._history)

    def recall(self, memory: tuple[Turn, ...]) -> None:
        """Go back to an earlier history."""
        self._history, self._observation = list(memory), None

    async def decide(self, observation: Observation) -> Decision:
        """Sample one response and read it."""
        screenshot = observation.screenshot
        prompt = self._format.prompt(self._context.goal, self._history, screenshot)
        (completion,) = await self._policy.sample(
            prompt, n=1, params=self._params, key=self._key(AgentRole.ACTOR)
        )
        parsed = self._format.parse(completion.text, self._geometry(observation.screenshot))
        self._observation, self._response = observation, completion.text
        return Decision(
            action=parsed.action,
            completions=(RoleCompletion.of(AgentRole.ACTOR, prompt, completion),),
            thought=parsed.thought,
            format_ok=parsed.format_ok,
        )

    async def record(self, result: ActionResult) -> None:
        """Remember the own response, or the patch that replaced it."""
        observation = self._observation
        assert observation is not None, "record follows decide"
        response = self._response
        if result.source is not ActionSource.POLICY and result.executed is not None:
            thought = None
            if result.stop is None:  # nothing will read the history of an episode that is over
                thought = await self._patch_words(observation, result)
            response = self._format.render(result.executed, thought, self._geometry(observation.screenshot))
        self._history.append(Turn(screenshot=observation.screenshot, response=response))
        self._observation = None

    async def _patch_words(self, observation: Observation, result: ActionResult) -> str | None:
        match self._patch_thought:
            case PatchThought.FREE:
                return None
            case PatchThought.OFF_POLICY:
                return result.expected.thought if result.expected else None
            case PatchThought.ON_POLICY:
                assert result.executed is not None
                prompt = self._format.thought_prompt(
                    self._context.goal,
                    self._history,
                    observation.screenshot,
                    result.executed,
                    self._geometry(observation.screenshot),
                )
                key = self._key(AgentRole.PATCH_THOUGHT)
                (completion,) = await self._policy.sample(prompt, n=1, params=self._params, key=key)
                return self._format.parse_thought(completion.text)

    def _key(self, role: AgentRole) -> SampleKey:
        context = self._context
        return SampleKey(
            seed=context.seed,
            update=context.update,
            episode=context.episode_id,
            step=len(self._history),
            role=role.value,
        )

    def _geometry(self, screenshot: Screenshot) -> ScreenGeometry:
        return ScreenGeometry.of(screenshot.width_px, screenshot.height_px, self._policy.image_budget)


class DemonstratorAgent:
    """Does what the device's own expert does; used to record demonstrations and to check tasks."""

    def __init__(self, device: Demonstrator) -> None:
        """Ask `device` for every step."""
        self._device = device

    def start(self, context: EpisodeContext) -> None:
        """Nothing to forget: the expert looks at the state alone."""

    async def decide(self, observation: Observation) -> Decision:
        """Ask the expert.

        Raises:
            DeviceError: the expert has nothing to do although the episode goes on.
        """
        expert = await self._device.next_expert_action()
        if expert is None:
            raise DeviceError("the task's expert has no next action here; the task cannot be demonstrated")
        return Decision(action=expert.action, thought=expert.thought, expert=expert)

    async def record(self, result: ActionResult) -> None:
        """Nothing to remember."""
