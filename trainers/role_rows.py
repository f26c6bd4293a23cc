"""Expert rows of a hierarchical agent: the planner learns subgoals, the actor learns actions.

Prompts come from a `HierarchicalAgent` that is given the expert's steps as its own, so that both roles
learn exactly what they will be asked when they act.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gui_agent.agent import EpisodeContext
from gui_agent.agent_spec import AgentSpec
from gui_agent.coordinates import ScreenGeometry
from gui_agent.errors import DataError
from gui_agent.formats.base import PromptFormat
from gui_agent.formats.planner import PlannerFormat, carried_subgoal
from gui_agent.formats.registry import get_format
from gui_agent.observation import Observation, Screenshot
from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policy import AgentRole, Completion, ImageBudget, Prompt, SampleKey, SamplingParams
from trainers.rows import Row
from trajectories.replay import ReplayTask


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertRows:
    """What to imitate, and the pictures of it by sha256."""

    rows: tuple[Row, ...]
    screenshots: dict[str, Screenshot]


def role_rows(
    tasks: Sequence[ReplayTask],
    model: VisionLanguageModel,
    spec: AgentSpec,
    *,
    thoughts: bool,
    frozen: Collection[AgentRole] = (),
) -> ExpertRows:
    """Two rows for every step with a subgoal: goal and history to subgoal, subgoal to action.

    Args:
        tasks: recordings whose experts' actions have subgoals.
        model: reads the prompts.
        spec: of the agent that is taught.
        thoughts: teach the recorded thoughts, as the planner's reasoning and the actor's thought.
        frozen: roles without rows.

    Raises:
        DataError: no step has a subgoal that the formats can carry.
        ReplayError: a picture is missing.
        ConfigError: the format has no word for an expert's action.
    """
    writer = _RoleRows(model, spec, thoughts=thoughts, frozen=frozen)
    for task in tasks:
        writer.add(task)
    return writer.finish()


class _RoleRows:
    """The growing list."""

    def __init__(
        self, model: VisionLanguageModel, spec: AgentSpec, *, thoughts: bool, frozen: Collection[AgentRole]
    ) -> None:
        budget = model.images.budget
        self._model = model
        self._thoughts = thoughts
        self._frozen = frozen
        self._agent = spec.hierarchical_agent(_Silent(budget))
        self._planner_format: PlannerFormat = spec.get_planner_format()
        self._actor_format: PromptFormat = get_format(spec.format, image_budget=budget)
        self._rows: list[Row] = []
        self._screenshots: dict[str, Screenshot] = {}
        self._num_steps = 0
        self._left_out: list[str] = []
        self._malformed: list[str] = []

    def add(self, task: ReplayTask) -> None:
        """The rows of one recording."""
        self._agent.start(EpisodeContext(goal=task.goal, episode_id=task.trajectory_id))
        for step, frame in enumerate(task.frames):
            screenshot, expert = task.picture(frame), frame.expert
            observation = Observation(screenshot=screenshot)
            thought = expert.thought if self._thoughts else None
            where = f"trajectory {task.trajectory_id!r}, step {step}"
            subgoal = self._usable(expert.subgoal, where)
            self._num_steps += 1
            if subgoal is not None:
                words = self._planner_format.render(subgoal, thought)
                if not self._planner_format.parse(words).format_ok:
                    self._malformed.append(where)
                self._append(AgentRole.PLANNER, self._agent.planner_prompt(observation), words, task, step)
                geometry = ScreenGeometry.of(
                    screenshot.width_px, screenshot.height_px, self._model.images.budget
                )
                words = self._actor_format.render(expert.action, thought, geometry)
                prompt = self._agent.actor_prompt(observation, subgoal)
                self._append(AgentRole.ACTOR, prompt, words, task, step)
            self._agent.remember(screenshot, expert.action, thought, expert.subgoal)

    def finish(self) -> ExpertRows:
        """All rows; steps that were left out are told."""
        if self._left_out:
            words = (
                f"{len(self._left_out)} of {self._num_steps} steps have no subgoal that can be taught, the "
                f"first: {self._left_out[0]}"
            )
            if len(self._left_out) == self._num_steps:
                raise DataError(
                    f"{words}; a hierarchical agent learns from subgoals: set subgoals to "
                    "data_else_template, use data with labelled widgets or step instructions, or train a "
                    "flat agent"
                )
            warnings.warn(f"{words}; they are left out", stacklevel=4)
        if self._malformed and AgentRole.PLANNER not in self._frozen:
            warnings.warn(
                f"{len(self._malformed)} of {self._num_steps} subgoals are taught in what the planner format "
                f"{self._planner_format.name!r} calls the wrong form, because no thought is taught as their "
                f"reasoning, the first: {self._malformed[0]}; teach thoughts, of data that has them, or use "
                "a planner format without (hi_agent:require_reasoning=false)",
                stacklevel=4,
            )
        return ExpertRows(rows=tuple(self._rows), screenshots=self._screenshots)

    def _usable(self, subgoal: str | None, where: str) -> str | None:
        """The subgoal as the actor would be given it."""
        if not subgoal:
            self._left_out.append(f"{where}: none is recorded and no template knows the target's name")
            return None
        read = carried_subgoal(self._planner_format, subgoal)
        if isinstance(read, str):
            return read
        self._left_out.append(f"{where}: {read.reason}")
        return None

    def _append(self, role: AgentRole, prompt: Prompt, words: str, task: ReplayTask, step: int) -> None:
        if role in self._frozen:
            return
        encoded = self._model.prompts.encode(prompt)
        self._rows.append(
            Row(
                role=role,
                prompt_token_ids=encoded.token_ids,
                image_grids=encoded.image_grids,
                image_sha256s=encoded.image_sha256s,
                token_ids=self._model.prompts.encode_completion(words),
                group_id=task.task_id,
                episode_id=task.trajectory_id,
                step=step,
            )
        )
        self._screenshots.update({shown.sha256: shown for shown in encoded.screenshots})


@dataclass(frozen=True, slots=True)
class _Silent:
    """A policy that only knows how pictures are resized: nobody is asked for anything here."""

    image_budget: ImageBudget
    version: int = 0

    async def sample(
        self, prompt: Prompt, *, n: int = 1, params: SamplingParams, key: SampleKey
    ) -> Sequence[Completion]:
        raise AssertionError("nothing is sampled where an expert is imitated")
