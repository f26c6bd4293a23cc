"""Oracles in the place of one half of a hierarchical agent, so that the other half is judged alone.

*Execution alone*: the planner is an `ExpertPlanner`, which says what the expert does here, in the data's
words or those of a template. What goes wrong then is the actor's.

*Planning alone*: the actor is a `LiteralActor`, which does what a subgoal literally says by the labels of
the screen (`gui_agent.literal`). A subgoal that names nothing on the screen fails, and what goes wrong is
the planner's.

Both are policies, so the agent is the same `HierarchicalAgent` in every case. The literal actor has a
dialect of its own (`LiteralFormat`): it is asked in the words of the subgoal and answers in JSON.

Source: arXiv:2509.09677 gives the plan to measure execution alone; the literal actor is this project's.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from gui_agent.actions import (
    ACTION_TYPES,
    Action,
    Click,
    DoubleClick,
    LongPress,
    ParseError,
    action_from_dict,
    action_points,
    action_to_dict,
)
from gui_agent.agent_spec import AgentSpec
from gui_agent.coordinates import CoordinateSpace, ScreenGeometry
from gui_agent.device import Demonstrator, Device, ExpertAction
from gui_agent.errors import ConfigError, DataError
from gui_agent.formats.base import ParsedResponse, Turn
from gui_agent.formats.planner import PlannerFormat, carried_subgoal
from gui_agent.hierarchy import HierarchicalAgent
from gui_agent.literal import read_instruction
from gui_agent.observation import Observation, Screenshot, UiElement
from gui_agent.policy import (
    Completion,
    FinishReason,
    ImageBudget,
    Message,
    Policy,
    Prompt,
    Role,
    SampleKey,
    SamplingParams,
)
from trajectories.episode import element_to_dict
from trajectories.records import Step
from trajectories.replay_task import ReplayFrame, ReplayTask
from trajectories.subgoals import recorded_subgoal, template_subgoal


class Oracle(StrEnum):
    """Which half of the agent an oracle stands in for."""

    PLANNER = "planner"
    """Subgoals of the expert: execution alone."""
    ACTOR = "actor"
    """Subgoals taken at their word: planning alone."""


def agent_with_oracle(
    oracle: Oracle, spec: AgentSpec, policy: Policy, *, planner: Policy | None = None
) -> Callable[[Device], HierarchicalAgent]:
    """A function that makes one agent for each episode, with one half replaced.

    Args:
        oracle: which half.
        spec: how the agent is built; with an oracle planner a flat agent's model is the actor.
        policy: acts, and plans if there is no `planner`.
        planner: where subgoals come from, if not from `policy`.
    """

    def agent_for(device: Device) -> HierarchicalAgent:
        if oracle is Oracle.PLANNER:
            return spec.hierarchical_agent(policy, planner=ExpertPlanner(device, spec.get_planner_format()))
        return HierarchicalAgent(
            planner or policy,
            LiteralActor(device),
            spec.get_planner_format(),
            LiteralFormat(),
            planner_params=spec.planner_params or spec.params,
            actor_params=spec.params,
            patch_subgoal=spec.patch_subgoal,
        )

    return agent_for


@runtime_checkable
class Labels(Protocol):
    """A device that can say what is on its screen, though its observations do not."""

    async def elements(self) -> Sequence[UiElement]:
        """The named widgets that can be seen."""
        ...


class _Spoken(ABC):
    """What all oracles have in common as policies: nothing is sampled."""

    version: Final = 0
    image_budget: Final = ImageBudget()

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        """The same words `n` times."""
        words = Completion(
            prompt_token_ids=(),
            image_grids=(),
            token_ids=(),
            logprobs=(),
            text=await self.words(prompt),
            finish_reason=FinishReason.STOP,
            policy_version=self.version,
        )
        return [words] * n

    @abstractmethod
    async def words(self, prompt: Prompt) -> str:
        """What to say."""


class ExpertPlanner(_Spoken):
    """A planner that says what the expert does at the present state.

    It has no subgoal where the expert is at a loss, or its deed has no name: an empty one, which is an
    error of the planner.
    """

    def __init__(self, device: Device, planner_format: PlannerFormat) -> None:
        """Ask the expert of `device`, and speak the dialect.

        Raises:
            ConfigError: the device knows no expert.
        """
        if not isinstance(device, Demonstrator):
            raise ConfigError(
                f"{type(device).__name__} knows no expert for its tasks, so nobody can say what a step is "
                "for; replay recordings, or choose a suite with experts"
            )
        self._device = device
        self._expert: Demonstrator = device
        self._format = planner_format

    async def words(self, prompt: Prompt) -> str:
        """The subgoal, as a planner would write it."""
        expert = await self._expert.next_expert_action()
        if expert is None:
            return self._format.render(None, None)
        observation = await self._device.observe()
        elements = await labels_of(self._device, observation)
        return self._format.render(expert_subgoal(expert, elements), expert.thought)


class LiteralActor(_Spoken):
    """An actor that does what it is told by the labels of the screen; speaks `LiteralFormat`."""

    def __init__(self, device: Device) -> None:
        """Look at the labels of `device`."""
        self._device = device

    async def words(self, prompt: Prompt) -> str:
        """The action as JSON, or why there is none.

        Raises:
            ConfigError: nobody knows what is on the screen.
        """
        observation = await self._device.observe()
        elements = await labels_of(self._device, observation)
        if elements is None:
            raise ConfigError(
                f"{type(self._device).__name__} does not say what is on its screens and knows no expert, so "
                "a subgoal cannot be taken at its word; use recordings with widgets (collect --elements)"
            )
        shot = observation.screenshot
        reading = read_instruction(
            prompt[-1].text, elements, width_px=shot.width_px, height_px=shot.height_px
        )
        if reading.action is None:
            return json.dumps({"problem": reading.problem})
        return json.dumps(action_to_dict(reading.action))


class LiteralFormat:
    """The dialect of a `LiteralActor`: the subgoal alone, answered by an action as JSON."""

    name = "literal"
    space = CoordinateSpace.RESIZED_PIXELS
    """Not used: points are pixels of the screenshot."""
    action_space = frozenset(ACTION_TYPES)

    def prompt(self, goal: str, history: Sequence[Turn], screenshot: Screenshot) -> Prompt:
        """The subgoal."""
        return (Message.of_text(Role.USER, goal),)

    def parse(self, text: str, geometry: ScreenGeometry) -> ParsedResponse:
        """Read an action, or the reason why there is none."""
        try:
            data = json.loads(text)
            if isinstance(data, dict) and "problem" in data:
                error = ParseError(reason=str(data["problem"]), text=text)
                return ParsedResponse(action=error, thought=None, format_ok=True)
            action = action_from_dict(data)
        except (ValueError, TypeError, DataError) as error:
            return ParsedResponse(
                action=ParseError(reason=f"no action as JSON: {error}", text=text),
                thought=None,
                format_ok=False,
            )
        return ParsedResponse(action=action, thought=None, format_ok=True)

    def render(self, action: Action, thought: str | None, geometry: ScreenGeometry) -> str:
        """The action as JSON; there is no place for a thought."""
        return json.dumps(action_to_dict(action))

    def thought_prompt(
        self,
        goal: str,
        history: Sequence[Turn],
        screenshot: Screenshot,
        expert: Action,
        geometry: ScreenGeometry,
    ) -> Prompt:
        """As `prompt`: a literal actor has no reasons."""
        return self.prompt(goal, history, screenshot)

    def parse_thought(self, text: str) -> str:
        """None."""
        return ""


def expert_subgoal(expert: ExpertAction, elements: Sequence[UiElement] | None) -> str | None:
    """What a planner would say for the expert's deed: the data's words, else a template's; None if neither.

    Args:
        expert: the deed.
        elements: what is on the screen, where known.
    """
    step = Step(
        index=0,
        screenshot_sha256=None,
        width_px=None,
        height_px=None,
        requested=expert.action,
        executed=expert.action,
        expected=expert,
        elements=None if elements is None else tuple(element_to_dict(element) for element in elements),
    )
    return recorded_subgoal(step) or template_subgoal(step)


async def labels_of(device: Device, observation: Observation) -> Sequence[UiElement] | None:
    """The labelled widgets of the screen in front, from whoever knows them; None if nobody does.

    What the expert would touch has a name in any case, where its thought is one. If neither observation nor
    device has labels it is the only thing with a name, so that only the expert's subgoal can be taken at
    its word.
    """
    elements = observation.elements
    if elements is None and isinstance(device, Labels):
        elements = tuple(await device.elements())
    expert = await device.next_expert_action() if isinstance(device, Demonstrator) else None
    return _with_target(elements, expert)


def frame_labels(frame: ReplayFrame) -> Sequence[UiElement] | None:
    """The same for a recorded screen."""
    return _with_target(frame.elements, frame.expert)


def _with_target(
    elements: tuple[UiElement, ...] | None, expert: ExpertAction | None
) -> Sequence[UiElement] | None:
    target = _target(expert) if expert is not None else None
    if elements is None:
        if target is not None:
            return (target,)
        # Whoever need not point needs no names.
        return None if expert is None or action_points(expert.action) else ()
    if target is None or any(element.name == target.name for element in elements):
        return elements
    return (*elements, target)


def _target(expert: ExpertAction) -> UiElement | None:
    """What the expert points at, if it has a box and its thought is a name."""
    if not isinstance(expert.action, Click | DoubleClick | LongPress) or not expert.boxes:
        return None
    if not expert.thought or expert_subgoal(replace(expert, subgoal=None), None) is None:
        return None
    return UiElement(name=expert.thought, role="target", box=expert.boxes[0])


def why_not(oracle: Oracle, task: ReplayTask, planner_format: PlannerFormat) -> str | None:
    """Why a recording cannot be judged with this oracle; None if it can.

    Args:
        oracle: which half it stands in for.
        task: the recording.
        planner_format: what an oracle planner speaks; a subgoal that it cannot hand to the actor would
            count as an error of the planner that knows everything.
    """
    for number, frame in enumerate(task.frames):
        labels = frame_labels(frame)
        if oracle is Oracle.PLANNER:
            subgoal = expert_subgoal(frame.expert, labels)
            if subgoal is None:
                return f"step {number} has no subgoal, and no name for what the expert touches"
            carried = carried_subgoal(planner_format, subgoal)
            if isinstance(carried, ParseError):
                return f"no actor can be given the subgoal of step {number}: {carried.reason}"
        if oracle is Oracle.ACTOR and labels is None:
            return f"nothing on the screen of step {number} has a name (collect --elements keeps widgets)"
    return None
