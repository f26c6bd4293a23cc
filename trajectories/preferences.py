"""Preferences over single steps: what a person chose, beside what the agent had proposed there.

The steps of a demo hold the proposals that a person rejected as candidates. Each is one preference at the
state where it was made: the prompt that the agent saw there, the response that stands for what was
executed (chosen), and the rejected response.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gui_agent.actions import ParseError
from gui_agent.agent import Candidate
from gui_agent.coordinates import ScreenGeometry
from gui_agent.device import ActionSource
from gui_agent.errors import ConfigError, DataError
from gui_agent.formats.base import PromptFormat, Turn
from gui_agent.observation import Screenshot
from gui_agent.policy import AgentRole, ImageBudget, Prompt
from trajectories.records import EpisodeRecord, Step

REJECTED: Final = "rejected"
"""Among what was measured of a candidate: a person did not want it, and chose what was executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One response that was preferred to another.

    Attributes:
        prompt: what both answer.
        chosen: stands for the action that was executed; with the reason of a person who acted, if there
            is one.
        rejected: the agent's proposal, in its own words where they were kept.
        episode_id: of the episode.
        step: index of the step.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    episode_id: str
    step: int


def preferences(
    record: EpisodeRecord, prompt_format: PromptFormat, image_budget: ImageBudget
) -> Iterator[Preference]:
    """The preferences of an episode, in the order of its steps.

    A proposal under another subgoal than that of the step answers another prompt; it is left out.

    Args:
        record: an episode with its screenshots.
        prompt_format: the dialect of the model that is to learn.
        image_budget: how that model resizes screenshots, for the coordinates of actions.

    Raises:
        DataError: a step that is needed has no screenshot.
        ConfigError: the format has no word for what a person did.
    """
    trajectory = record.trajectory
    history: list[Turn] = []
    for step in trajectory.steps:
        screenshot = _screenshot(record, step)
        geometry = ScreenGeometry.of(screenshot.width_px, screenshot.height_px, image_budget)
        words = _words(step, prompt_format, geometry)
        prompt = prompt_format.prompt(step.subgoal or trajectory.goal, history, screenshot)
        for candidate in step.candidates:
            if words is None or REJECTED not in candidate.measured or candidate.subgoal != step.subgoal:
                continue
            rejected = _proposal(candidate, prompt_format, geometry)
            if rejected is not None and rejected != words:
                yield Preference(
                    prompt=prompt,
                    chosen=words,
                    rejected=rejected,
                    episode_id=trajectory.episode_id,
                    step=step.index,
                )
        if words is not None:
            history.append(Turn(screenshot=screenshot, response=words, goal=step.subgoal))


def _screenshot(record: EpisodeRecord, step: Step) -> Screenshot:
    found = record.screenshots.get(step.screenshot_sha256 or "")
    if found is None:
        raise DataError(
            f"episode {record.trajectory.episode_id!r}, step {step.index}: its screenshot is missing, so "
            "there is no prompt to prefer an answer to"
        )
    return found


def _words(step: Step, prompt_format: PromptFormat, geometry: ScreenGeometry) -> str | None:
    """The response that stands for what was executed; None if nothing was."""
    if step.executed is None:
        return None
    if step.source is ActionSource.POLICY:
        thought = step.thought
    else:  # a person's reason, if one was given
        thought = None if step.expected is None else step.expected.thought
    return prompt_format.render(step.executed, thought, geometry)


def _proposal(candidate: Candidate, prompt_format: PromptFormat, geometry: ScreenGeometry) -> str | None:
    """The rejected response: the agent's own words, or its action in the format's words."""
    spoken = candidate.completion
    if spoken.role is AgentRole.ACTOR and spoken.completion.text:
        return spoken.completion.text
    if candidate.action is None or isinstance(candidate.action, ParseError):
        return None
    try:
        return prompt_format.render(candidate.action, None, geometry)
    except ConfigError:  # an action of another dialect: there is nothing to be learned not to say
        return None
